package reconcile

import (
	"slices"
	"strings"
)

// again says of a step why it failed when it was tried last: why there is no token, say.
// That the next try is near, or its time has come, is no reason to leave that out.
func (s *Step) again(why, mend string) {
	s.Again, s.Why, s.Mend = true, why, mend
	if !strings.HasSuffix(s.Reason, "failed") {
		s.Reason += ", and its last try failed"
	}
}

// triedAgain says so of a step about a credential. What is found to have failed while the
// plan is made, such as a call whose reply was lost, says itself what it means.
func (n *foreseen) triedAgain(s *Step) {
	in := n.cred
	op := opGrant
	switch s.Action {
	case ActRevoke, ActRevive:
		if r := in.Record.Retiring[s.Retiring].Retired; r.Attempts > 0 && r.Message != "" {
			s.again(r.Message, in.mendRevocation(r))
		}
		return
	case ActRefresh, ActReplay:
		op = opRefresh
	case ActObtain, ActReplace, ActStatic:
	default:
		return
	}
	if f := in.failureOf(op); f != nil && f.Op == op && slices.Contains(n.failed, f) {
		s.again(f.Message, mendFailure(in, f))
		s.State = Failing
	}
}

// triedAgain says so of a step about a sink.
func (in *SinkInput) triedAgain(s *Step) {
	op := opWrite
	switch s.Action {
	case ActClean, ActRemove:
		op = opClean
	case ActWrite, ActRepair:
	default:
		return
	}
	if f := in.failing(); f != nil && f.Op == op {
		s.again(f.Message, mendSink(in, f))
		s.State = Failing
	}
}
