package gitsource

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// commitInfo is what is said of a commit.
type commitInfo struct {
	id      string
	at      time.Time
	subject string
	signer  string            // principal in the file of allowed signers
	allowed [sha256.Size]byte // digest of that file, before it was asked
}

// nobody is a program that fails: signatures of other kinds than SSH's are not
// what was asked for, whatever key ring this machine has.
const nobody = "/nonexistent/only-ssh-signatures-count"

// inspect reads a commit and, with a file of allowed signers, checks that its
// signature is by one of them.
func (p *program) inspect(ctx context.Context, repository, commit, signers string) (commitInfo, error) {
	format := "--format=%H%x00%ct%x00%s"
	var options []string
	if signers != "" {
		for _, s := range []setting{
			{"gpg.ssh.allowedSignersFile", signers}, {"gpg.minTrustLevel", "fully"},
			{"gpg.program", nobody}, {"gpg.openpgp.program", nobody}, {"gpg.x509.program", nobody},
		} {
			options = append(options, "-c", s.key+"="+s.value)
		}
		if _, err := p.run(ctx, localTimeout, repository, append(options, "verify-commit", "--raw", commit)...); err != nil {
			return commitInfo{}, unsigned(err, commit, signers)
		}
		format += "%x00%G?%x00%GS"
	}
	out, err := p.run(ctx, localTimeout, repository, append(options, "log", "-1", "--no-show-signature", format, commit)...)
	if err != nil {
		return commitInfo{}, fmt.Errorf("reading commit %s: %w", short(commit), err)
	}
	fields := strings.Split(strings.TrimSuffix(string(out), "\n"), "\x00")
	if len(fields) < 3 || fields[0] != commit {
		return commitInfo{}, fmt.Errorf("reading commit %s: git says something else than it was asked for", short(commit))
	}
	var seconds int64
	_, _ = fmt.Sscan(fields[1], &seconds) // a commit without a readable time has none
	info := commitInfo{id: fields[0], at: time.Unix(seconds, 0).UTC(), subject: excerpt([]byte(fields[2]))}
	if signers == "" {
		return info, nil
	}
	if len(fields) != 5 || fields[3] != "G" || fields[4] == "" {
		return commitInfo{}, unsigned(errors.New("no principal matched"), commit, signers)
	}
	info.signer = excerpt([]byte(fields[4]))
	return info, nil
}

// inspect is [program.inspect], for what is checked out or about to be, with the
// allowed signers by which it was found to be signed.
func (s *Source) inspect(ctx context.Context, commit string) (commitInfo, error) {
	allowed := s.allowed() // before they are asked: a change in between is looked at again
	info, err := s.git.inspect(ctx, s.repository, commit, s.o.AllowedSigners)
	info.allowed = allowed
	return info, err
}

// allowed is a digest of the allowed signers; of none where they cannot be read.
func (s *Source) allowed() [sha256.Size]byte {
	if s.o.AllowedSigners == "" {
		return [sha256.Size]byte{}
	}
	b, err := os.ReadFile(s.o.AllowedSigners)
	if err != nil {
		return [sha256.Size]byte{}
	}
	return sha256.Sum256(b)
}

// errNotTrusted: who signed what is in force may not sign any more.
var errNotTrusted = errors.New("what is in force stays until a commit comes whose signature counts")

// stillCounts asks again who signed the commit that is checked out, when the allowed
// signers are others than before.
func (s *Source) stillCounts(ctx context.Context, commit string) error {
	if s.allowed() == s.trusted {
		return nil
	}
	info, err := s.inspect(ctx, commit)
	if isRefused(err) {
		return fmt.Errorf("%w: %w", errNotTrusted, err)
	}
	if err == nil {
		s.publish(info)
	}
	return err
}

// Vouches says why the signature of a commit does not count, which may not be the
// one that is checked out: nil where it counts, or where signatures are not asked
// for. It looks at what was fetched, and asks nobody: of a commit that is not there
// any more, since only the newest one is fetched into a repository that was made
// anew, it says that nothing can be told.
func (s *Source) Vouches(ctx context.Context, commit string) error {
	if s.o.AllowedSigners == "" {
		return nil
	}
	if commit == "" {
		return errors.New("it is of no commit")
	}
	if _, err := s.git.run(ctx, localTimeout, s.repository, "cat-file", "-e", commit+"^{commit}"); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("commit %s is not in the local repository any more, so who signed it cannot be told", short(commit))
	}
	_, err := s.git.inspect(ctx, s.repository, commit, s.o.AllowedSigners)
	return err
}

// refusedError says that the remote answers with a commit that is not to be
// taken.
type refusedError struct{ why string }

func (e *refusedError) Error() string { return e.why }

func unsigned(err error, commit, signers string) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	why := strings.TrimRight(err.Error(), ". ")
	if strings.HasPrefix(why, "running git:") {
		why = "it is not signed" // git says nothing at all then
	}
	return &refusedError{fmt.Sprintf("commit %s has no signature by a key in %s: %s", short(commit), signers, why)}
}

// short is a commit as people write it.
func short(commit string) string {
	if len(commit) > 12 {
		return commit[:12]
	}
	return commit
}
