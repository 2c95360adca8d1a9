package policy

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"tokend/pkg/spec"
)

// checkPattern says what is wrong with a pattern.
func checkPattern(f form, s string) error {
	switch f {
	case paths:
		if !filepath.IsAbs(s) || filepath.Clean(s) != s || !doublestar.ValidatePattern(s) {
			return fmt.Errorf("%q is not an absolute path, in which * stands for a part of a name and ** for any directories", s)
		}
	case places:
		if strings.HasPrefix(s, "/") || !doublestar.ValidatePattern(s) || !strings.Contains(s, "/") {
			return fmt.Errorf("%q is not a mount and a path below it, such as kv/trading/**", s)
		}
	case origins:
		u, err := url.Parse(strings.ReplaceAll(s, "*", "x"))
		if err != nil || u.Host == "" || u.Scheme == "" || u.Path != "" || u.User != nil || u.RawQuery != "" {
			return fmt.Errorf("%q is not of the form https://host or https://host:port", s)
		}
	case names:
		if s == "" {
			return errors.New("an empty text allows nothing")
		}
	}
	return nil
}

// fullOrigin writes the port out.
func fullOrigin(s string) string {
	s = spec.LowerASCII(s)
	scheme, host, _ := strings.Cut(s, "://")
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return s
	}
	switch scheme {
	case "https":
		return s + ":443"
	case "http":
		return s + ":80"
	}
	return s
}

// originOf is the origin of a URL, the port written out; "" when it has none.
func originOf(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return ""
	}
	return fullOrigin(u.Scheme + "://" + u.Host)
}

// wild compares a text with a pattern in which * stands for any characters, but
// for those in not. What stands between two of them is looked for at its first
// place: nothing that a later one allows is missed, as no * can step over more.
// So the time does not explode, whatever text a configuration brings.
func wild(pattern, text, not string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, head)
	for ok {
		var next string
		next, rest, star = strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(text, next) && !strings.ContainsAny(strings.TrimSuffix(text, next), not)
		}
		var passed string
		passed, text, ok = strings.Cut(text, next)
		ok = ok && !strings.ContainsAny(passed, not)
	}
	return false
}

func anyWild(patterns []string, text, not string) bool {
	for _, p := range patterns {
		if wild(p, text, not) {
			return true
		}
	}
	return false
}

// abs makes a path of the configuration absolute and clean.
func (p *Policy) abs(path string) string {
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.dir, path)
	}
	return filepath.Clean(path)
}

// resolve follows the links of a path as far as it is there.
func resolve(path string) string { return resolveWithin(path, maxLinks) }

// maxLinks on one way, as the kernel has it.
const maxLinks = 40

func resolveWithin(path string, links int) string {
	rest := ""
	for at := path; ; {
		real, err := filepath.EvalSymlinks(at)
		if err == nil {
			return filepath.Join(real, rest)
		}
		if info, err := os.Lstat(at); err == nil && info.Mode()&os.ModeSymlink != 0 {
			// A link to what is not there yet: whoever writes makes it there.
			if to, err := os.Readlink(at); err == nil && links > 0 {
				if !filepath.IsAbs(to) {
					to = filepath.Join(filepath.Dir(at), to)
				}
				return resolveWithin(filepath.Join(to, rest), links-1)
			}
		}
		parent := filepath.Dir(at)
		if parent == at {
			return path
		}
		rest = filepath.Join(filepath.Base(at), rest)
		at = parent
	}
}

// allowsPath compares a clean path, and what it leads to, with patterns.
func allowsPath(patterns []string, path string) bool {
	return matchesPath(patterns, path) && leadsInto(patterns, path)
}

func matchesPath(patterns []string, path string) bool {
	for _, p := range patterns {
		if ok, err := doublestar.Match(p, path); ok && err == nil {
			return true
		}
	}
	return false
}

// leadsInto compares what a path leads to. A path that is written out in a rule
// may lead anywhere: the rule's author knows it. The fixed beginning of a pattern
// may itself lead through links, such as /var/run.
func leadsInto(patterns []string, path string) bool {
	real := resolve(path)
	if real == path || slices.Contains(patterns, path) || matchesPath(patterns, real) {
		return true
	}
	for _, p := range patterns {
		base, rest := doublestar.SplitPattern(p)
		if ok, err := doublestar.Match(filepath.Join(resolve(base), rest), real); ok && err == nil {
			return true
		}
	}
	return false
}

// within reports whether a path, and what it leads to, is in a directory.
func within(path, dir, real string) bool {
	return isIn(path, dir) && isIn(resolve(path), real)
}

// program is the absolute path of a command's program, as it will be found.
func (p *Policy) program(name string) (string, error) {
	if strings.Contains(name, "/") {
		return p.abs(name), nil
	}
	for _, dir := range filepath.SplitList(p.path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		full := filepath.Join(dir, name)
		if info, err := os.Stat(full); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return full, nil
		}
	}
	return "", fmt.Errorf("the program %q is not in PATH, so that it cannot be told which it is", name)
}

// rest, as the last word of a pattern, stands for any further words.
const rest = "..."

func matchesCommand(pattern []string, program string, args []string) bool {
	if ok, err := doublestar.Match(pattern[0], program); !ok || err != nil {
		return false
	}
	for i, w := range pattern[1:] {
		if w == rest && i == len(pattern)-2 {
			return true
		}
		if i >= len(args) || !wild(w, args[i], "") {
			return false
		}
	}
	return len(args) == len(pattern)-1
}

// sameUser compares two users, each by name or number.
func sameUser(a, b string) bool {
	return a == b || userID(a) == userID(b) && userID(a) != ""
}

func userID(s string) string {
	if isNumber(s) {
		return strings.TrimLeft(s, "0") + "#"
	}
	if u, err := user.Lookup(s); err == nil {
		return strings.TrimLeft(u.Uid, "0") + "#"
	}
	return ""
}

func sameGroup(a, b string) bool {
	return a == b || groupID(a) == groupID(b) && groupID(a) != ""
}

func groupID(s string) string {
	if isNumber(s) {
		return strings.TrimLeft(s, "0") + "#"
	}
	if g, err := user.LookupGroup(s); err == nil {
		return strings.TrimLeft(g.Gid, "0") + "#"
	}
	return ""
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
