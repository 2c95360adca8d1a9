package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The policy beside the example allows the example, and little else.
func TestExamplePolicy(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../examples/gitops")); err != nil {
		t.Fatal(err)
	}
	validate := func(environment string) (string, int) {
		var out bytes.Buffer
		status := run(t.Context(), process{args: []string{"validate", "--config", dir, "--var-file", filepath.Join(dir, environment+".tfvars"),
			"--policy", filepath.Join(dir, "host", "policy.hcl")}, environ: []string{"RUNTIME_DIRECTORY=" + dir}, in: strings.NewReader(""), out: &out, err: &out})
		return out.String(), status
	}
	for _, environment := range []string{"staging", "production"} {
		if said, status := validate(environment); status != 0 {
			t.Fatalf("%s: exit status %d\n%s", environment, status, said)
		}
	}
	more := `hook "exec" "id" { command = ["id"] }` + "\n"
	if err := os.WriteFile(filepath.Join(dir, "more.hcl"), []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, status := validate("production"); status != 1 || !strings.Contains(said, `policy.hcl has no block that allows hook "exec"`) {
		t.Errorf("exit status %d\n%s", status, said)
	}
}
