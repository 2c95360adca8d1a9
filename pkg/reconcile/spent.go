package reconcile

import (
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// Whether a refresh token may be sent is what its grant's [state.RefreshState] says:
// [canRefresh] sends a usable one only, and [indeterminate] a doubtful one once. What a
// call leaves of it that brought nothing is for [afterCall] to say, for the daemon and
// for plans alike.

// afterCall is what is known of a grant's refresh token after a call that sent it and
// that brought nothing, though the API may have taken it: its reply was lost, or
// cannot be read. One that works once may be spent then, so that one last try is left;
// but none after that try, whatever became of it, and none of a token that was refused
// before, which is of no more use than it was. One that stays the same is none the
// worse.
func afterCall(t Traits, g *state.Grant, i *state.Intent) state.RefreshState {
	switch {
	case !singleUse(t, g):
		return g.RefreshState
	case i.LastTry, g.RefreshState == state.RefreshRefused:
		return state.RefreshRefused
	}
	return state.RefreshIndeterminate
}

// singleUse reports whether a grant's refresh token must be taken for one that
// works once.
func singleUse(t Traits, g *state.Grant) bool {
	switch t.Rotates {
	case spec.RotatesNever:
		return false
	case spec.RotatesAlways:
		return true
	}
	return g.Rotation != state.RotationKept
}
