package standin

import (
	"testing"
	"time"
)

// loginAndRefresh gives the first pair of a Coinify login, and a way to refresh.
func loginAndRefresh(t *testing.T, s *Server) (access, refresh string, again func(token string) res) {
	t.Helper()
	h := s.Handler(Coinify)
	access, refresh = pairOf(good(t, h, jsonPost("/auth", coinifyLogin)))
	return access, refresh, func(token string) res {
		return send(t, h, jsonPost("/auth", `{"grant_type":"refresh_token","refresh_token":"`+token+`"}`))
	}
}

func TestRotation(t *testing.T) {
	for _, row := range []struct {
		rotate   Rotation
		given    bool // the reply has a refresh token
		same     bool // and it is the one sent
		oldWorks bool
	}{
		{RotateKeep, true, true, true},
		{RotateOmit, false, false, true},
		{RotateAdd, true, false, true},
		{RotateSingleUse, true, false, false},
	} {
		t.Run(string(row.rotate), func(t *testing.T) {
			s, _ := coinifyRig(Rules{Rotate: row.rotate})
			access, refresh, again := loginAndRefresh(t, s)
			out := again(refresh)
			_, next := pairOf(out)
			if (next != "") != row.given || (next == refresh) != row.same {
				t.Errorf("reply %s after sending %s", out.raw, refresh)
			}
			if old, _ := s.Lookup(Coinify, access); !old.Alive {
				t.Error("the old access token died, though nothing said so")
			}
			if out := again(refresh); (out.status == 200) != row.oldWorks {
				t.Errorf("the old refresh token again: %d", out.status)
			}
		})
	}
}

func TestReuse(t *testing.T) {
	for _, detect := range []bool{false, true} {
		s, c := coinifyRig(Rules{Rotate: RotateSingleUse, DetectReuse: detect, ReplayWindow: 10 * time.Second})
		_, first, again := loginAndRefresh(t, s)
		other, _, _ := loginAndRefresh(t, s)
		reply := again(first)
		access, second := pairOf(reply)

		c.Move(9 * time.Second)
		replay := again(first)
		if a, r := pairOf(replay); a != access || r != second || replay.object["expires_in"] != 1191.0 {
			t.Errorf("a replay within the window: %s, want the pair of %s", replay.raw, reply.raw)
		}
		c.Move(time.Second)
		if out := again(first); out.status != 400 {
			t.Errorf("a replay after the window: %d", out.status)
		}
		counts := s.Counts(Coinify)
		if counts.Replays != 1 || counts.Reuses != 1 || counts.Refreshes != 1 {
			t.Errorf("the books count %d replays, %d reuses, %d refreshes", counts.Replays, counts.Reuses, counts.Refreshes)
		}
		if got := s.Ledger(Coinify).Accounts["a@example.com"].Reuses; got != 1 {
			t.Errorf("the account has %d reuses", got)
		}
		for _, token := range []string{access, second} {
			if entry, _ := s.Lookup(Coinify, token); entry.Alive == detect || detect && entry.Why != "reuse" {
				t.Errorf("detect=%v: after a reuse the family's token is %+v", detect, entry)
			}
		}
		if entry, _ := s.Lookup(Coinify, other); !entry.Alive {
			t.Error("a reuse killed another family")
		}
		if out := again(second); (out.status == 400) != detect {
			t.Errorf("detect=%v: refresh with the second token: %d", detect, out.status)
		}
	}
}

// A replay answers only while its successor lives: once that is spent, the pair is no longer the last one.
func TestNoReplayOfASpentSuccessor(t *testing.T) {
	s, _ := coinifyRig(Rules{Rotate: RotateSingleUse, ReplayWindow: time.Minute})
	_, first, again := loginAndRefresh(t, s)
	_, second := pairOf(again(first))
	again(second)
	if out := again(first); out.status != 400 || s.Counts(Coinify).Reuses != 1 {
		t.Errorf("status %d, %d reuses", out.status, s.Counts(Coinify).Reuses)
	}
}

func TestSessions(t *testing.T) {
	s, _ := coinifyRig(Rules{Session: OnePerAccount})
	first, _, _ := loginAndRefresh(t, s)
	loginAndRefresh(t, s)
	if entry, _ := s.Lookup(Coinify, first); entry.Alive || entry.Why != "replaced" {
		t.Errorf("one per account: the first token is %+v", entry)
	}
	a, _ := apironeRig(Rules{Session: SharedGrant})
	h := a.Handler(Apirone)
	good(t, h, jsonPost("/api/v2/auth/login", apironeBody))
	second := good(t, h, jsonPost("/api/v2/auth/login", apironeBody))
	good(t, h, withBearer("POST", "/api/v2/auth/logout", second.text("access-token")))
	if live := a.Live(Apirone, "apr-1"); len(live) != 0 {
		t.Errorf("shared grant: %d tokens outlived the logout", len(live))
	}
}

func TestRevokedBehindTheBack(t *testing.T) {
	s, _ := coinifyRig(Rules{})
	_, refresh, again := loginAndRefresh(t, s)
	if n := s.ExpireAccess(Coinify, "a@example.com"); n != 1 {
		t.Errorf("%d access tokens expired, want 1", n)
	}
	access, _ := pairOf(again(refresh))
	if n := s.RevokeAccount(Coinify, "nobody"); n != 0 {
		t.Errorf("%d tokens of nobody", n)
	}
	if n := s.RevokeAccount(Coinify, "a@example.com"); n != 2 {
		t.Errorf("%d tokens revoked, want 2", n)
	}
	if entry, _ := s.Lookup(Coinify, access); entry.Alive {
		t.Error("the token lives")
	}
}

// The books keep every living token, and about as many dead ones as they are told to.
func TestBooksAreBounded(t *testing.T) {
	c := newClock()
	s := New(Options{Now: c.Now, AnyAccount: true, TokenLog: 100, RequestLog: 10})
	h := s.Handler(Coinify)
	for range 3000 {
		good(t, h, jsonPost("/auth", coinifyLogin))
		c.Move(time.Second)
	}
	books := s.Ledger(Coinify)
	if books.Counts.LiveAccess != 1199 || books.Counts.LiveRefresh != 3000 {
		t.Errorf("%d and %d tokens live, want 1199 and 3000", books.Counts.LiveAccess, books.Counts.LiveRefresh)
	}
	if dead := len(books.Tokens) - 4199; dead < 100 || dead > 1300 {
		t.Errorf("%d dead tokens kept", dead)
	}
	if len(books.Requests) != 10 || !books.Requests[9].At.Equal(c.Now().Add(-time.Second)) || !books.Requests[0].At.Equal(c.Now().Add(-10*time.Second)) {
		t.Errorf("the request log is %+v", books.Requests)
	}
	s.ClearBooks(Coinify)
	if got := s.Counts(Coinify); got.Grants != 0 || got.LiveRefresh != 3000 {
		t.Errorf("after clearing: %+v", got)
	}
}

func TestRateLimit(t *testing.T) {
	s, c := coinifyRig(Rules{RateRequests: 3})
	h := s.Handler(Coinify)
	status := func() (got [4]int) {
		for i := range got {
			got[i] = send(t, h, jsonPost("/auth", coinifyLogin)).status
		}
		return got
	}
	if got := status(); got != [4]int{200, 200, 200, 429} {
		t.Errorf("statuses %v", got)
	}
	c.Move(400 * time.Millisecond)
	if out := send(t, h, jsonPost("/auth", coinifyLogin)); out.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", out.header.Get("Retry-After"))
	}
	c.Move(600 * time.Millisecond)
	if got := status(); got != [4]int{200, 200, 200, 429} {
		t.Errorf("statuses %v a second later", got)
	}
	if got := s.Counts(Coinify); got.Throttled != 3 || got.PeakPerSecond != 5 || got.Grants != 6 {
		t.Errorf("the books say %+v", got)
	}
}
