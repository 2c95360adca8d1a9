package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tokend/pkg/control"
	testrig "tokend/test/rig"
)

// sealing is one key that a state can be sealed with.
type sealing struct {
	name    string
	setting string     // of the configuration's state block; "": the key that tokend makes
	asks    keyRequest // for `tokend state rotate-key`; zero: by the configuration alone
	former  string     // what --former says; "": tokend finds it by itself
}

func (k sealing) made() bool { return k.setting == "" }

// rotations is a host whose state is sealed with one key after the other.
type rotations struct {
	*crash
	keys  []sealing
	now   sealing
	took  map[string]time.Duration // of a rotation that comes to its end: the shortest, by its kind
	ended struct{ before, after int }
}

// newRotations makes a host with the key that tokend makes, and two key files.
func newRotations(t *testing.T) *rotations {
	t.Helper()
	r := &rotations{crash: newCrash(t), took: map[string]time.Duration{}}
	r.keys = []sealing{{name: "made"}, r.keyFile("one"), r.keyFile("two")}
	r.now = r.keys[0]
	return r
}

// key writes a key's file.
func (r *rotations) key(path string) {
	r.t.Helper()
	text := fmt.Sprintf("%016x%016x%016x%016x\n", rand.Uint64(), rand.Uint64(), rand.Uint64(), rand.Uint64())
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rotations) keyFile(name string) sealing {
	path := r.path(name + ".key")
	r.key(path)
	return sealing{name: name, setting: fmt.Sprintf("key_file = %q", path), asks: keyRequest{KeyFile: path}, former: path}
}

// credential is a key that systemd hands to the service.
func (r *rotations) credential() sealing {
	dir := r.path("credentials")
	if err := os.Mkdir(dir, 0o700); err != nil {
		r.t.Fatal(err)
	}
	r.extra = append(r.extra, "CREDENTIALS_DIRECTORY="+dir)
	path := filepath.Join(dir, "state.key")
	r.key(path)
	return sealing{name: "credential", setting: `systemd_credential = "state.key"`, asks: keyRequest{SystemdCredential: "state.key"}, former: path}
}

// transit is a key of a Vault's.
func (r *rotations) transit(v *testrig.VaultServer) sealing {
	v.EnableTransit("transit", "state")
	v.Policy("delivery", deliveryPolicy)
	v.EnableAuth("approle", "approle")
	roleID, secretID := v.AppRole("approle", "tokend", map[string]any{"token_ttl": "20m", "token_policies": "delivery"})
	if err := os.Mkdir(r.path("config", "secrets"), 0o700); err != nil {
		r.t.Fatal(err)
	}
	r.write("secrets/role_id", roleID+"\n")
	r.write("secrets/secret_id", secretID+"\n")
	r.write("vault.hcl", vaultBlock(v))
	const name = "vault.main/transit/state"
	return sealing{name: "transit", setting: "transit {\n  vault = vault.main\n  mount = \"transit\"\n  key = \"state\"\n}", asks: keyRequest{Transit: name}, former: name}
}

// names has the configuration name a key.
func (r *rotations) names(k sealing) {
	r.t.Helper()
	block := ""
	if !k.made() {
		block = "  state {\n" + k.setting + "\n}\n"
	}
	r.write("main.hcl", strings.Replace(crashConfig, "tokend {\n", "tokend {\n"+block, 1))
}

// round rotates the key and kills who does it at some moment of that: a daemon under
// load, or a command without one.
func (r *rotations) round(n int, to sealing, cut bool) {
	r.t.Helper()
	d := r.start("--log-level", "warn")
	r.converged(d)
	first := to.made() || n%4 >= 2 // the configuration, and the rotation after it
	alone := n%2 == 1              // without a daemon
	kind := fmt.Sprintf("%s, without a daemon: %v", to.name, alone)
	after := 24 * time.Hour
	if cut {
		after = rand.N(r.took[kind] * 5 / 4)
	}
	var answered bool
	var began time.Time
	if alone {
		d.stop()
		args := append([]string{"state", "rotate-key"}, flagsOf(to, first)...)
		if first {
			r.names(to)
			if r.now.former != "" {
				args = append(args, "--former", r.now.former)
			}
		}
		began = time.Now()
		answered = r.cut(after, args...)
	} else {
		ask := to.asks
		if first {
			r.names(to)
			ask = keyRequest{}
			r.heard(to)
		}
		began = time.Now()
		answered = r.cutDaemon(d, after, ask)
	}
	if took := time.Since(began); answered && (r.took[kind] == 0 || took < r.took[kind]) {
		r.took[kind] = took
	}
	r.settled(n, to, answered)
	if !cut && r.now.name != to.name {
		r.t.Fatalf("round %d: the state is not sealed with %q", n, to.name)
	}
	r.checkSinks(n)
	r.checkReuse(n)
}

// flagsOf name a key on the command line, unless the configuration does.
func flagsOf(k sealing, named bool) []string {
	switch {
	case named:
		return nil
	case k.asks.KeyFile != "":
		return []string{"--key-file", k.asks.KeyFile}
	case k.asks.SystemdCredential != "":
		return []string{"--systemd-credential", k.asks.SystemdCredential}
	}
	return []string{"--transit", k.asks.Transit}
}

// heard waits until the daemon has read that another key is named.
func (r *rotations) heard(to sealing) {
	r.t.Helper()
	if to.name == r.now.name {
		return
	}
	r.until("the daemon to read the name of the new key", func(ctx context.Context) string {
		s, err := r.ask().Status(ctx, "")
		if err != nil {
			return err.Error()
		}
		if len(s.Configuration.NextStart) == 0 {
			return "it says nothing of the next start"
		}
		return ""
	})
}

// cutDaemon asks the daemon for a rotation and kills it a while later. It says whether
// the daemon had answered.
func (r *rotations) cutDaemon(d *running, after time.Duration, ask keyRequest) (answered bool) {
	r.t.Helper()
	end := time.AfterFunc(after, func() { _ = d.cmd.Process.Kill() })
	_, err := r.ask().StateRotateKey(r.t.Context(), ask)
	end.Stop()
	d.kill()
	var refused *control.Error
	if errors.As(err, &refused) && refused.Kind != control.KindInterrupted {
		r.t.Fatalf("rotating the key: %v", err)
	}
	return err == nil
}

// cut runs a command and kills it a while later. It says whether it had come to its end.
func (r *rotations) cut(after time.Duration, args ...string) (whole bool) {
	r.t.Helper()
	cmd := exec.Command(r.binary, args...)
	said := &record{}
	cmd.Env, cmd.Stdout, cmd.Stderr = r.environ(), said, said
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	end := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer end.Stop()
	err := cmd.Wait()
	if err != nil && cmd.ProcessState.Exited() {
		r.t.Fatalf("tokend %s: %v\n%s", strings.Join(args, " "), err, said)
	}
	return err == nil
}

// settled finds out which key seals the state: the former one or the new one, and
// nothing is lost by it. The configuration names that from now on.
func (r *rotations) settled(n int, to sealing, answered bool) {
	r.t.Helper()
	var by []sealing
	for _, k := range []sealing{to, r.now} {
		if len(by) > 0 && k.name == by[0].name {
			break // made anew: tokend finds out by itself which it is
		}
		r.names(k)
		out, status := r.tokend("", "state", "list")
		switch {
		case status == 0 && strings.Count(out, "\n") == 1+15+16: // a heading, credentials, sinks
			by = append(by, k)
		case status == 0 || !strings.Contains(out, "give the key that this state was made with"):
			r.t.Fatalf("round %d, from %q to %q: the state with the key %q: exit status %d\n%s", n, r.now.name, to.name, k.name, status, out)
		}
	}
	switch {
	case len(by) != 1:
		r.t.Fatalf("round %d: from %q to %q: the state opens with %d keys", n, r.now.name, to.name, len(by))
	case answered && by[0].name != to.name:
		r.t.Fatalf("round %d: the rotation to %q was answered, and %q opens the state", n, to.name, by[0].name)
	case by[0].name != to.name:
		r.ended.before++
	case !answered:
		r.ended.after++
	}
	r.now = by[0]
	r.names(r.now)
}

// run rotates to each key without a cut, and then cuts rotations short.
func (r *rotations) run() {
	n := 0
	for _, k := range append(r.keys[1:], r.keys[0], r.keys[0]) {
		for range 2 { // with a daemon and without one
			r.round(n, k, false)
			n++
		}
	}
	rounds := 30
	if s := os.Getenv("TOKEND_CRASH_ROUNDS"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			r.t.Fatal(err)
		}
	}
	for i := range rounds {
		to := r.keys[0] // made anew: its file takes the former one's place, beside the state
		if i%3 == 0 {
			to = r.keys[rand.N(len(r.keys))]
		}
		r.round(n, to, true)
		n++
	}
	r.t.Logf("%d rotations, of which %d were cut short before the new key was in force, and %d after that and before it was said; a whole one took %v", rounds, r.ended.before, r.ended.after, r.took)
	d := r.start("--log-level", "warn")
	r.converged(d)
	r.checkReuse(n)
	d.stop()
}

// TestRotateKeyKilled kills the daemon, and the command where there is none, at random
// moments of a rotation of the state's key, under load: the former key or the new one
// opens the state, nothing is lost, and all goes on without a person.
func TestRotateKeyKilled(t *testing.T) {
	t.Parallel()
	r := newRotations(t)
	r.keys = append(r.keys, r.credential())
	r.run()
}

// Likewise with a key that Vault keeps.
func TestVaultRotateKeyKilled(t *testing.T) {
	t.Parallel()
	v := testrig.Vault(t)
	r := newRotations(t)
	r.keys = []sealing{r.keys[0], r.keys[1], r.transit(v)}
	r.run()
}
