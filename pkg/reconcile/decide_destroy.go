package reconcile

import (
	"strings"

	"tokend/pkg/spec"
)

// destruction is what the configuration would have given up of one credential.
type destruction struct {
	cause  string // causeRemove, causeForget or causeReplace
	reason string
	origin string // words for a changed origin, which needs a person whatever the guard says
	person bool   // it comes with a login: a person's own doing
}

// destroys says whether the configuration would have a credential's token given
// up, now or once what is in the way (a back-off, an open call) is over. It is
// what the guard judges; [Decide] says when it happens.
func (in *Input) destroys() (destruction, bool) {
	r := &in.Record
	switch {
	case r.Grant == nil:
		return destruction{}, false
	case !in.Declared && (in.Stuck != "" || r.Lifecycle.PreventDestroy || r.Removing != nil):
		return destruction{}, false // held by something else, or begun
	case !in.Declared && in.forgets():
		return destruction{cause: causeForget, reason: "it is no longer declared, and its token is left alone"}, true
	case !in.Declared:
		return destruction{cause: causeRemove, reason: "it is no longer declared"}, true
	case in.preventsDestroy():
		return destruction{}, false
	case in.Origins != "":
		return destruction{cause: causeReplace, reason: in.Origins, origin: in.Origins, person: in.Traits.Interactive}, true
	case len(in.WantsNew) > 0 && !in.followsKey() && !in.Traits.Interactive:
		return destruction{cause: causeReplace, reason: strings.Join(in.WantsNew, ", ") + " changed"}, true
	}
	return destruction{}, false
}

// followsKey says that a static key takes the place of another one: nothing is
// given up then that lives at a provider.
func (in *Input) followsKey() bool { return in.Traits.Static && in.Held.Static }

// forgets says that a removed credential's token is left alone.
func (in *Input) forgets() bool {
	return in.Forgotten || in.Record.Lifecycle.OnRemove == spec.OnRemoveForget
}

func (in *Input) whyForget() string {
	if in.Forgotten {
		return "a removed block says to forget it"
	}
	return "on_remove = \"forget\""
}
