// Package storetest checks that a state.Store keeps the contract of package
// state. An implementation's test is a call of [Run]:
//
//	storetest.Run(t, storetest.Harness{Open: openStore, Reopen: reopenStore})
//
// The suite looks at what callers rely on: that a commit is whole or absent,
// that a write made from an old version loses alone, that an intent outlives
// everything but its clearing, and that what Later was given is seen in order.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/secret"
	"tokend/pkg/state"
)

// Harness makes the stores under test.
type Harness struct {
	// Open makes an empty store; the suite closes it.
	Open func(t *testing.T) state.Store
	// Reopen closes the store and opens its data again, as the next process
	// would. Nil where nothing is kept.
	Reopen func(t *testing.T, s state.Store) state.Store
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	tests := []struct {
		name string
		run  func(t *testing.T, s state.Store)
	}{
		{"an absent thing is not found", absent},
		{"a credential comes back as it was committed", credentialRoundTrip},
		{"a sink comes back as it was committed", sinkRoundTrip},
		{"versions grow by one with each write", versionsGrow},
		{"a write from an old version conflicts", staleWriteConflicts},
		{"a conflict leaves nothing of its commit", conflictIsAtomic},
		{"a conflict among many commits fails alone", conflictFailsAlone},
		{"a record of another kind is not found and not overwritten", kindsDiffer},
		{"an intent stays until it is cleared", intentLives},
		{"an intent makes a record where there is none", intentMakesRecord},
		{"an intent can be opened anew", intentReplaced},
		{"a deletion takes the intent with it", deletion},
		{"what is handed out is a copy", copies},
		{"heads tell what the records hold", heads},
		{"a scan ends where its function says", headsStop},
		{"all sinks come back at once as they were committed", allSinks},
		{"a scan of sinks ends where its function says", sinksStop},
		{"blobs are stored once and dropped by name", blobs},
		{"named values are written and deleted in commits", meta},
		{"a value is given as it is applied", metaNow},
		{"what Later was given is seen in order", laterOrder},
		{"a Later that conflicts says so", laterConflict},
		{"changes without sense are refused", nonsense},
		{"hashes depend on label and content alone", hashes},
		{"the serial grows with commits", serial},
		{"a context that has ended commits nothing", endedContext},
		{"a closed store refuses", closed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := h.Open(t)
			t.Cleanup(func() { _ = s.Close() })
			test.run(t, s)
		})
	}
	if h.Reopen != nil {
		t.Run("everything committed is there after reopening", func(t *testing.T) { reopened(t, h) })
		t.Run("closing writes what Later was given", func(t *testing.T) { laterAtClose(t, h) })
	}
}

const address = `credential.coinify.trader["alice"]`

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

// credential is a record with something in every part.
func credential(address string, generation uint64) state.Credential {
	return state.Credential{
		Head: state.Head{Address: address, Kind: state.KindCredential, Generation: generation, Due: epoch.Add(time.Hour), ExpiresAt: epoch.Add(2 * time.Hour),
			Digest: [16]byte{1, 2, 3}, Flags: state.FlagPreventDestroy | state.FlagRetiring},
		Grant: &state.Grant{Generation: generation, Endpoint: "blob", Provider: "provider.coinify.default", Type: "coinify", GrantType: "password",
			AccessToken: secret.New(fmt.Sprintf("access-%d", generation)), RefreshToken: secret.New(fmt.Sprintf("refresh-%d", generation)), TokenType: "Bearer",
			HeaderName: "Authorization", Header: secret.New("Bearer x"), Scopes: []string{"trade", "read"}, Outputs: []byte("{}"), GrantedAt: epoch, ObtainedAt: epoch,
			ExpiresAt: epoch.Add(2 * time.Hour), Rotation: state.RotationRotated, RefreshState: 1, Origins: []string{"https://api.example.com:443"},
			InputHashes: map[string]string{"email": "h1", "password": "h2"}, Inputs: []byte{0, 1, 2}, Revision: "0123abcd"},
		Retiring: []state.Grant{{Generation: 1, AccessToken: secret.New("old"), Retired: &state.Retired{Since: epoch, Cause: "refresh", Attempts: 2, Alike: 1}}},
		Failure:  &state.Failure{Op: "refresh", Class: "transient", Message: "502", Count: 3, FirstAt: epoch, LastAt: epoch, NextAt: epoch},
		Raw:      &state.Raw{Op: "refresh", Status: 200, Header: map[string][]string{"Date": {"now", "then"}}, Body: secret.New("<html>")},
		Kept:     []state.Raw{{Op: "refresh", At: epoch, Status: 200, Body: secret.New("kept"), Inputs: []byte{1}, Generation: 2, Until: epoch.Add(time.Hour)}, {Op: "grant"}},
		Removing: &state.Removing{Since: epoch, Reason: "its block is gone"},
		Orphans:  state.Orphans{{Count: 1, Since: epoch, Until: epoch.Add(time.Hour)}, {Count: 2}}, Note: "refreshed", LostPoll: "a-code", Verified: state.Verified{Refused: generation, At: epoch, Why: "401", Renewed: []time.Time{epoch}},
		Lifecycle: state.Lifecycle{OnRemove: "revoke", PreventDestroy: true, Overlap: 30 * time.Second, MaxOverlap: time.Hour},
	}
}

func sink(address string) state.Sink {
	return state.Sink{Head: state.Head{Address: address, Kind: state.KindSink, Flags: state.FlagHookPending}, SinkKind: "file", Written: []byte("sha256"),
		Delivered: map[string]uint64{"credential.a.b": 7}, WrittenAt: epoch, Leaving: [][]byte{[]byte("former place")}, Notify: []string{"hook.exec.nginx"},
		Left:    map[string]map[string]uint64{"former place": {"credential.a.b": 6, "credential.a.c": 1}, "nothing": nil},
		Failure: &state.Failure{Op: "write", Class: "transient"}}
}

func intent(attempt int) *state.Intent {
	return &state.Intent{Op: "refresh", Attempt: attempt, At: epoch, Boot: "boot", Monotonic: time.Minute, TokenHash: "hash", Endpoint: "blob", GrantType: "password",
		Generation: 3, Replay: attempt > 1}
}

func commit(t *testing.T, s state.Store, changes ...state.Change) {
	t.Helper()
	if err := s.Commit(t.Context(), changes...); err != nil {
		t.Fatalf("Commit = %v, want nil", err)
	}
}

func read(t *testing.T, s state.Store, address string) (state.Credential, *state.Intent) {
	t.Helper()
	c, i, err := s.Credential(t.Context(), address)
	if err != nil {
		t.Fatalf("Credential(%s) = %v, want nil", address, err)
	}
	return c, i
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s = %v, want %v", what, err, want)
	}
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s differs (-want +got):\n%s", what, d)
	}
}

func absent(t *testing.T, s state.Store) {
	_, _, err := s.Credential(t.Context(), address)
	wantError(t, "Credential", err, state.ErrNotFound)
	_, err = s.Sink(t.Context(), "sink.file.a")
	wantError(t, "Sink", err, state.ErrNotFound)
	_, err = s.Blob(t.Context(), "nothing")
	wantError(t, "Blob", err, state.ErrNotFound)
	_, err = s.Meta(t.Context(), "nothing")
	wantError(t, "Meta", err, state.ErrNotFound)
	wantError(t, "deleting", s.Commit(t.Context(), state.Change{Delete: address}), state.ErrNotFound)
	commit(t, s, state.Change{IntentFor: address, ClearIntent: true})
	commit(t, s, state.Change{MetaKey: "nothing"})
	if err := s.DropBlobs(t.Context(), []string{"nothing"}); err != nil {
		t.Errorf("DropBlobs of an absent blob = %v, want nil", err)
	}
}

func credentialRoundTrip(t *testing.T, s state.Store) {
	want := credential(address, 3)
	commit(t, s, state.Change{Credential: &want})
	if want.Head.Version != 1 {
		t.Errorf("the first commit set version %d, want 1", want.Head.Version)
	}
	got, i := read(t, s, address)
	diff(t, "the credential", want, got)
	if i != nil {
		t.Errorf("the intent is %v, want none", i)
	}
	small := state.Credential{Head: state.Head{Address: "credential.x.y"}}
	commit(t, s, state.Change{Credential: &small})
	got, _ = read(t, s, "credential.x.y")
	diff(t, "the empty credential", small, got)
}

func sinkRoundTrip(t *testing.T, s state.Store) {
	want := sink("sink.file.a")
	commit(t, s, state.Change{Sink: &want})
	got, err := s.Sink(t.Context(), "sink.file.a")
	if err != nil {
		t.Fatalf("Sink = %v", err)
	}
	diff(t, "the sink", want, got)
}

func versionsGrow(t *testing.T, s state.Store) {
	c := credential(address, 1)
	for v := uint64(1); v <= 5; v++ {
		c.Note = fmt.Sprint(v)
		commit(t, s, state.Change{Credential: &c})
		got, _ := read(t, s, address)
		if c.Head.Version != v || got.Head.Version != v || got.Note != fmt.Sprint(v) {
			t.Fatalf("after %d writes the version is %d (read %d) and the note %q", v, c.Head.Version, got.Head.Version, got.Note)
		}
	}
}

func staleWriteConflicts(t *testing.T, s state.Store) {
	first := credential(address, 1)
	commit(t, s, state.Change{Credential: &first})
	stale := first
	first.Note = "newer"
	commit(t, s, state.Change{Credential: &first})
	stale.Note = "stale"
	wantError(t, "the stale write", s.Commit(t.Context(), state.Change{Credential: &stale}), state.ErrConflict)
	if stale.Head.Version != 1 {
		t.Errorf("the failed commit set version %d, want 1 as before", stale.Head.Version)
	}
	again := credential(address, 9)
	wantError(t, "a second creation", s.Commit(t.Context(), state.Change{Credential: &again}), state.ErrConflict)
	ahead := first
	ahead.Head.Version++
	wantError(t, "a write from the future", s.Commit(t.Context(), state.Change{Credential: &ahead}), state.ErrConflict)
	absent := credential("credential.never.stored", 1)
	absent.Head.Version = 4
	wantError(t, "a write of a record that is gone", s.Commit(t.Context(), state.Change{Credential: &absent}), state.ErrConflict)
	got, _ := read(t, s, address)
	diff(t, "the record", first, got)
}

func conflictIsAtomic(t *testing.T, s state.Store) {
	old := credential(address, 1)
	commit(t, s, state.Change{Credential: &old})
	fresh, stale, k := credential("credential.other.one", 1), old, sink("sink.file.a")
	stale.Head.Version = 7
	err := s.Commit(t.Context(), state.Change{Credential: &fresh}, state.Change{Sink: &k}, state.Change{MetaKey: "k", Meta: []byte("v")},
		state.Change{Intent: intent(1), IntentFor: "credential.third.one"}, state.Change{Credential: &stale})
	wantError(t, "the commit", err, state.ErrConflict)
	for _, a := range []string{"credential.other.one", "credential.third.one"} {
		_, _, err = s.Credential(t.Context(), a)
		wantError(t, "Credential of the failed commit", err, state.ErrNotFound)
	}
	_, err = s.Sink(t.Context(), "sink.file.a")
	wantError(t, "Sink of the failed commit", err, state.ErrNotFound)
	_, err = s.Meta(t.Context(), "k")
	wantError(t, "Meta of the failed commit", err, state.ErrNotFound)
	if fresh.Head.Version != 0 || k.Head.Version != 0 {
		t.Error("a failed commit set versions")
	}
}

func conflictFailsAlone(t *testing.T, s state.Store) {
	base := credential(address, 1)
	commit(t, s, state.Change{Credential: &base})
	const n = 64
	errs := make(chan error, n)
	for i := range n {
		go func() {
			if i%4 == 0 {
				c := base
				c.Head.Version = 99
				errs <- s.Commit(context.WithoutCancel(t.Context()), state.Change{Credential: &c})
				return
			}
			c := credential(fmt.Sprintf("credential.a.b[%d]", i), 1)
			errs <- s.Commit(context.WithoutCancel(t.Context()), state.Change{Credential: &c})
		}()
	}
	conflicts := 0
	for range n {
		if err := <-errs; errors.Is(err, state.ErrConflict) {
			conflicts++
		} else if err != nil {
			t.Errorf("Commit = %v", err)
		}
	}
	if conflicts != n/4 {
		t.Errorf("%d commits conflicted, want %d", conflicts, n/4)
	}
	if got := s.Info().Records; got != 1+n-n/4 {
		t.Errorf("there are %d records, want %d", got, 1+n-n/4)
	}
}

func kindsDiffer(t *testing.T, s state.Store) {
	c := credential(address, 1)
	commit(t, s, state.Change{Credential: &c})
	_, err := s.Sink(t.Context(), address)
	wantError(t, "Sink of a credential", err, state.ErrNotFound)
	k := sink(address)
	k.Head.Version = 1
	wantError(t, "a sink over a credential", s.Commit(t.Context(), state.Change{Sink: &k}), state.ErrConflict)
}

func deletion(t *testing.T, s state.Store) {
	c := credential(address, 1)
	commit(t, s, state.Change{Credential: &c, Intent: intent(1)})
	wantError(t, "deleting another version", s.Commit(t.Context(), state.Change{Delete: address, DeleteVersion: 5}), state.ErrConflict)
	commit(t, s, state.Change{Delete: address, DeleteVersion: 1})
	_, _, err := s.Credential(t.Context(), address)
	wantError(t, "Credential", err, state.ErrNotFound)
	if info := s.Info(); info.Records != 0 || info.Intents != 0 {
		t.Errorf("Info counts %d records and %d intents, want none", info.Records, info.Intents)
	}
	again := credential(address, 1)
	commit(t, s, state.Change{Credential: &again})
	if _, i := read(t, s, address); i != nil {
		t.Errorf("the new record has the intent %v of the deleted one", i)
	}
	moved := again
	moved.Head.Address, moved.Head.Version = "credential.new.name", 0
	commit(t, s, state.Change{Delete: address}, state.Change{Credential: &moved})
	got, _ := read(t, s, "credential.new.name")
	diff(t, "the moved record", moved, got)
}

func blobs(t *testing.T, s state.Store) {
	big := bytes.Repeat([]byte("provider_type "), 10_000)
	var names []string
	for _, content := range [][]byte{[]byte("small"), {}, big} {
		name, err := s.PutBlob(t.Context(), content)
		if err != nil {
			t.Fatalf("PutBlob = %v", err)
		}
		again, err := s.PutBlob(t.Context(), content)
		if err != nil || again != name {
			t.Errorf("putting the same blob again gave %q, %v, want %q", again, err, name)
		}
		got, err := s.Blob(t.Context(), name)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("Blob gave %d bytes, %v, want the %d that were put", len(got), err, len(content))
		}
		names = append(names, name)
	}
	got, err := s.Blobs(t.Context())
	slices.Sort(got)
	slices.Sort(names)
	if err != nil || !slices.Equal(got, names) {
		t.Errorf("Blobs = %q, %v, want %q", got, err, names)
	}
	if err := s.DropBlobs(t.Context(), names[:2]); err != nil {
		t.Errorf("DropBlobs = %v", err)
	}
	if got, err = s.Blobs(t.Context()); err != nil || !slices.Equal(got, names[2:]) {
		t.Errorf("after dropping two, Blobs = %q, %v, want %q", got, err, names[2:])
	}
}

func meta(t *testing.T, s state.Store) {
	c := credential(address, 1)
	commit(t, s, state.Change{MetaKey: "guard", Meta: []byte("log")}, state.Change{Credential: &c})
	if got, err := s.Meta(t.Context(), "guard"); err != nil || string(got) != "log" {
		t.Errorf("Meta = %q, %v, want log", got, err)
	}
	commit(t, s, state.Change{MetaKey: "guard", Meta: []byte{}})
	if got, err := s.Meta(t.Context(), "guard"); err != nil || len(got) != 0 {
		t.Errorf("Meta = %q, %v, want an empty value", got, err)
	}
	commit(t, s, state.Change{MetaKey: "guard"})
	_, err := s.Meta(t.Context(), "guard")
	wantError(t, "Meta after its deletion", err, state.ErrNotFound)
}

func metaNow(t *testing.T, s state.Store) {
	said := func(b string) func() []byte { return func() []byte { return []byte(b) } }
	commit(t, s, state.Change{MetaKey: "k", MetaNow: said("one")}, state.Change{MetaKey: "other", MetaNow: said("another")})
	c := credential(address, 1)
	commit(t, s, state.Change{Credential: &c, Intent: intent(1)}, state.Change{MetaKey: "k", MetaNow: said("two")})
	if got, err := s.Meta(t.Context(), "k"); err != nil || string(got) != "two" {
		t.Errorf("Meta = %q, %v, want two", got, err)
	}
	if got, err := s.Meta(t.Context(), "other"); err != nil || string(got) != "another" {
		t.Errorf("Meta = %q, %v, want another", got, err)
	}
	stale := credential(address, 1)
	if err := s.Commit(t.Context(), state.Change{Credential: &stale}, state.Change{MetaKey: "k", MetaNow: said("three")}); err == nil {
		t.Error("a write from an old version was taken")
	}
	if got, err := s.Meta(t.Context(), "k"); err != nil || string(got) != "two" {
		t.Errorf("after a commit that failed Meta = %q, %v, want two", got, err)
	}
	commit(t, s, state.Change{MetaKey: "k", MetaNow: func() []byte { return nil }})
	_, err := s.Meta(t.Context(), "k")
	wantError(t, "Meta after its deletion", err, state.ErrNotFound)

	// Of many that write at a time the last one's word holds, and it knows of all.
	var known atomic.Int64
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			known.Add(1)
			if err := s.Commit(t.Context(), state.Change{MetaKey: "k", MetaNow: func() []byte { return fmt.Append(nil, known.Load()) }}); err != nil {
				t.Errorf("Commit = %v", err)
			}
		})
	}
	all.Wait()
	if got, err := s.Meta(t.Context(), "k"); err != nil || string(got) != "200" {
		t.Errorf("Meta = %q, %v, want 200", got, err)
	}
	// In the place of each other, in one batch or several.
	s.Later(nil, state.Change{MetaKey: "k", MetaNow: said("now")})
	s.Later(nil, state.Change{MetaKey: "k", Meta: []byte("plain")})
	s.Later(nil, state.Change{MetaKey: "k", MetaNow: said("at last")})
	if got, err := s.Meta(t.Context(), "k"); err != nil || string(got) != "at last" {
		t.Errorf("Meta = %q, %v, want at last", got, err)
	}
}

func nonsense(t *testing.T, s state.Store) {
	c, k := credential(address, 1), sink("sink.file.a")
	for name, changes := range map[string][]state.Change{
		"nothing said":                 {{}},
		"two groups":                   {{Credential: &c, Sink: &k}},
		"no address":                   {{Credential: &state.Credential{}}},
		"an intent without an address": {{Intent: intent(1)}},
		"opened and cleared":           {{Intent: intent(1), ClearIntent: true, IntentFor: address}},
		"an intent for another":        {{Credential: &c, Intent: intent(1), IntentFor: "credential.x.y"}},
		"an address and no intent":     {{IntentFor: address}},
		"an intent of a sink's change": {{Sink: &k, Intent: intent(1)}},
		"one record twice":             {{Credential: &c}, {Credential: &c}},
		"written and deleted":          {{Credential: &c}, {Delete: address}},
		"deleted, its intent opened":   {{Delete: address}, {IntentFor: address, Intent: intent(1)}},
		"a value said in two ways":     {{MetaKey: "k", Meta: []byte("v"), MetaNow: func() []byte { return nil }}},
		"a value of no key":            {{Credential: &c, MetaNow: func() []byte { return nil }}},
		"one value twice":              {{MetaKey: "k"}, {MetaKey: "k", Meta: []byte("v")}},
	} {
		if err := s.Commit(t.Context(), changes...); err == nil {
			t.Errorf("%s: Commit = nil, want an error", name)
		}
	}
	if n := s.Info().Records; n != 0 {
		t.Errorf("%d records were made", n)
	}
	commit(t, s)
}

func hashes(t *testing.T, s state.Store) {
	h := s.Hash("input", []byte("value"))
	if h == "" || h != s.Hash("input", []byte("value")) {
		t.Errorf("the same hash twice gave %q and %q", h, s.Hash("input", []byte("value")))
	}
	for _, other := range []string{s.Hash("input", []byte("valuf")), s.Hash("inpu", []byte("tvalue")), s.Hash("", nil)} {
		if other == h {
			t.Errorf("a hash of something else is %q too", h)
		}
	}
}
