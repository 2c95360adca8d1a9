package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"tokend/pkg/standin"
)

// The policy in /etc counts without being named, for every command that acts or
// foretells. A mount namespace has an /etc of its own.
func TestThePolicyInEtcCountsByItself(t *testing.T) {
	t.Parallel()
	h := newHost(t, build(t), standin.Options{AnyAccount: true})
	const inside = "#!/bin/sh\nexec unshare --user --map-root-user --mount sh -c 'mount -t tmpfs -o mode=0755 none /etc && cp \"$0\" /etc/tokend-policy.hcl && exec \"$@\"' %s %s \"$@\"\n"
	limited := func(name, text string) string {
		file, script := h.path(name+".hcl"), h.path(name)
		for path, text := range map[string]string{file: text, script: fmt.Sprintf(inside, file, h.binary)} {
			if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		return script
	}
	tight := limited("tight", "sink \"file\" { paths = [\"/run/nowhere/*\"] }\n")
	wide := limited("wide", fmt.Sprintf("sink \"file\" { paths = [%q] }\n", h.path("out")+"/*"))
	if out, err := exec.Command(tight, "version").CombinedOutput(); err != nil {
		t.Skipf("policy: no mount namespace can be made here, so that /etc could have one: %v\n%s", err, out)
	}
	h.write("main.hcl", "variable \"out\" { type = string }\n"+sinkFile("s", "one"))
	free := h.binary
	for _, command := range []string{"validate", "plan", "apply --auto-approve", "run"} {
		h.binary = tight
		out, status := h.tokend("", strings.Fields(command)...)
		if status != exitFailed || !strings.Contains(out, "is not among the paths of /etc/tokend-policy.hcl:1") {
			t.Errorf("%s: exit status %d\n%s", command, status, out)
		}
	}
	if _, err := os.Stat(h.path("out", "s")); err == nil {
		t.Error("what the policy forbids was written")
	}
	for _, binary := range []string{wide, free} {
		h.binary = binary
		for _, command := range []string{"validate", "apply --auto-approve"} {
			if out, status := h.tokend("", strings.Fields(command)...); status != exitOK {
				t.Errorf("%s, which is allowed: exit status %d\n%s", command, status, out)
			}
		}
	}
}
