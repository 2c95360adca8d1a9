package gitsource_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Of a commit that is not at hand any more nothing is said but that: it may have
// been signed by whoever you like.
func TestWhoSignedACommitThatIsGoneCannotBeTold(t *testing.T) {
	t.Parallel()
	_, other := keyPair(t, "bob@example.com")
	u, f := startedSigned(t)
	first := u.first
	if err := f.Vouches(t.Context(), first); err != nil {
		t.Fatalf("of a commit that is signed: %v", err)
	}
	u.allow(other)
	if err := f.Vouches(t.Context(), first); err == nil || !strings.Contains(err.Error(), "has no signature by a key in") {
		t.Errorf("of a commit whose signer may not sign any more: %v", err)
	}
	u.allow(u.line)
	check(t, f.Close())

	// The newest commit alone is fetched into a repository that is made anew.
	second := u.push("main.hcl", "two")
	check(t, os.RemoveAll(filepath.Join(u.o.Dir, "repository")))
	check(t, os.Remove(f.Dir()))
	f = open(t, u.o)
	f.start()
	if err := f.Vouches(t.Context(), second); err != nil {
		t.Errorf("of the newest commit: %v", err)
	}
	err := f.Vouches(t.Context(), first)
	if err == nil || !strings.Contains(err.Error(), "is not in the local repository any more, so who signed it cannot be told") || strings.Contains(err.Error(), "has no signature") {
		t.Errorf("of a commit that is not there any more: %v", err)
	}
}
