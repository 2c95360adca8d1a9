package gitsource_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tokend/pkg/gitsource"
)

func TestOnlySignedCommitsAreTaken(t *testing.T) {
	t.Parallel()
	mallory, malloryLine := keyPair(t, "mallory@example.com")
	u, f := startedSigned(t)
	alice, first, signers := u.key, u.first, u.o.AllowedSigners
	if got := f.Status(); got.Commit != first || got.Signer != "alice@example.com" {
		t.Errorf("Status() = %+v", got)
	}
	f.follow()

	u.key = ""
	unsigned := u.push("main.hcl", "two")
	f.Poke()
	f.fails("commit " + unsigned[:12] + " has no signature by a key in " + signers + ": it is not signed")
	f.wantFile("main.hcl", "one")

	u.key = mallory
	stranger := u.push("main.hcl", "three")
	f.Poke()
	f.fails("commit " + stranger[:12] + " has no signature")
	f.wantFile("main.hcl", "one")
	errs := func() int { return strings.Count(f.logs.String(), "level=ERROR") }
	until(t, "both are logged", func() bool { return errs() >= 2 }) // a moment after the status has them
	if n := errs(); n != 2 {
		t.Errorf("%d errors were logged, want 2:\n%s", n, f.logs)
	}
	if got := f.Status(); got.Commit != first || got.Signer != "alice@example.com" || got.Since.IsZero() {
		t.Errorf("Status() = %+v", got)
	}

	// What is signed is not only the last commit's parents.
	u.key = alice
	last := u.push("main.hcl", "four")
	f.Poke()
	f.becomes(last)
	f.wantFile("main.hcl", "four")

	// A key of another that is allowed from now on needs no other commit.
	u.key = mallory
	welcome := u.push("main.hcl", "five")
	f.Poke()
	f.fails(welcome[:12])
	u.allow(u.line, malloryLine)
	f.Poke()
	f.becomes(welcome)
	f.fails("")

	check(t, os.Remove(signers))
	f.Poke()
	f.fails("reading the allowed signers")
	f.wantFile("main.hcl", "five")
}

// A key that is taken out of the allowed signers is noticed although the remote has
// nothing new; what is in force stays, and counts again when the key does.
func TestAKeyThatIsTakenOutIsNoticed(t *testing.T) {
	t.Parallel()
	bob, bobLine := keyPair(t, "bob@example.com")
	u, f := startedSigned(t)
	f.follow()
	u.allow(bobLine)
	f.Poke()
	f.fails("what is in force stays until a commit comes whose signature counts")
	if got := f.Status(); got.Commit != u.first || !strings.Contains(got.Error, "counts: commit "+u.first[:12]+" has no signature by a key in "+u.o.AllowedSigners+": ") || strings.HasSuffix(got.Error, ".") {
		t.Errorf("Status() = %+v", got)
	}
	f.wantFile("main.hcl", "one")
	u.allow(bobLine, u.line)
	f.Poke()
	f.fails("")
	u.allow(bobLine)
	f.Poke()
	f.fails("what is in force stays")
	u.key = bob
	second := u.push("main.hcl", "two")
	f.Poke()
	f.becomes(second)
	f.fails("")
	f.wantFile("main.hcl", "two")
}

// A commit that is signed well and cannot be checked out does not tell about the one
// that is.
func TestACommitThatIsNotTakenVouchesForNoOther(t *testing.T) {
	t.Parallel()
	bob, bobLine := keyPair(t, "bob@example.com")
	u, f := startedSigned(t)
	f.follow()
	u.key = bob
	u.allow(bobLine)
	check(t, os.Symlink("/etc/passwd", filepath.Join(u.dir, "stolen.hcl")))
	bad := u.commit("a link")
	f.Poke()
	f.fails("commit " + bad[:12] + " has the symbolic link stolen.hcl")
	u.git("reset", "--quiet", "--hard", u.first)
	f.Poke()
	f.fails("what is in force stays until a commit comes whose signature counts")
	f.wantFile("main.hcl", "one")
}

// A start does not trust what is checked out, but who signed it.
func TestRestartChecksTheSignatureAgain(t *testing.T) {
	t.Parallel()
	_, other := keyPair(t, "bob@example.com")
	u, f := startedSigned(t)
	check(t, f.Close())
	check(t, os.Rename(u.dir, u.dir+".away"))
	f = open(t, u.o)
	f.start()
	check(t, f.Close())
	u.allow(other)
	f = open(t, u.o)
	if err := f.Start(t.Context()); err == nil {
		t.Error("it goes on with a checkout whose signer is not allowed any more")
	}
	if !strings.Contains(f.logs.String(), "not taken up again") {
		t.Errorf("it does not say why:\n%s", f.logs)
	}
}

// A transfer that fails, for whatever reason of the remote's, does not cost what
// says who signed the commit that is checked out.
func TestAFailedTransferKeepsWhatTheSignatureIsOf(t *testing.T) {
	t.Parallel()
	u, f := startedSigned(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); f.Run(ctx) }()
	second := u.push("main.hcl", "two")
	tree := u.git("rev-parse", second+"^{tree}")
	object := filepath.Join(u.dir, ".git", "objects", tree[:2], tree[2:])
	check(t, os.Rename(object, object+".away"))
	f.Poke()
	until(t, "the transfer fails", func() bool { return f.Status().Error != "" })
	cancel()
	<-ended
	check(t, f.Close())

	check(t, os.Rename(u.dir, u.dir+".away"))
	f = open(t, u.o)
	f.start()
	if f.Commit() != u.first {
		t.Errorf("commit %s is checked out, want %s", f.Commit(), u.first)
	}
	f.wantFile("main.hcl", "one")
	check(t, os.Rename(u.dir+".away", u.dir))
	check(t, os.Rename(object+".away", object))
	f.follow()
	f.Poke()
	f.becomes(second)
}

// What an OpenPGP key ring of this machine thinks of a signature does not count.
func TestSignaturesOfOtherKindsDoNotCount(t *testing.T) {
	t.Parallel()
	gpg, err := exec.LookPath("gpg")
	if err != nil {
		t.Skip("gitsource: there is no gpg here")
	}
	_, line := keyPair(t, "alice@example.com")
	signers := filepath.Join(t.TempDir(), "allowed_signers")
	check(t, os.WriteFile(signers, []byte(line), 0o600))
	home, err := os.MkdirTemp("", "gpg") // short: its sockets are in it
	check(t, err)
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
		_ = os.RemoveAll(home)
	})
	if out, err := exec.Command(gpg, "--homedir", home, "--batch", "--passphrase", "", "--quick-gen-key", "Alice <alice@example.com>", "ed25519", "sign", "never").CombinedOutput(); err != nil {
		t.Fatalf("gpg: %v\n%s", err, out)
	}
	u := newUpstream(t)
	u.write("main.hcl", "one")
	u.git("add", "--all")
	wrapper := filepath.Join(t.TempDir(), "gpg")
	check(t, os.WriteFile(wrapper, []byte("#!/bin/sh\nexec "+gpg+" --homedir "+home+" --batch --quiet \"$@\"\n"), 0o700))
	u.git("-c", "gpg.program="+wrapper, "-c", "user.signingKey=alice@example.com", "commit", "--quiet", "--gpg-sign", "--message", "signed otherwise")
	u.git("-c", "gpg.program="+wrapper, "verify-commit", "HEAD") // which it is

	configured := filepath.Join(t.TempDir(), "gitconfig")
	check(t, os.WriteFile(configured, []byte("[gpg]\n\tprogram = "+wrapper+"\n"), 0o600))
	f := open(t, gitsource.Options{URL: u.dir, Ref: "main", AllowedSigners: signers, Environ: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GIT_CONFIG_GLOBAL=" + configured}})
	if err := f.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "has no signature") {
		t.Errorf("an OpenPGP signature is taken: %v", err)
	}
}
