package gitsource

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tokend/pkg/secret"
)

// remoteName is what the remote is called towards git, whose URL comes with its
// settings and so never stands in a list of processes.
const remoteName = "tokend"

// remote is a repository somewhere and a ref in it.
type remote struct {
	url  string // without user and password where these are secret
	show string // for people
	ref  string
	user string
	pass secret.Text
	// asked is the scope within which git asks for the password.
	asked string
	// open: whoever is on the way can put in something else.
	open bool
}

// scpLike is user@host:path, SSH in its short form.
var scpLike = regexp.MustCompile(`^([A-Za-z0-9_.-]+@)?[A-Za-z0-9.\-]+:[^/:].*$|^([A-Za-z0-9_.-]+@)?[A-Za-z0-9.\-]+:/[^/].*$`)

func newRemote(rawURL, ref string) (remote, error) {
	r := remote{ref: ref}
	if err := checkRef(ref); err != nil {
		return r, err
	}
	switch {
	case filepath.IsAbs(rawURL):
		r.url = rawURL
		r.show = rawURL
		return r, nil
	case rawURL == "" || strings.HasPrefix(rawURL, "-") || strings.ContainsFunc(rawURL, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		return r, errors.New("following a Git repository: its URL is empty or has blanks in it")
	case !strings.Contains(rawURL, "://"):
		if strings.Contains(rawURL, "::") || !scpLike.MatchString(rawURL) {
			return r, errors.New("following a Git repository: its URL is neither https://…, ssh://…, git://…, http://… or file:///…, nor user@host:path, nor an absolute path")
		}
		r.url, r.show = rawURL, rawURL
		return r, nil
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return r, errors.New("following a Git repository: its URL cannot be read") // the error would show it
	}
	if !slices.Contains(Protocols(), u.Scheme) {
		return r, fmt.Errorf("following a Git repository: the transport %q is not allowed; use one of %s", u.Scheme, strings.Join(Protocols(), ", "))
	}
	password, given := u.User.Password()
	switch {
	case u.Scheme == "http" || u.Scheme == "https":
		if u.User != nil {
			r.user, r.pass = u.User.Username(), secret.New(password)
			u.User = nil
			r.asked = u.Scheme + "://" + u.Host
		}
	case given:
		return r, fmt.Errorf("following a Git repository: an %s:// URL takes no password; use a key", u.Scheme)
	}
	r.open = u.Scheme == "http" || u.Scheme == "git"
	if u.RawQuery != "" || u.Fragment != "" {
		return r, errors.New("following a Git repository: its URL has a query or a fragment, where secrets may stand; leave it out")
	}
	r.url = u.String()
	r.show = r.url
	return r, nil
}

// checkRef refuses what git would take for something else than a ref.
func checkRef(ref string) error {
	bad := ref == "" || strings.HasPrefix(ref, "-") || strings.Contains(ref, "..") || strings.Contains(ref, "@{") ||
		strings.ContainsAny(ref, " ~^:?*[\\\x7f") || strings.ContainsFunc(ref, func(c rune) bool { return c < ' ' }) ||
		strings.HasPrefix(ref, "/") || strings.HasSuffix(ref, "/") || strings.HasSuffix(ref, ".lock") || strings.HasPrefix(ref, "+")
	if bad {
		return fmt.Errorf("following a Git repository: %q is not the name of a branch, a tag, a ref or a commit", ref)
	}
	return nil
}

// Names of the variables through which git's helper gets what the URL held.
const (
	userVar = "TOKEND_GIT_USER"
	passVar = "TOKEND_GIT_PASSWORD"
)

// settings tell git where the remote is and, where the URL held them, how to
// come by user and password.
func (r remote) settings() []setting {
	list := []setting{{"remote." + remoteName + ".url", r.url}}
	if r.asked != "" {
		helper := `!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$` + userVar + `" "$` + passVar + `"; }; f`
		list = append(list, setting{"credential." + r.asked + ".helper", ""}, setting{"credential." + r.asked + ".helper", helper})
	}
	return list
}

func (r remote) environ() []string {
	if r.asked == "" {
		return nil
	}
	return []string{userVar + "=" + r.user, passVar + "=" + r.pass.Reveal()}
}

// scrub takes what authenticates at the server out of what git said, however it
// came there: the password; the user, who may be a token, but for a name that says
// nothing; and both as they stand in a header, which a server may repeat.
func (r remote) scrub(text string) string {
	if r.asked == "" {
		return text
	}
	hide := []secret.Text{secret.New(r.user + ":" + r.pass.Reveal()), r.pass}
	const shortestToken = 16
	if r.pass.Empty() || len(r.user) >= shortestToken {
		hide = append(hide, secret.New(r.user))
	}
	return secret.Scrub(text, hide...)
}

var (
	isCommit = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

	// errNoRef: the remote answers, and has no such ref.
	errNoRef = errors.New("no such ref")
)

// tip is what a ref points to.
type tip struct {
	fetch  string // what to ask the remote for
	object string // its id: of a commit or an annotated tag
}

// ask asks the remote what the ref points to, without a repository, so that
// nothing that is wrong with ours is taken for the remote's fault.
func (p *program) ask(ctx context.Context) (tip, error) {
	if isCommit.MatchString(p.remote.ref) {
		return tip{p.remote.ref, p.remote.ref}, nil
	}
	out, err := p.run(ctx, askTimeout, "", "ls-remote", "--quiet", "--", remoteName, p.remote.ref)
	if err != nil {
		return tip{}, err
	}
	refs := map[string]string{}
	for line := range strings.Lines(string(out)) {
		id, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if ok && isCommit.MatchString(id) {
			refs[name] = id
		}
	}
	return p.choose(refs)
}

// choose finds the ref that is meant among those that the remote has. A short
// name that is a branch and a tag as well is nobody's: git would take the tag,
// and who may push tags need not be who may push to the branch.
func (p *program) choose(refs map[string]string) (tip, error) {
	ref := p.remote.ref
	if id := refs[ref]; id != "" {
		return tip{ref, id}, nil
	}
	var found []string
	for _, name := range []string{"refs/" + ref, "refs/tags/" + ref, "refs/heads/" + ref} {
		if refs[name] != "" {
			found = append(found, name)
		}
	}
	for _, name := range found {
		if refs[name] != refs[found[0]] {
			return tip{}, &refusedError{fmt.Sprintf("%s has %s, and %q does not say which is meant: name it in full, as in --ref %s", p.remote.show, strings.Join(found, " and "), ref, found[len(found)-1])}
		}
	}
	if len(found) > 0 {
		return tip{found[len(found)-1], refs[found[0]]}, nil
	}
	return tip{}, fmt.Errorf("%w: %s has no branch, tag or ref %q", errNoRef, p.remote.show, p.remote.ref)
}
