package spec_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokend/pkg/spec"
)

// Of what a block may have inside, its blocks are told where a block is unknown (as
// where a brace is missing), and its arguments are not.
func TestAnUnknownBlockIsToldTheBlocks(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.hcl"), []byte("tokend {\n  secret \"file\" \"x\" {\n    path = \"x\"\n  }\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, diags := spec.Load(dir, spec.Options{})
	for _, d := range diags {
		if strings.HasPrefix(d.Detail, "tokend has no block secret.") {
			if strings.Contains(d.Detail, "public_url") || !strings.Contains(d.Detail, "guard") {
				t.Errorf("%s", d.Detail)
			}
			return
		}
	}
	t.Errorf("nothing is said of the block: %v", diags)
}
