package reconcile

import (
	"strings"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// watchedSecrets are inputs whose change calls for a new grant and whose value
// comes from a secret or another credential, so that only reading it tells.
func watchedSecrets(want *spec.Credential, g *state.Grant) []string {
	var names []string
	for _, in := range want.Inputs {
		if h := g.InputHashes[in.Name]; in.Given && in.Deferred && in.OnChange == spec.OnChangeReplace && h != "" && h != unknownHash {
			names = append(names, in.Name)
		}
	}
	return names
}

// hashWatched reads them. What cannot be read is no change; where no secret is
// read, only a look at it would tell.
func (w *worker) hashWatched(j *job, ob *observed, names []string) {
	if j.noSecrets {
		ob.unsure = append(ob.unsure, names...)
		return
	}
	for _, n := range names {
		v, err := j.cfg.Inputs(spec.Address(j.addr), []string{n}, ob.scope)
		if err != nil {
			continue
		}
		if b, err := v.Canonical(n); err == nil {
			ob.hashes[n] = w.store.Hash("input:"+n, b)
		}
	}
}

// hashInputs hashes what the configuration gives, keyed by the state: with
// secrets only when all is set, since they have to be read.
func (w *worker) hashInputs(j *job, ob *observed, all bool) (map[string]string, error) {
	want := ob.in.Want
	names := []string{}
	scope := spec.Scope{}
	for _, in := range want.Inputs {
		if in.Given && (all || !in.Deferred) {
			names = append(names, in.Name)
		}
	}
	if all {
		scope = ob.scope
	}
	values, err := j.cfg.Inputs(spec.Address(j.addr), names, scope)
	if err != nil {
		return nil, err
	}
	return w.hashValues(want, names, values)
}

func (w *worker) hashValues(want *spec.Credential, names []string, values spec.Values) (map[string]string, error) {
	out, err := w.hashNamed(values, names)
	if err != nil {
		return nil, err
	}
	if want.Scopes != nil {
		out["scopes"] = w.store.Hash("input:scopes", scopesBytes(want.Scopes))
	}
	return out, nil
}

func (w *worker) hashNamed(values spec.Values, names []string) (map[string]string, error) {
	out := make(map[string]string, len(names)+2)
	for _, n := range names {
		b, err := values.Canonical(n)
		if err != nil {
			return nil, err
		}
		out[n] = w.hashInput(n, b)
	}
	return out, nil
}

// hashInput is a keyed hash of the canonical form of an input.
func (w *worker) hashInput(name string, canonical []byte) string {
	return w.store.Hash("input:"+name, canonical)
}

func scopesBytes(scopes []string) []byte { return []byte(strings.Join(scopes, "\x00")) }

// changedInputs names what a grant was obtained with and the configuration
// says differently now, of that which calls for a new grant.
func changedInputs(g *state.Grant, want *spec.Credential, hashes map[string]string, static bool) []string {
	if g.GrantType != want.Grant.Name {
		return []string{"grant"}
	}
	var names []string
	for _, in := range want.Inputs {
		if !static && (in.OnChange != spec.OnChangeReplace || in.Deferred && hashes[in.Name] == "") {
			continue // nothing else is known of what comes from a secret that was not read
		}
		if h := g.InputHashes[in.Name]; h != unknownHash && hashes[in.Name] != h {
			names = append(names, in.Name)
		}
	}
	if h := g.InputHashes["scopes"]; h != unknownHash && hashes["scopes"] != h {
		names = append(names, "scopes")
	}
	return names
}

// givenInputs are the inputs that the configuration gives.
func givenInputs(want *spec.Credential) []string {
	names := make([]string, 0, len(want.Inputs))
	for i := range want.Inputs {
		if want.Inputs[i].Given {
			names = append(names, want.Inputs[i].Name)
		}
	}
	return names
}

// inputsChanged says whether inputs that a provider refused are other ones
// now. An input that cannot be read is no change.
func (w *worker) inputsChanged(j *job, ob *observed, refused map[string]string) bool {
	names := givenInputs(ob.in.Want)
	values, err := j.cfg.Inputs(spec.Address(j.addr), names, ob.scope)
	if err != nil {
		return false
	}
	now, err := w.hashValues(ob.in.Want, names, values)
	if err != nil {
		return false
	}
	for n, h := range now {
		if refused[n] != h {
			return true
		}
	}
	sent := len(refused)
	if refused[refusedTo] != "" {
		sent-- // which is no input
	}
	return len(now) != sent
}
