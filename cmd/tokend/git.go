package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"tokend/pkg/gitsource"
	"tokend/pkg/spec"
	"tokend/pkg/web"
)

// gitFlags are those of a daemon that follows a repository.
type gitFlags struct {
	url, ref, path, signers string
	interval                time.Duration
}

func (f *gitFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.url, "git", "", "`URL` of a Git repository to follow in place of --config: https, ssh, git, http, file, user@host:path, or an absolute path")
	c.Flags().StringVar(&f.ref, "ref", "", "branch, tag, ref or commit to follow (default: the remote's HEAD)")
	c.Flags().StringVar(&f.path, "path", "", "`directory` of the configuration in the repository (default: its root)")
	c.Flags().StringVar(&f.signers, "verify-signatures", "", "take only commits that are signed by a key in this `file` of allowed signers, as ssh-keygen(1) describes it")
	c.Flags().DurationVar(&f.interval, "git-interval", gitsource.DefaultInterval, "how often to ask the remote")
}

func (f *gitFlags) check(g *globals) error {
	switch {
	case f.url == "" && (f.ref != "" || f.path != "" || f.signers != ""):
		return withHint(errors.New("--ref, --path and --verify-signatures say more of --git, which is missing"), "name the repository: --git URL")
	case f.url == "":
		return nil
	case g.configSet:
		return withHint(errors.New("--git and --config name two configurations"), "give one of them")
	case f.interval < time.Second:
		return errors.New("--git-interval is less than a second")
	}
	return nil
}

// followGit begins to follow a repository, if one is named: its checkout is the
// directory of the configuration from now on. stop ends it.
func (g *globals) followGit(ctx context.Context, log *slog.Logger, f gitFlags) (stop func(), err error) {
	stop = func() {}
	if err := f.check(g); err != nil || f.url == "" {
		return stop, err
	}
	source, err := gitsource.Open(gitsource.Options{
		URL: f.url, Ref: f.ref, Path: f.path, AllowedSigners: f.signers, Dir: g.gitDir(), Interval: f.interval, Environ: g.environ, Logger: log,
	})
	if err != nil {
		return stop, err
	}
	g.git, g.config, g.signers = source, source.Dir(), f.signers
	st := source.Status()
	log.Info("following a repository", "url", st.URL, "ref", st.Ref, "path", firstOf(st.Path, "."), "interval", f.interval.String(), "signed", f.signers != "")
	if err := source.Start(ctx); err != nil {
		log.Error("there is no checkout to begin with", "error", err)
		g.noPath = errors.Is(err, gitsource.ErrNoPath)
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { source.Run(ctx) })
	return func() {
		cancel()
		running.Wait()
		_ = source.Close() // it holds nothing but a lock
	}, nil
}

// noCommitSummary is all that is said of that in a line.
const noCommitSummary = "No commit"

// noCommit is what is wrong with a repository of which nothing could be checked
// out.
func noCommit(s gitsource.Status) *hcl.Diagnostic {
	d := &hcl.Diagnostic{Severity: hcl.DiagError, Summary: noCommitSummary, Detail: fmt.Sprintf("Nothing of %s is checked out yet.", s.URL)}
	if s.Error != "" {
		d.Detail = fmt.Sprintf("Nothing of %s can be checked out: %s.", s.URL, strings.TrimRight(s.Error, ". "))
	}
	return d
}

// mostReads bounds how often a directory is read while commits take turns.
const mostReads = 5

// loadRevision reads a directory, and knows which commit it was.
func (g *globals) loadRevision(dir string, o spec.Options) (*spec.Config, spec.Diagnostics) {
	if g.git == nil {
		o.Revision = g.commit
		return spec.Load(dir, o)
	}
	for i := 1; ; i++ {
		o.Revision = g.git.Commit()
		cfg, diags := spec.Load(dir, o)
		if i == mostReads || g.git.Commit() == o.Revision {
			return cfg, diags
		}
	}
}

// revision is the commit that a configuration is recorded under. Of the one in
// force it is the newest with the same files.
func (e *engine) revision(c *spec.Config) string {
	if c == e.loop.Config() {
		e.mu.Lock()
		defer e.mu.Unlock()
		return firstOf(e.conf.Commit, c.Revision())
	}
	return c.Revision()
}

// inForce says that a commit holds the very configuration that is in force.
func (e *engine) inForce(commit string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.conf.Commit, e.conf.Unvouched = commit, "" // it was read from a checkout
}

// vouch finds out, where a daemon begins with what was last in force, whether that
// is signed as its commits have to be now.
func (e *engine) vouch(ctx context.Context) {
	if e.g.git == nil {
		return
	}
	commit := e.configuration().Commit
	err := e.g.git.Vouches(ctx, commit)
	if err == nil {
		return
	}
	e.log.Warn("no signature that counts now is known of what is in force; it stays in force until a signed commit comes", "commit", commit, "error", err)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.conf.Unvouched = err.Error()
}

// unsettled says whether a git is at work in the configuration's directory.
func (e *engine) unsettled() string {
	e.mu.Lock()
	dir := e.conf.Directory
	e.mu.Unlock()
	if lock := gitsource.IndexLock(dir); lock != "" {
		if _, err := os.Lstat(lock); err == nil {
			return "git is at work in the configuration's directory (" + lock + " is there; a killed git leaves it behind)"
		}
	}
	return ""
}

func commitAttr(commit string) []any {
	if commit == "" {
		return nil
	}
	return []any{"commit", commit}
}

func gitView(s *gitsource.Status) *web.Git {
	if s == nil {
		return nil
	}
	return &web.Git{URL: s.URL, Ref: s.Ref, CheckedAt: s.CheckedAt, Failing: s.Error != ""}
}

// printGit says which commit is in force, and how following it does.
func printGit(w io.Writer, c configurationView, now time.Time) {
	if c.Git == nil {
		if c.Commit != "" {
			fmt.Fprintf(w, "In force: commit %s.\n\n", c.Commit)
		}
		return
	}
	s := c.Git
	fmt.Fprintf(w, "Following %s of %s: ", s.Ref, s.URL)
	switch {
	case c.Commit == "":
		fmt.Fprint(w, "no commit is in force")
	case c.Commit == s.Commit && s.Subject != "":
		fmt.Fprintf(w, "commit %s is in force (%s)", c.Commit, s.Subject)
	default:
		fmt.Fprintf(w, "commit %s is in force", c.Commit)
	}
	if c.Commit != s.Commit && s.Commit != "" {
		fmt.Fprintf(w, ", commit %s is the newest (%s)", s.Commit, s.Subject)
	}
	if s.Signer != "" && c.Commit == s.Commit {
		fmt.Fprintf(w, ", signed by %s", s.Signer)
	}
	if !s.CheckedAt.IsZero() {
		fmt.Fprintf(w, "; asked %s ago", ago(now, s.CheckedAt))
	}
	fmt.Fprintln(w, ".")
	if c.Unvouched != "" {
		fmt.Fprintf(w, "  No signature that counts now is known of what is in force, which stays until a signed commit comes: %s\n", c.Unvouched)
	}
	if s.Error != "" {
		fmt.Fprintf(w, "  Not up to date for %s: %s\n      It is asked again by itself, and at once by SIGHUP (systemctl reload tokend).\n", ago(now, s.Since), s.Error)
	}
	fmt.Fprintln(w)
}

// useCheckout lets a command that reads the directory by itself read the one of
// a daemon that follows a repository.
func (g *globals) useCheckout(ctx context.Context) {
	if g.configSet {
		return
	}
	_, s, err := g.dial(ctx)
	switch {
	case err == nil && s.Configuration.Git != nil:
		g.config = s.Configuration.Directory
	case noDaemon(err):
		g.useLastCheckout()
	}
}

// useLastCheckout lets a command without a daemon go by what a daemon followed
// here last: on such a host the usual directory has no configuration.
func (g *globals) useLastCheckout() {
	if g.configSet || g.git != nil {
		return
	}
	for _, pattern := range []string{"*.hcl", "*.hcl.json"} {
		if found, _ := filepath.Glob(filepath.Join(g.config, pattern)); len(found) > 0 {
			return
		}
	}
	if dir, commit, ok := gitsource.Followed(g.gitDir()); ok {
		g.config, g.commit = dir, commit
	}
}

// gitArguments are those of a daemon that goes on with the repository that one
// followed here last.
func (g *globals) gitArguments() []string {
	if g.commit == "" {
		return nil
	}
	o, ok := gitsource.LastOptions(g.gitDir())
	if !ok {
		return nil
	}
	args := []string{"--git " + shellWord(o.URL)}
	if o.Ref != "HEAD" {
		args = append(args, "--ref "+shellWord(o.Ref))
	}
	if o.Path != "" {
		args = append(args, "--path "+shellWord(o.Path))
	}
	if o.AllowedSigners != "" {
		args = append(args, "--verify-signatures "+shellWord(o.AllowedSigners))
	}
	if o.Interval != gitsource.DefaultInterval {
		args = append(args, "--git-interval "+o.Interval.String())
	}
	return args
}

// gitDir is where the daemon keeps what it follows.
func (g *globals) gitDir() string { return filepath.Join(g.stateDir(spec.StateSettings{}), "git") }
