package reconcile_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// shifter is an API whose refresh answers in another form than its grant does, and whose
// refresh tokens work once. Every reply's tokens are numbered together.
type shifter struct {
	mu     sync.Mutex
	n      int
	spent  map[string]bool
	reused int
	ended  []string // access tokens that were revoked
}

func (s *shifter) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rw.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/grant":
		s.n++
		fmt.Fprintf(rw, `{"access_token":"a%d","refresh_token":"r%d","expires_in":600}`, s.n, s.n)
	case "/refresh":
		token := r.FormValue("refresh_token")
		if s.spent[token] {
			s.reused++
		}
		s.spent[token] = true
		s.n++
		fmt.Fprintf(rw, `{"token":"a%d","next":"r%d","ttl":600}`, s.n, s.n)
	case "/revoke":
		s.ended = append(s.ended, r.FormValue("token"))
		fmt.Fprint(rw, `{}`)
	}
}

// seen are the tokens that were issued so far, and those that were revoked.
func (s *shifter) seen() (issued int, ended []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n, slices.Clone(s.ended)
}

const shiftedCred = "credential.shift.a"

// shifted is a credential of that API, by a type that reads its refreshes or does not.
func shifted(mended bool, more string) string {
	response := `
    access_token  = body.access_token
    refresh_token = body.refresh_token
    expires_in    = body.expires_in`
	if mended {
		response = `
    access_token  = body.access_token != null ? body.access_token : body.token
    refresh_token = body.refresh_token != null ? body.refresh_token : body.next
    expires_in    = body.expires_in != null ? body.expires_in : body.ttl`
	}
	return shiftedType(response) + more + `
credential "shift" "a" {
  user     = "a"
  password = secret.mem.pw.value
}
sink "mem" "a" {
  place   = "a"
  content = credential.shift.a.access_token
}
`
}

func shiftedType(response string) string {
	return `
tokend {
  guard { settle = "1s" }
}
secret "mem" "pw" { value = "a-password" }
provider "shift" { allow_insecure_http = true }
provider_type "shift" {
  session = "independent"
  grant "password" {
    input "user" { type = string }
    input "password" {
      type      = string
      sensitive = true
    }
    request {
      method = "POST"
      url    = "http://shift.localhost/grant"
      form   = { user = input.user, password = input.password }
    }
  }
  response {` + response + `
  }
  refresh {
    rotates = true
    request {
      method = "POST"
      url    = "http://shift.localhost/refresh"
      form   = { refresh_token = token.refresh_token }
    }
  }
  revoke {
    request {
      method = "POST"
      url    = "http://shift.localhost/revoke"
      form   = { token = token.access_token }
    }
  }
}
`
}

func inShiftingWorld(t *testing.T, f func(t *testing.T, w *world, s *shifter)) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		s := &shifter{spent: map[string]bool{}}
		w.serveAlso(s, "shift.localhost")
		f(t, w, s)
		if s.reused > 0 {
			t.Errorf("%d refresh tokens were sent twice", s.reused)
		}
	})
}

// besideOne lets a refresh be answered by what cannot be read, and the grant come before
// the token held ends.
func (w *world) besideOne() {
	w.t.Helper()
	w.set(shifted(false, ""))
	w.until("it has its first token", func() bool { return w.places.get("a") == "a1" })
	w.wait(10 * time.Minute)
	if rec, _ := w.recordOf(shiftedCred); rec.Raw != nil || len(rec.Kept) != 1 || rec.Orphans.Total() != 1 || w.places.get("a") != "a3" {
		w.t.Fatalf("a reply is kept: %v, and %d beside; %d orphans; its place holds %s", rec.Raw != nil, len(rec.Kept), rec.Orphans.Total(), w.places.get("a"))
	}
}

// A reply to a refresh that cannot be read is kept also once the grant has brought a newer
// token, and a retry reads it after the type was mended: what it brought is revoked, and
// nothing else is. A crash in between changes nothing.
func TestAReplyIsKeptBesideANewerToken(t *testing.T) {
	inShiftingWorld(t, func(t *testing.T, w *world, s *shifter) {
		w.besideOne()
		for _, when := range []string{"at once", "after a crash"} {
			l := w.line(shiftedCred)
			if l.State != reconcile.Ready || l.Orphans != 1 || !strings.Contains(l.Why, "a reply is kept that could not be read") || !strings.Contains(l.Mend, "then: tokend retry shift.a") {
				t.Errorf("%s it is %+v", when, l)
			}
			// By the same type it still cannot be read, which is said; nothing is sent.
			before, _ := s.seen()
			if err := w.loop.Do(t.Context(), shiftedCred, reconcile.Order{Kind: reconcile.OrderRetry}); err == nil || !strings.Contains(err.Error(), "still cannot be read") {
				t.Errorf("%s a retry says %v", when, err)
			}
			if after, _ := s.seen(); after != before {
				t.Errorf("%s a retry has sent something", when)
			}
			w.crash()
			w.set(shifted(false, ""))
			w.wait(time.Second)
		}
		w.set(shifted(true, ""))
		if err := w.loop.Do(t.Context(), shiftedCred, reconcile.Order{Kind: reconcile.OrderRetry}); err != nil {
			t.Fatal(err)
		}
		w.wait(time.Minute)
		rec, _ := w.recordOf(shiftedCred)
		if _, ended := s.seen(); !slices.Contains(ended, "a2") || slices.Contains(ended, "a3") || len(rec.Kept) != 0 || rec.Orphans.Total() != 0 {
			t.Errorf("%v were revoked; %d replies are kept, %d orphans counted", ended, len(rec.Kept), rec.Orphans.Total())
		}
		if l := w.line(shiftedCred); l.State != reconcile.Ready || l.Why != "" || w.places.get("a") != "a3" {
			t.Errorf("it is %+v, and its place holds %s", l, w.places.get("a"))
		}
		w.pass(2*time.Hour, time.Minute, func() {
			if at := w.line(shiftedCred).ExpiresAt; !at.After(time.Now()) {
				t.Fatalf("its token has ended at %s", at)
			}
		})
	})
}

// They are kept until they are read, or until a person says that what they brought was
// looked after; and so many of them at the most: no refresh is sent then whose reply
// would push one out, which nobody could revoke any more.
func TestSoManyRepliesAreKeptBeside(t *testing.T) {
	inShiftingWorld(t, func(t *testing.T, w *world, s *shifter) {
		w.besideOne()
		w.wait(90 * time.Minute)
		rec, _ := w.recordOf(shiftedCred)
		if len(rec.Kept) != 4 || rec.Orphans.Total() != 4 || w.line(shiftedCred).State != reconcile.Ready {
			t.Fatalf("%d replies are kept, %d orphans counted", len(rec.Kept), rec.Orphans.Total())
		}
		for i := range rec.Kept[1:] {
			if !rec.Kept[i+1].At.After(rec.Kept[i].At) {
				t.Errorf("they are not in order: %s, then %s", rec.Kept[i].At, rec.Kept[i+1].At)
			}
		}
		if err := w.loop.Do(t.Context(), shiftedCred, reconcile.Order{Kind: reconcile.OrderOrphans}); err != nil {
			t.Fatal(err)
		}
		w.wait(time.Second)
		if rec, _ := w.recordOf(shiftedCred); len(rec.Kept) != 0 || rec.Orphans.Total() != 0 {
			t.Errorf("looked after, %d replies are kept, %d orphans counted", len(rec.Kept), rec.Orphans.Total())
		}
	})
}

// What is kept of a credential whose block is removed is kept with its orphans, and read
// once a block is there again whose type can; what it brought is revoked like any.
func TestAReplyIsKeptBesideARemoval(t *testing.T) {
	inShiftingWorld(t, func(t *testing.T, w *world, s *shifter) {
		w.besideOne()
		gone, _, _ := strings.Cut(shifted(false, ""), "credential \"shift\"")
		w.set(gone + "credential \"shift\" \"b\" {\n  user     = \"b\"\n  password = secret.mem.pw.value\n}\n")
		w.wait(5 * time.Minute)
		if l := w.line(shiftedCred); l.State != reconcile.Removed || l.Orphans != 1 {
			t.Fatalf("removed, it is %+v", l)
		}
		w.crash()
		w.set(shifted(true, ""))
		w.wait(time.Minute)
		if err := w.loop.Do(t.Context(), shiftedCred, reconcile.Order{Kind: reconcile.OrderRetry}); err != nil {
			t.Fatal(err)
		}
		w.wait(time.Minute)
		rec, _ := w.recordOf(shiftedCred)
		if _, ended := s.seen(); !slices.Contains(ended, "a2") || len(rec.Kept) != 0 || rec.Orphans.Total() != 0 || rec.Grant == nil {
			t.Errorf("%v were revoked; %d replies are kept, %d orphans counted", ended, len(rec.Kept), rec.Orphans.Total())
		}
	})
}

// A move brings what is kept along, to where some is kept, too.
func TestAMoveBringsKeptRepliesAlong(t *testing.T) {
	inShiftingWorld(t, func(t *testing.T, w *world, _ *shifter) {
		w.besideOne()
		renamed := strings.NewReplacer(`credential "shift" "a"`, `credential "shift" "b"`, "credential.shift.a.", "credential.shift.b.").Replace(shifted(false, ""))
		w.set(renamed + "moved {\n  from = credential.shift.a\n  to   = credential.shift.b\n}\n")
		w.wait(time.Minute)
		if rec, _ := w.recordOf("credential.shift.b"); len(rec.Kept) != 1 || rec.Orphans.Total() != 1 || rec.Grant == nil {
			t.Errorf("%d replies are kept, %d orphans counted", len(rec.Kept), rec.Orphans.Total())
		}
	})
}
