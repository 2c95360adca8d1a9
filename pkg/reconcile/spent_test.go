package reconcile

import (
	"testing"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// What is known of a refresh token after a call that sent it and brought nothing: one
// that works once gets one last try, and no other.
func TestWhatACallLeavesOfARefreshToken(t *testing.T) {
	const usable, doubt, refused = state.RefreshUsable, state.RefreshIndeterminate, state.RefreshRefused
	once := map[string]bool{"always": true, "never": false, "observe": true, "observe, it rotated": true, "observe, it stayed": false}
	rotates := map[string]string{"always": spec.RotatesAlways, "never": spec.RotatesNever}
	for kind, single := range once {
		traits := Traits{Rotates: rotates[kind]}
		if traits.Rotates == "" {
			traits.Rotates = spec.RotatesObserve
		}
		g := state.Grant{Rotation: map[string]state.Rotation{"observe, it rotated": state.RotationRotated, "observe, it stayed": state.RotationKept}[kind]}
		for _, c := range []struct {
			before state.RefreshState
			intent state.Intent
			want   state.RefreshState // where it works once; else as before
		}{
			{usable, state.Intent{}, doubt},
			{usable, state.Intent{Replay: true}, doubt},
			{doubt, state.Intent{}, doubt}, // as it became while the call was on its way
			{doubt, state.Intent{LastTry: true}, refused},
			{refused, state.Intent{}, refused},
			{refused, state.Intent{LastTry: true}, refused},
		} {
			want := c.want
			if !single {
				want = c.before
			}
			g.RefreshState = c.before
			if got := afterCall(traits, &g, &c.intent); got != want {
				t.Errorf("%s: one that is %d, sent by %+v: %d, want %d", kind, c.before, c.intent, got, want)
			}
		}
	}
}

// The daemon and a plan make the same of an open intent.
func TestAnOpenRefreshMeansTheSameToAPlan(t *testing.T) {
	for _, before := range []state.RefreshState{state.RefreshUsable, state.RefreshIndeterminate, state.RefreshRefused} {
		for _, last := range []bool{false, true} {
			for _, rotates := range []string{spec.RotatesAlways, spec.RotatesNever, spec.RotatesObserve} {
				in := anInput(func(in *Input) {
					in.Held.Rotates, in.Record.Grant.RefreshState = rotates, before
					in.Intent = &state.Intent{Op: opRefresh, LastTry: last, At: t0}
				})
				want := afterCall(in.Held, in.Record.Grant, in.Intent)
				in.settle(Step{})
				if got := in.Record.Grant; got.RefreshState != want || !got.LostRefresh {
					t.Errorf("%s, %d, last try %v: a plan says %d, want %d", rotates, before, last, got.RefreshState, want)
				}
			}
		}
	}
}
