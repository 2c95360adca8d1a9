package gitsource

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultInterval is how often a remote is asked.
const DefaultInterval = time.Minute

// Options of [Open].
type Options struct {
	// URL of the repository: https, ssh, git, http or file, user@host:path, or an
	// absolute path. A password in an http or https URL is kept out of sight.
	URL string
	// Ref is a branch, a tag, a full ref or a commit; empty: the remote's HEAD.
	Ref string
	// Path is the directory of interest in the repository; empty: its root.
	Path string
	// AllowedSigners is a file as ssh-keygen(1) describes it under ALLOWED
	// SIGNERS; empty: signatures are not looked at.
	AllowedSigners string
	// Dir is where everything is kept; it is made when it is not there.
	Dir string
	// Interval between two looks at the remote; zero: [DefaultInterval].
	Interval time.Duration
	// Environ is the environment that git's own is made from.
	Environ []string
	Logger  *slog.Logger
}

// Status says how following the repository does.
type Status struct {
	URL         string    `json:"url"` // without user and password
	Ref         string    `json:"ref"`
	Path        string    `json:"path,omitempty"`
	Commit      string    `json:"commit,omitempty"` // that is checked out
	CommittedAt time.Time `json:"committed_at,omitzero"`
	Subject     string    `json:"subject,omitempty"`
	Signer      string    `json:"signer,omitempty"`
	CheckedAt   time.Time `json:"checked_at,omitzero"` // when the remote last answered
	Error       string    `json:"error,omitempty"`     // why it is not, or may not be, the newest
	Since       time.Time `json:"error_since,omitzero"`
}

// Source is a repository that is followed. [Source.Dir], [Source.Commit],
// [Source.Status] and [Source.Poke] are safe for concurrent use.
type Source struct {
	o          Options
	log        *slog.Logger
	git        *program
	identity   string // of repository and ref
	below      string // path of interest, "." for all
	repository string
	checkouts  string
	link       string
	lock       *os.File
	current    string // name of the checkout that the link leads to
	poked      chan struct{}
	status     atomic.Pointer[Status]
	failed     int  // looks in a row
	looked     bool // since Open
	asked      chan struct{}
	tooLarge   *tooLargeError    // the last transfer that was given up because of its size
	trusted    [sha256.Size]byte // of the allowed signers that the commit checked out was last found to be signed by
}

// ErrLocked: another process follows a repository in the same directory.
var ErrLocked = errors.New("another process follows a repository there")

// Open prepares to follow a repository. It makes what is missing of its
// directory and contacts nobody.
func Open(o Options) (*Source, error) {
	if o.Ref == "" {
		o.Ref = "HEAD"
	}
	if o.Interval <= 0 {
		o.Interval = DefaultInterval
	}
	r, err := newRemote(o.URL, o.Ref)
	if err != nil {
		return nil, err
	}
	below := path.Clean(strings.Trim(o.Path, "/"))
	if err := checkName(below); err != nil && below != "." {
		return nil, fmt.Errorf("following a Git repository: the path %q: %w", o.Path, err)
	}
	git, err := newProgram(o.Environ, r)
	if err != nil {
		return nil, err
	}
	for _, p := range []*string{&o.AllowedSigners, &o.Dir} {
		if *p != "" {
			if *p, err = filepath.Abs(*p); err != nil {
				return nil, err
			}
		}
	}
	sum := sha256.Sum256([]byte(r.url + "\n" + r.ref))
	s := &Source{
		o: o, log: o.Logger, git: git, identity: hex.EncodeToString(sum[:4]), below: below,
		repository: filepath.Join(o.Dir, "repository"), checkouts: filepath.Join(o.Dir, "checkouts"), link: filepath.Join(o.Dir, linkName),
		poked: make(chan struct{}, 1), asked: make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.status.Store(&Status{URL: r.show, Ref: r.ref, Path: strings.TrimPrefix(below, ".")})
	if err := os.MkdirAll(s.checkouts, 0o700); err != nil {
		return nil, fmt.Errorf("following %s: %w", r.show, err)
	}
	if s.lock, err = lockDir(o.Dir); err != nil {
		return nil, fmt.Errorf("following %s: %w", r.show, err)
	}
	s.pruneUnfinished()
	s.putBack()
	if err := s.remember(); err != nil {
		return nil, errors.Join(fmt.Errorf("following %s: %w", r.show, err), s.Close())
	}
	if r.open && o.AllowedSigners == "" {
		s.log.Warn("whoever is on the way to the repository can put a configuration of their own in its place: use https or ssh, or --verify-signatures", "url", r.show)
	}
	return s, nil
}

func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrLocked, dir)
		}
		return nil, err
	}
	return f, nil
}

// Close lets go of the directory, which stays as it is.
func (s *Source) Close() error {
	// Said, and not left to the closing: a child that is just being forked has
	// the file open for a moment.
	_ = unix.Flock(int(s.lock.Fd()), unix.LOCK_UN)
	return s.lock.Close()
}

// Dir is the directory of interest in the commit that is checked out. Its path
// stays the same, whatever commit that is.
func (s *Source) Dir() string { return filepath.Join(s.link, s.below) }

// Commit is the commit that Dir leads to at this moment; "" before there is one.
func (s *Source) Commit() string {
	return commitOf(s.link)
}

// Status says how it does.
func (s *Source) Status() Status { return *s.status.Load() }

// Asked is closed once the remote was asked, whatever came of it.
func (s *Source) Asked() <-chan struct{} { return s.asked }

// Poke has the remote asked at once.
func (s *Source) Poke() {
	select {
	case s.poked <- struct{}{}:
	default:
	}
}

// Start makes sure that Dir is there: the last checkout, if it is of the same
// repository and ref and its signature verifies; else what the remote has. The
// error is why there is none.
func (s *Source) Start(ctx context.Context) error {
	if s.resume(ctx) {
		return nil
	}
	// What it leads to is not to be read by anybody.
	if err := os.Remove(s.link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("following %s: %w", s.Status().URL, err)
	}
	return s.look(ctx)
}

// resume takes the last checkout up again.
func (s *Source) resume(ctx context.Context) bool {
	target, err := os.Readlink(s.link)
	if err != nil {
		return false
	}
	name := filepath.Base(target)
	commit := s.Commit()
	if name != checkoutName(commit, s.identity) || !s.complete(s.link) {
		return false
	}
	info, err := s.inspect(ctx, commit)
	switch {
	case err != nil && s.o.AllowedSigners != "":
		s.log.Warn("the last checkout is not taken up again", "error", err)
		return false
	case err != nil:
		info = commitInfo{id: commit} // its repository is damaged: it will be made anew
	}
	s.current = name
	s.publish(info)
	s.log.Info("going on with the last checkout", "commit", commit, "ref", s.o.Ref)
	return true
}

// publish makes known what is checked out, and by which allowed signers that counts:
// a commit that could not be checked out does not tell about the one that is.
func (s *Source) publish(info commitInfo) {
	s.trusted = info.allowed
	st := s.Status()
	st.Commit, st.CommittedAt, st.Subject, st.Signer = info.id, info.at, info.subject, info.signer
	s.status.Store(&st)
}

// Run follows the repository until ctx ends.
func (s *Source) Run(ctx context.Context) {
	wait := time.Duration(0)
	if s.looked {
		wait = s.wait()
	}
	for {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.poked:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return
		}
		_ = s.look(ctx) // it is in the log and in Status
		wait = s.wait()
	}
}

// look asks the remote once and takes what is new.
func (s *Source) look(ctx context.Context) error {
	first := !s.looked
	s.looked = true
	err := s.take(ctx)
	if first {
		close(s.asked)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	now := time.Now()
	before := s.Status()
	st := before
	if err == nil {
		st.CheckedAt, st.Error, st.Since = now, "", time.Time{}
		s.failed = 0
		if before.Error != "" {
			s.log.Info("the repository is followed again", "url", st.URL, "commit", st.Commit)
		}
		s.status.Store(&st)
		return nil
	}
	s.failed++
	refused := isRefused(err)
	if refused {
		st.CheckedAt, s.failed = now, 0 // the remote does answer
	}
	if st.Error = err.Error(); before.Error == "" {
		st.Since = now
	}
	s.status.Store(&st)
	switch {
	case st.Error == before.Error:
		s.log.Debug("following the repository", "url", st.URL, "error", err)
	case errors.Is(err, errNotTrusted):
		s.log.Error("the signature of the commit in force does not count any more; it stays in force until a commit comes whose does", "url", st.URL, "ref", st.Ref, "error", err, "in_force", st.Commit)
	case refused:
		said := []any{"url", st.URL, "ref", st.Ref, "error", err}
		if st.Commit == "" {
			s.log.Error("a commit is not taken, and there is none to go on with", said...)
		} else {
			s.log.Error("a commit is not taken; the last good one stays in force", append(said, "in_force", st.Commit)...)
		}
	case st.Commit == "":
		s.log.Warn("the repository cannot be followed, and nothing of it is checked out yet", "url", st.URL, "ref", st.Ref, "error", err)
	default:
		s.log.Warn("the repository cannot be followed; the last good commit stays in force", "url", st.URL, "ref", st.Ref, "error", err, "in_force", st.Commit)
	}
	return fmt.Errorf("following %s: %w", st.URL, err)
}

// take brings the checkout in line with the remote.
func (s *Source) take(ctx context.Context) error {
	if s.o.AllowedSigners != "" {
		if _, err := os.Stat(s.o.AllowedSigners); err != nil {
			return fmt.Errorf("reading the allowed signers: %w", err)
		}
	}
	t, err := s.git.ask(ctx)
	if err != nil {
		return err
	}
	err = s.takeTip(ctx, t)
	if err == nil || isRefused(err) || ctx.Err() != nil {
		return err
	}
	// The remote answers: what is wrong may be the repository here.
	s.log.Debug("making the repository anew", "error", err)
	return s.takeAnew(ctx, t)
}

func isRefused(err error) bool {
	var refused *refusedError
	return errors.As(err, &refused)
}

// maxPacks is how many transfers a repository keeps before it is made anew.
const maxPacks = 64

func (s *Source) takeTip(ctx context.Context, t tip) error {
	if s.fetched(ctx) != t.object {
		if err := s.fetch(ctx, t); err != nil {
			return err
		}
	}
	out, err := s.git.run(ctx, localTimeout, s.repository, "rev-parse", "--verify", "--end-of-options", headRef+"^{commit}")
	if err != nil {
		return fmt.Errorf("reading what was fetched: %w", err)
	}
	commit := strings.TrimSpace(string(out))
	if name := checkoutName(commit, s.identity); name == s.current && s.complete(s.link) {
		return s.stillCounts(ctx, commit)
	}
	if _, err := s.git.run(ctx, localTimeout, s.repository, "cat-file", "-e", commit+"^{tree}"); err != nil {
		return fmt.Errorf("reading what was fetched: %w", err)
	}
	info, err := s.inspect(ctx, commit)
	if err != nil {
		return err
	}
	before := s.current
	name, err := s.checkout(ctx, commit)
	if err != nil {
		return err
	}
	if err := s.point(name); err != nil {
		return fmt.Errorf("taking commit %s: %w", short(commit), err)
	}
	s.current = name
	s.publish(info)
	s.log.Info("commit checked out", "commit", commit, "ref", s.o.Ref, "subject", info.subject, "signer", info.signer)
	s.prune(name, before)
	return nil
}

// headRef is where what was fetched is kept.
const headRef = "refs/tokend/head"

// fetched is the object that was fetched last; "" when there is none.
func (s *Source) fetched(ctx context.Context) string {
	if _, err := os.Stat(s.repository); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	out, err := s.git.run(ctx, localTimeout, s.repository, "rev-parse", "--verify", "--quiet", headRef)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func (s *Source) fetch(ctx context.Context, t tip) error {
	if packs, err := filepath.Glob(filepath.Join(s.repository, "objects", "pack", "*.pack")); err == nil && len(packs) > maxPacks {
		return errWorn
	}
	if _, err := os.Stat(s.repository); errors.Is(err, fs.ErrNotExist) {
		format := "sha1"
		if len(t.object) == 64 {
			format = "sha256"
		}
		if _, err := s.git.run(ctx, localTimeout, "", "init", "--quiet", "--bare", "--template=", "--object-format="+format, s.repository); err != nil {
			return fmt.Errorf("making a repository: %w", err)
		}
	}
	return s.transfer(ctx, t)
}

// transfer has git fetch what is to be had. What is known to be too large is not
// transferred again, unless there is more room now.
func (s *Source) transfer(ctx context.Context, t tip) error {
	if over := s.tooLarge; over != nil && over.object == t.object && mostOf(s.repository) < over.most+over.most/4 {
		return over
	}
	sweepPacks(s.repository) // a kill leaves them, too
	watched, stop := watchRoom(ctx, s.repository, t.object)
	_, err := s.git.run(watched, fetchTimeout, s.repository, "fetch", "--quiet", "--force", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head",
		"--end-of-options", remoteName, "+"+t.fetch+":"+headRef)
	over := stop()
	if err == nil {
		return nil
	}
	sweepPacks(s.repository)
	if s.tooLarge = over; over != nil {
		return over
	}
	return err
}
