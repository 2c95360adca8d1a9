package hostfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/atomicfile"
	"tokend/pkg/secret"
	"tokend/pkg/sinks"
	"tokend/pkg/spec"
)

// Target is where a file shall be, and whose.
type Target struct {
	Path string // absolute and clean
	Attr atomicfile.Attr
}

// Attrs are the arguments that [ParseTarget] reads.
func Attrs() []spec.Attr {
	return []spec.Attr{
		{Name: "path", Type: cty.String, Required: true, Doc: "The file. Its directory is made when it is missing."},
		{Name: "owner", Type: cty.String, Doc: "User that the file belongs to, by name or number. Without it, the user tokend runs as."},
		{Name: "group", Type: cty.String, Doc: "Group that the file belongs to, by name or number, and whose members may enter the directories that are made for it."},
		{Name: "mode", Type: cty.String, Default: "0600", Doc: "Permission bits of the file, octal."},
		{Name: "dir_mode", Type: cty.String, Default: "0750", Doc: "Permission bits of directories that are made, octal. Existing ones are left as they are."},
	}
}

// ParseTarget reads the arguments that every file has. A relative path is
// relative to base.
func ParseTarget(args spec.Values, base string) (Target, error) {
	var t Target
	path, err := Path(args, "path", base)
	if err != nil {
		_, err1 := parseMode(args, "mode")
		_, err2 := parseMode(args, "dir_mode")
		return Target{}, errors.Join(err, err1, err2)
	}
	t.Path = path
	mode, err1 := parseMode(args, "mode")
	dirMode, err2 := parseMode(args, "dir_mode")
	owner, err3 := args.String("owner")
	group, err4 := args.String("group")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return Target{}, Wrong(t.Path, err)
	}
	if mode != 0 && mode&0o444 == 0 {
		return Target{}, Wrong(t.Path, argument("mode", "%04o lets nobody read the file", mode))
	}
	if dirMode != 0 && dirMode&0o300 != 0o300 {
		return Target{}, Wrong(t.Path, argument("dir_mode", "with %04o not even tokend could write in the directory", dirMode))
	}
	t.Attr = atomicfile.Attr{Mode: mode, DirMode: dirMode, Owner: owner, Group: group}
	return t, nil
}

// Path reads an argument that names a file.
func Path(args spec.Values, name, base string) (string, error) {
	p, err := args.String(name)
	switch {
	case err != nil:
		return "", Wrong("the file", err)
	case p == "":
		return "", Wrong("the file", argument(name, "it must name a file"))
	case strings.ContainsRune(p, 0):
		return "", Wrong("the file", argument(name, "%q contains a zero byte", p))
	case p == "~" || strings.HasPrefix(p, "~/"):
		return "", Wrong(p, argument(name, "there is no shell to replace the ~, so that it would be a directory of that name: write the path in full"))
	case strings.HasSuffix(p, "/"):
		return "", Wrong(p, argument(name, "it ends in a slash and so names a directory; a file is required"))
	}
	if !filepath.IsAbs(p) {
		if base == "" {
			return "", Wrong(p, argument(name, "it must be absolute"))
		}
		p = filepath.Join(base, p)
	}
	return filepath.Clean(p), nil
}

// Wrong is the error for arguments that cannot be rendered, whatever happens
// around them.
func Wrong(path string, err error) error {
	return fmt.Errorf("rendering %s: %w: %w", path, sinks.ErrPermanent, err)
}

// argument is what is wrong with one argument.
func argument(name, what string, args ...any) error {
	return &spec.ArgumentError{Name: name, Err: fmt.Errorf(what, args...)}
}

// parseMode reads permission bits, 0 when absent.
func parseMode(args spec.Values, name string) (fs.FileMode, error) {
	s, err := args.String(name)
	if err != nil || s == "" {
		return 0, err
	}
	digits := strings.TrimPrefix(s, "0o")
	n, err := strconv.ParseUint(digits, 8, 32)
	if err != nil || len(digits) < 3 || n == 0 || n > 0o777 {
		return 0, argument(name, "%q is not a mode; it is three octal digits, as in \"0640\"", s)
	}
	return fs.FileMode(n), nil
}

// Desired is the target with its content, for the caller to pass around. The
// parts of the content have names where it is made of some.
func (t Target) Desired(content secret.Text, parts ...string) sinks.Desired {
	return sinks.Desired{Place: t.place(), Content: desired{Target: t, content: content, parts: parts}}
}

// Unknown is the target while its content is not known.
func (t Target) Unknown() (sinks.Desired, error) {
	return sinks.Desired{Place: t.place(), Content: t}, fmt.Errorf("rendering %s: %w", t.Path, sinks.ErrUnknown)
}

// place is the same for all kinds of file, so that two of them with one path
// are seen to be at odds.
func (t Target) place() string { return placePrefix + t.Path }

// placePrefix begins the name of every place that is a file.
const placePrefix = "file:"

// desired is the content of a [sinks.Desired] of a file.
type desired struct {
	Target
	content secret.Text
	parts   []string
}
