package reconcile

import (
	"testing"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/state"
)

// A doubt about a refresh token holds for what a call has left as it was, and for
// nothing that it has renewed: that token has just worked, also where it stays.
func TestADoubtHoldsForWhatWasNotRenewed(t *testing.T) {
	grant := func(generation uint64, access, refresh string) state.Grant {
		return state.Grant{Generation: generation, AccessToken: secret.New(access), RefreshToken: secret.New(refresh), RefreshState: state.RefreshUsable, ObtainedAt: t0}
	}
	held, old := grant(2, "a2", "r2"), grant(1, "a1", "r1")
	refreshed, revived := grant(3, "a3", "r2"), grant(1, "a1'", "r1")
	replaced := grant(3, "a3", "r3")
	for name, c := range map[string]struct {
		held     state.Grant
		retiring []state.Grant
		want     []state.RefreshState // of the one in force, then of those that are retiring
	}{
		"nothing was renewed":               {held, []state.Grant{old}, []state.RefreshState{state.RefreshIndeterminate, state.RefreshIndeterminate}},
		"refreshed, and not rotated":        {refreshed, []state.Grant{old}, []state.RefreshState{state.RefreshUsable, state.RefreshIndeterminate}},
		"an old one refreshed, not rotated": {held, []state.Grant{revived}, []state.RefreshState{state.RefreshIndeterminate, state.RefreshUsable}},
		"replaced":                          {replaced, []state.Grant{old, held}, []state.RefreshState{state.RefreshUsable, state.RefreshIndeterminate, state.RefreshIndeterminate}},
	} {
		t.Run(name, func(t *testing.T) {
			was := held
			stored := state.Credential{Grant: &was, Retiring: []state.Grant{old}}
			stored.Doubt(t0.Add(time.Minute), time.Time{})
			rec := state.Credential{Grant: &c.held, Retiring: c.retiring}
			keepDoubt(&rec, &stored, t0.Add(time.Minute))
			for i, g := range grantsOf(&rec) {
				if g.RefreshState != c.want[i] {
					t.Errorf("%s is %q, want %q", g.RefreshToken.Reveal(), g.RefreshState, c.want[i])
				}
			}
			if !rec.Restored.Equal(stored.Restored) || rec.Orphans.Total() != stored.Orphans.Total() {
				t.Errorf("restored %s, %d orphans", rec.Restored, rec.Orphans.Total())
			}
		})
	}
}

// What another credential's call has ended is not forgotten for a call that was under way
// meanwhile and brought nothing; a token that it brought is another.
func TestADeathHoldsForTheTokenThatDied(t *testing.T) {
	grant := func(generation uint64) *state.Grant {
		return &state.Grant{Generation: generation, AccessToken: secret.New("a")}
	}
	for _, c := range []struct{ was, is, want uint64 }{{2, 2, 2}, {2, 3, 0}} {
		stored, rec := state.Credential{Grant: grant(c.was)}, state.Credential{Grant: grant(c.is)}
		died(&stored, "it ended with another")
		if keepDoubt(&rec, &stored, t0); rec.Verified.Refused != c.want {
			t.Errorf("generation %d died, and of %d it is said that %d did", c.was, c.is, rec.Verified.Refused)
		}
	}
}

// The orphan that comes with a doubt is counted, however many there were before that
// have ended: those that it was written without.
func TestADoubtsOrphanIsCounted(t *testing.T) {
	now := t0.Add(time.Hour)
	ended := state.Orphans{{Count: 2, Since: t0, Until: t0.Add(time.Minute)}}
	of := func() state.Credential {
		return state.Credential{Grant: &state.Grant{AccessToken: secret.New("a"), RefreshToken: secret.New("r"), RefreshState: state.RefreshUsable}, Orphans: ended}
	}
	stored, rec := of(), of()
	stored.Doubt(now, time.Time{})
	keepDoubt(&rec, &stored, now)
	if n := rec.Orphans.Living(now); n != 1 {
		t.Errorf("%d orphans that may live, want 1", n)
	}
}

// A record may take an address where no token is held: it goes on with the orphans that
// are counted there, but for those that have ended.
func TestAnAddressWithOrphansIsVacant(t *testing.T) {
	const addr = "credential.x.a"
	for name, c := range map[string]struct {
		until time.Time
		left  int
	}{"ended": {t0.Add(time.Minute), 0}, "alive": {t0.Add(2 * time.Hour), 1}, "nobody knows": {time.Time{}, 1}} {
		t.Run(name, func(t *testing.T) {
			store := state.NewMemory(state.MemoryOptions{})
			defer store.Close()
			rec := state.Credential{Head: state.Head{Address: addr, Kind: state.KindCredential}, Orphans: state.Orphans{{Count: 1, Since: t0, Until: c.until}}}
			if err := store.Commit(t.Context(), state.Change{Credential: &rec}); err != nil {
				t.Fatal(err)
			}
			if v, ok, err := vacant(t.Context(), store, addr, t0.Add(time.Hour)); err != nil || !ok || v.version != 1 || v.orphans.Total() != c.left {
				t.Errorf("vacant %t: %+v (%v), want %d orphans", ok, v, err, c.left)
			}
		})
	}
}
