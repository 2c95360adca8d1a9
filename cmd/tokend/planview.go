package main

import (
	"errors"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/spec"
)

// planFormat is the version of what `plan --json` prints. Fields may be added
// within a version; none is taken away and none changes its meaning.
const planFormat = "1"

type planRequest struct {
	NoSecrets bool `json:"no_secrets,omitempty"`
	NoSettle  bool `json:"no_settle,omitempty"`         // as an apply does
	Allow     int  `json:"allow_revocations,omitempty"` // likewise
}

// planReply is a plan: docs/plan.md describes each field, and a test compares.
type planReply struct {
	FormatVersion string `json:"format_version"`
	TokendVersion string `json:"tokend_version"`
	// Steps are what one pass does, by address, in order for each.
	Steps []planStep `json:"steps"`
	// Later is what waits for its time; it is no reason to exit with 2.
	Later []planStep `json:"later,omitempty"`
	// KnownAtApply are addresses of which only reading their secrets tells
	// whether there is something to do.
	KnownAtApply []string `json:"known_at_apply,omitempty"`
	// Held is the change that the guard holds back.
	Held *planHeld `json:"held,omitempty"`
	// Counts is the number of steps of each action.
	Counts map[string]int `json:"counts"`
	// Credentials and Sinks are the numbers of all addresses, so that a plan with
	// nothing to do says how much it looked at.
	Credentials   int               `json:"credentials"`
	Sinks         int               `json:"sinks"`
	Configuration planConfiguration `json:"configuration"`
	// NoState is the directory in which there is no state yet, and no daemon
	// answers: the plan begins with nothing, as a first start would.
	NoState string `json:"no_state,omitempty"`
	// Against is the export that it was made against.
	Against *planAgainst `json:"against,omitempty"`
}

// planHeld is a held change in a plan.
type planHeld struct {
	ID          string     `json:"id"`
	Since       time.Time  `json:"since"`
	Reason      string     `json:"reason"`
	Revocations []string   `json:"revocations,omitempty"`
	Sinks       []string   `json:"sinks,omitempty"`
	Steps       []planStep `json:"steps,omitempty"`
}

// planConfiguration is how the configuration does that was planned.
type planConfiguration struct {
	Directory string     `json:"directory"`
	Valid     bool       `json:"valid"`
	Since     *time.Time `json:"invalid_since,omitempty"`
	Errors    []string   `json:"errors,omitempty"`
	Check     string     `json:"check,omitempty"` // as in configurationView
	NotTaken  string     `json:"not_taken_over,omitempty"`
}

// planStep is one step of a plan.
type planStep struct {
	Address string   `json:"address"`
	Kind    string   `json:"kind"`
	Action  string   `json:"action"`
	Reason  string   `json:"reason"`
	From    string   `json:"from,omitempty"`
	Inputs  []string `json:"inputs,omitempty"`
	// Replaces is what stands at a sink's place that tokend did not write.
	Replaces string          `json:"replaces,omitempty"`
	At       *time.Time      `json:"at,omitempty"`
	State    reconcile.State `json:"status,omitempty"`
	Again    bool            `json:"again,omitempty"`
	Why      string          `json:"why,omitempty"`
	Mend     string          `json:"mend,omitempty"`
}

// The actions of a plan's steps.
const (
	planMove    = "move"
	planImport  = "import"
	planObtain  = "obtain"
	planRefresh = "refresh"
	planReplace = "replace"
	planWrite   = "write"
	planRepair  = "repair"
	planRemove  = "remove"
	planRevoke  = "revoke"
	planForget  = "forget"
	planHook    = "hook"
	planWait    = "wait"
)

// planAction is a step's action as a plan names it.
func planAction(s reconcile.Step) string {
	switch s.Action {
	case reconcile.ActMove:
		return planMove
	case reconcile.ActImport:
		return planImport
	case reconcile.ActObtain, reconcile.ActExchange:
		return planObtain
	case reconcile.ActStatic:
		if len(s.Inputs) > 0 {
			return planReplace
		}
		return planObtain
	case reconcile.ActRefresh, reconcile.ActReplay, reconcile.ActReread:
		return planRefresh
	case reconcile.ActReplace:
		return planReplace
	case reconcile.ActWrite:
		return planWrite
	case reconcile.ActRepair:
		return planRepair
	case reconcile.ActRemove, reconcile.ActClean:
		return planRemove
	case reconcile.ActRevoke, reconcile.ActRevive:
		return planRevoke
	case reconcile.ActDrop, reconcile.ActRelease:
		return planForget
	case reconcile.ActHook:
		return planHook
	}
	return planWait
}

// heldIn is a held change as a plan shows it, and back.
func heldIn(h *reconcile.HeldChange) *planHeld {
	if h == nil {
		return nil
	}
	p := &planHeld{ID: h.ID, Since: h.Since, Reason: h.Reason, Revocations: h.Revocations, Sinks: h.Sinks}
	for _, s := range h.Steps {
		p.Steps = append(p.Steps, planSteps([]reconcile.Step{{Address: s.Address, Action: s.Action, Reason: s.Reason}})...)
	}
	return p
}

func (p *planHeld) change() *reconcile.HeldChange {
	h := &reconcile.HeldChange{ID: p.ID, Since: p.Since, Reason: p.Reason, Revocations: p.Revocations, Sinks: p.Sinks}
	for _, s := range p.Steps {
		h.Steps = append(h.Steps, reconcile.HeldStep{Address: s.Address, Action: heldAction(s.Action), Reason: s.Reason})
	}
	return h
}

func heldAction(planned string) reconcile.Action {
	switch planned {
	case planReplace:
		return reconcile.ActReplace
	case planRemove:
		return reconcile.ActRemove
	case planForget:
		return reconcile.ActDrop
	}
	return reconcile.ActRevoke
}

func configurationIn(c configurationView) planConfiguration {
	p := planConfiguration{Directory: c.Directory, Valid: c.Valid, Errors: c.Errors, Check: c.Check, NotTaken: c.NotTaken}
	if !c.Since.IsZero() {
		p.Since = &c.Since
	}
	return p
}

func (p planConfiguration) view() configurationView {
	c := configurationView{Directory: p.Directory, Valid: p.Valid, Errors: p.Errors, Check: p.Check, NotTaken: p.NotTaken}
	if p.Since != nil {
		c.Since = *p.Since
	}
	return c
}

// planned is a plan as it is printed.
func planned(p reconcile.Plan) planReply {
	r := planReply{
		FormatVersion: planFormat, TokendVersion: version, Steps: planSteps(p.Steps), Later: planSteps(p.Later), KnownAtApply: p.Unknown,
		Counts: map[string]int{}, Credentials: p.Credentials, Sinks: p.Sinks,
	}
	if r.Steps == nil {
		r.Steps = []planStep{}
	}
	for _, s := range r.Steps {
		r.Counts[s.Action]++
	}
	return r
}

// brokenPlan is the plan of a directory that cannot be used, where no last good one
// is in force: it has no step and says what is wrong. It is empty for any other error.
func brokenPlan(err error) planReply {
	var u *unusableError
	if !errors.As(err, &u) {
		return planReply{}
	}
	r := planned(reconcile.Plan{})
	r.Configuration = planConfiguration{Directory: u.dir, Errors: u.lines}
	return r
}

func planSteps(steps []reconcile.Step) []planStep {
	var out []planStep
	for _, s := range steps {
		p := planStep{
			Address: s.Address, Kind: spec.Address(s.Address).Kind(), Action: planAction(s), Reason: firstOf(s.Reason, s.Why),
			From: s.From, Inputs: s.Inputs, Replaces: s.Replaces, State: s.State, Again: s.Again, Why: s.Why, Mend: s.Mend,
		}
		if !s.At.IsZero() {
			at := s.At.UTC().Truncate(time.Second)
			p.At = &at
		}
		out = append(out, p)
	}
	return out
}

// todo says whether a plan has anything that would be done.
func (p *planReply) todo() bool { return p.Held != nil || len(p.Steps) > 0 }
