package gitsource_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokend/pkg/gitsource"
)

// Of a commit that is not at hand any more nothing is said but that: it may have
// been signed by whoever you like.
func TestWhoSignedACommitThatIsGoneCannotBeTold(t *testing.T) {
	t.Parallel()
	key, line := keyPair(t, "alice@example.com")
	_, other := keyPair(t, "bob@example.com")
	signers := filepath.Join(t.TempDir(), "allowed_signers")
	check(t, os.WriteFile(signers, []byte(line), 0o600))
	u := newUpstream(t)
	u.key = key
	first := u.push("main.hcl", "one")
	dir := filepath.Join(t.TempDir(), "git")
	o := gitsource.Options{URL: u.dir, Ref: "main", AllowedSigners: signers, Dir: dir}
	f := open(t, o)
	f.start()
	if err := f.Vouches(t.Context(), first); err != nil {
		t.Fatalf("of a commit that is signed: %v", err)
	}
	check(t, os.WriteFile(signers, []byte(other), 0o600))
	if err := f.Vouches(t.Context(), first); err == nil || !strings.Contains(err.Error(), "has no signature by a key in") {
		t.Errorf("of a commit whose signer may not sign any more: %v", err)
	}
	check(t, os.WriteFile(signers, []byte(line), 0o600))
	check(t, f.Close())

	// The newest commit alone is fetched into a repository that is made anew.
	second := u.push("main.hcl", "two")
	check(t, os.RemoveAll(filepath.Join(dir, "repository")))
	check(t, os.Remove(f.Dir()))
	f = open(t, o)
	f.start()
	if err := f.Vouches(t.Context(), second); err != nil {
		t.Errorf("of the newest commit: %v", err)
	}
	err := f.Vouches(t.Context(), first)
	if err == nil || !strings.Contains(err.Error(), "is not in the local repository any more, so who signed it cannot be told") || strings.Contains(err.Error(), "has no signature") {
		t.Errorf("of a commit that is not there any more: %v", err)
	}
}
