package gitsource

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// Times within which git has to be done. A transfer that stands still is given
// up earlier, by git itself.
const (
	askTimeout   = time.Minute
	fetchTimeout = 10 * time.Minute
	localTimeout = 2 * time.Minute
	waitDelay    = 5 * time.Second // for what git started and left behind
)

// Protocols are the transports by which a remote may be spoken to.
func Protocols() []string { return []string{"https", "ssh", "git", "http", "file"} }

// passed are the variables of the environment that git is given: how a person
// set up credentials, keys, proxies and certificates.
func passed() []string {
	return []string{
		"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "CREDENTIALS_DIRECTORY",
		"SSH_AUTH_SOCK", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_ASKPASS", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE",
		"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH",
		"GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_CERT", "GIT_SSL_KEY", "SSL_CERT_FILE", "SSL_CERT_DIR",
		"http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
	}
}

// setting is one of git's own, which goes before what files say.
type setting struct{ key, value string }

// settings are those of every call.
func settings() []setting {
	list := []setting{
		{"core.hooksPath", "/dev/null"},
		{"core.fsmonitor", "false"},
		{"core.attributesFile", "/dev/null"},
		{"gc.auto", "0"},
		{"maintenance.auto", "false"},
		{"submodule.recurse", "false"},
		{"fetch.recurseSubmodules", "false"},
		{"fetch.fsckObjects", "true"},
		{"fetch.unpackLimit", "1"}, // packs only, which are counted
		{"fetch.writeCommitGraph", "false"},
		{"transfer.bundleURI", "false"},
		{"http.lowSpeedLimit", "100"},
		{"http.lowSpeedTime", "60"},
		{"protocol.allow", "never"},
	}
	for _, p := range Protocols() {
		list = append(list, setting{"protocol." + p + ".allow", "always"})
	}
	return list
}

// program runs git.
type program struct {
	path    string
	environ []string
	remote  remote
}

func newProgram(environ []string, r remote) (*program, error) {
	path, err := lookPath(environ)
	if err != nil {
		return nil, err
	}
	p := &program{path: path, remote: r}
	keep := map[string]bool{}
	for _, n := range passed() {
		keep[n] = true
	}
	var given []setting
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if keep[name] {
			p.environ = append(p.environ, e)
		}
		if n, ok := strings.CutPrefix(name, "GIT_CONFIG_KEY_"); ok {
			if v, ok := lookup(environ, "GIT_CONFIG_VALUE_"+n); ok {
				given = append(given, setting{value, v})
			}
		}
	}
	// What the environment sets comes first, so that it cannot undo the others.
	all := slices.Concat(given, settings(), r.settings())
	p.environ = append(p.environ, "LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_NO_REPLACE_OBJECTS=1", "GIT_OPTIONAL_LOCKS=0", "GIT_ATTR_NOSYSTEM=1",
		fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(all)))
	for i, s := range all {
		p.environ = append(p.environ, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, s.key), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, s.value))
	}
	p.environ = append(p.environ, r.environ()...)
	return p, nil
}

func lookup(environ []string, name string) (value string, ok bool) {
	for _, e := range environ {
		if v, found := strings.CutPrefix(e, name+"="); found {
			value, ok = v, true
		}
	}
	return value, ok
}

func lookPath(environ []string) (string, error) {
	path, ok := lookup(environ, "PATH")
	if !ok || path == "" {
		path = "/usr/local/bin:/usr/bin:/bin"
	}
	for _, dir := range strings.Split(path, ":") {
		if !strings.HasPrefix(dir, "/") {
			continue // never a program that lies where one happens to stand
		}
		if found, err := exec.LookPath(dir + "/git"); err == nil {
			return found, nil
		}
	}
	return "", errors.New("following a Git repository: there is no program git in PATH; install git")
}

// command prepares git, with no terminal to ask at.
func (p *program) command(ctx context.Context, repository string, args ...string) *exec.Cmd {
	if repository != "" {
		args = append([]string{"--git-dir=" + repository}, args...)
	}
	cmd := exec.CommandContext(ctx, p.path, args...)
	cmd.Env, cmd.Dir = p.environ, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// Git's own children (ssh, git-remote-https) go with it.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = waitDelay
	return cmd
}

// run runs git in a repository ("" for none) and returns what it printed.
func (p *program) run(ctx context.Context, within time.Duration, repository string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	cmd := p.command(ctx, repository, args...)
	var out, said output
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return nil, p.failure(ctx, within, said.b, err)
	}
	if out.cut {
		return nil, fmt.Errorf("running git: it printed more than %d MiB", maxOutput>>20)
	}
	return out.b, nil
}

// stream runs git in a repository and has what it prints read as it comes.
func (p *program) stream(ctx context.Context, repository string, in io.Reader, read func(*bufio.Reader) error, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, localTimeout)
	defer cancel()
	cmd := p.command(ctx, repository, args...)
	var said output
	cmd.Stdin, cmd.Stderr = in, &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("running git: %w", err)
	}
	err = read(bufio.NewReaderSize(out, 1<<16))
	over := ctx.Err()
	if err != nil {
		cancel() // there may be more, which nobody reads
	}
	switch ended := cmd.Wait(); {
	case over != nil:
		return p.failure(ctx, localTimeout, nil, over)
	case err == nil && ended != nil:
		return p.failure(ctx, localTimeout, said.b, ended)
	}
	return err
}

// maxOutput is how much of what git prints is kept: a server has a hand in it.
const maxOutput = 8 << 20

// output keeps the beginning of what is written to it.
type output struct {
	b   []byte
	cut bool
}

func (o *output) Write(p []byte) (int, error) {
	keep := min(len(p), maxOutput-len(o.b))
	o.b, o.cut = append(o.b, p[:keep]...), o.cut || keep < len(p)
	return len(p), nil
}

// failure is what git said when it failed, in one line.
func (p *program) failure(ctx context.Context, within time.Duration, said []byte, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("git was not done within %s", within)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	text := excerpt([]byte(p.remote.scrub(string(said))))
	if text == "" {
		return fmt.Errorf("running git: %w", err)
	}
	return errors.New(text)
}

const maxExcerpt = 400

// excerpt is what a program said, in one line without control characters; a
// server may have had a hand in it.
func excerpt(said []byte) string {
	text := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(said), "?"))
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxExcerpt {
		text = strings.ToValidUTF8(text[:maxExcerpt], "") + " …"
	}
	return text
}
