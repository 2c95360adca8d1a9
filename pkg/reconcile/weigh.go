package reconcile

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// weights are what a change is weighed with.
type weights struct {
	guard       spec.Guard     // as the configuration declares it
	accepted    *guardSettings // as it was; nil: there is nothing before
	total       change         // what the state has
	approved    map[string]string
	unseen      []string // what could not be looked at, or began meanwhile: what was approved of it stays so
	before      heldMemory
	credentials int // that the configuration declares
	allow       int // that a person agreed to
	now         time.Time
	store       state.Store
}

// weigh asks the guard about all that a change would destroy together.
func (v *verdict) weigh(all []candidate, w weights) {
	for _, a := range w.unseen {
		if digest, ok := w.approved[a]; ok {
			v.approved[a] = digest
		}
	}
	pending := v.log.pending()
	var goes, approved, new []candidate
	for _, x := range all {
		v.agreed[x.addr] = x.digest
		if x.sink && x.replaced {
			v.moved = append(v.moved, x.addr)
		}
		if w.approved[x.addr] == x.digest {
			v.approved[x.addr] = x.digest
			approved = append(approved, x)
		}
		if pending[x.addr] == x.digest && x.lost == "" || w.approved[x.addr] == x.digest || x.forget && w.credentials > 0 {
			goes = append(goes, x)
		} else {
			new = append(new, x)
		}
	}
	held := &HeldChange{Since: w.now}
	c := w.total
	for _, x := range new {
		if x.sink {
			c.removed++
		} else {
			c.revocations++
		}
	}
	// The hour is the one before the change came: waiting alone lets nothing go.
	if since, ok := w.before.continues(addressesOf(new)); ok {
		held.Since = since
	}
	v.log = v.log.since(held.Since.Add(-guardWindow)).withApproved(approved, w.now).with(goes, w.now)
	c.emptied = w.credentials == 0 && c.credentials > 0 && c.revocations+c.removed > 0
	held.Rule, held.Reason = w.judge(v.log, held.Since, c)
	stays := new
	if held.Reason == "" {
		stays, held.Rule, held.Reason = needPerson(new)
	}
	if len(stays) > 0 && w.allow < len(stays) {
		for _, x := range stays {
			held.add(x)
			v.blocked[x.addr] = true
		}
		held.seal(w.store)
		v.held = held
	} else {
		for _, x := range stays {
			if x.person {
				v.approved[x.addr] = x.digest // it stays agreed to until the login
			}
		}
	}
	v.stale = !maps.Equal(v.approved, w.approved)
	new = slices.DeleteFunc(new, func(x candidate) bool { return v.blocked[x.addr] })
	if agreed := v.held == nil && len(stays) > 0; agreed {
		v.log = v.log.withApproved(stays, w.now)
	}
	v.log = v.log.with(new, w.now)
	for _, x := range append(goes, new...) {
		v.allowed[x.addr] = true
	}
}

func addressesOf(all []candidate) []string {
	out := make([]string, len(all))
	for i, x := range all {
		out[i] = x.addr
	}
	return out
}

// needPerson are those that wait for a person though the guard has nothing
// against the change as a whole: their address changed, or what declared them
// last cannot be read back.
func needPerson(all []candidate) (stays []candidate, rule HeldRule, reason string) {
	var moved, lost int
	var why, whyLost string
	for _, x := range all {
		switch {
		case x.origin != "":
			moved, why = moved+1, x.origin
		case x.lost != "":
			lost, whyLost = lost+1, x.lost
		default:
			continue
		}
		stays = append(stays, x)
	}
	var reasons []string
	if lost > 0 {
		rule = HeldUnreadable
	}
	if moved > 0 {
		rule = HeldOrigin
		reasons = append(reasons, fmt.Sprintf("%s would be asked from another address: %s", count(moved, "credential"), why))
	}
	if lost > 0 {
		reasons = append(reasons, fmt.Sprintf("what declared %s last cannot be read back from the state (%s), so the hooks and the Vault that a removal needs are not known", count(lost, "address"), whyLost))
	}
	return stays, rule, strings.Join(reasons, "; ")
}

// judge says why a change that came at a time has to wait for a person, or "",
// by the guard as it was where that is stricter.
func (w *weights) judge(log guardLog, came time.Time, c change) (HeldRule, string) {
	rule, reason := judge(w.accepted.strict(w.guard, came), log, came, c)
	if now, _ := judge(w.guard, log, came, c); rule != "" && now == "" {
		reason += ", or was within the hour before; what the configuration says of the guard now is looser, and counts for what comes an hour after that"
	}
	return rule, reason
}

// goes is what has to be on disk of a verdict before any of it can begin: what was
// let go, and what does not wait any more of that (a later removal of the same address
// would be taken for the one that was let go); and of the approvals those that are for something still. An approval is for
// the change that was shown, once: the next one like it is judged anew.
func (v *verdict) goes() (changes []state.Change, err error) {
	log := state.Change{MetaKey: metaGuardLog}
	if len(v.log.Steps) > 0 {
		if log.Meta, err = json.Marshal(v.log); err != nil {
			return nil, err
		}
	}
	changes = append(changes, log)
	if v.stale {
		raw, err := json.Marshal(v.approved)
		if err != nil {
			return nil, err
		}
		changes = append(changes, state.Change{MetaKey: metaApproved, Meta: raw})
	}
	return changes, nil
}
