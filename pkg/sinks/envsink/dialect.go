package envsink

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"tokend/pkg/spec"
)

// The formats, as the configuration names them.
const (
	formatSystemd = "systemd"
	formatDotenv  = "dotenv"
	formatDocker  = "docker"
	formatShell   = "shell"
)

func formats() []string { return []string{formatSystemd, formatDotenv, formatDocker, formatShell} }

// dialect is how one reader reads env files.
type dialect struct {
	format string
	// quote writes a value, which is valid UTF-8 without zero bytes. Its error
	// goes on after "the value …" and never shows any of it.
	quote func(value string) (string, error)
	// size is what a line with name and value may take, 0 for no limit.
	size int

	comments string // what begins a comment line
	quotes   string // what a template's value may be quoted with; "" for none
	export   bool   // whether a template's line may begin with "export "
	spaces   bool   // whether blanks may stand around the "="
	// bare refuses template text whose meaning to the reader would be lost;
	// quoted is the quote that it stands in, 0 for none.
	bare func(text string, quoted byte) error
	// comment does the same for a comment.
	comment func(text string) error
	// reserved are names that the reader keeps for itself.
	reserved []string
}

// The kernel takes no longer string into a process's environment
// (MAX_ARG_STRLEN), and docker reads no longer line (bufio.MaxScanTokenSize).
const (
	maxEnvironString = 128<<10 - 1
	maxDockerLine    = 64<<10 - 1
)

// dialectOf reads the argument format.
func dialectOf(args spec.Values) (dialect, error) {
	name, err := args.String("format")
	if err != nil {
		return dialect{}, err
	}
	switch name {
	case "", formatSystemd:
		return systemd(), nil
	case formatDotenv:
		return dotenv(), nil
	case formatDocker:
		return docker(), nil
	case formatShell:
		return shell(), nil
	}
	return dialect{}, fmt.Errorf("reading format: %q is none of %s", name, strings.Join(formats(), ", "))
}

// write checks a variable and quotes its value.
func (d dialect) write(name, value string) (string, error) {
	out, err := d.tryWrite(name, value)
	if err != nil {
		return "", fmt.Errorf("writing variable %s: the value %w", name, err)
	}
	return out, nil
}

func (d dialect) tryWrite(name, value string) (string, error) {
	switch {
	case strings.ContainsRune(value, 0):
		return "", errors.New("contains a zero byte, which no environment can hold")
	case !utf8.ValidString(value):
		return "", errors.New("is not valid UTF-8; encode it, for example with base64encode()")
	}
	out, err := d.quote(value)
	if err == nil && d.size > 0 && len(name)+1+len(value) > d.size {
		err = fmt.Errorf("is %d bytes long, more than the format %s can hold", len(value), d.format)
	}
	return out, err
}

// checkName refuses names that are no variable's.
func (d dialect) checkName(name string) error {
	if !ValidName(name) {
		return fmt.Errorf("variable name %q: a name has letters, digits and underscores, and no digit first", name)
	}
	if slices.Contains(d.reserved, name) {
		return fmt.Errorf("variable name %q: a shell sets this one by itself and would not take it; choose another name", name)
	}
	return nil
}

// ValidName reports whether a text is the name of an environment variable that every
// shell can read (POSIX, Base Definitions 8.1 and 3.216).
func ValidName(name string) bool {
	for i, c := range []byte(name) {
		if !isLetter(c) && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

func isLetter(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// plain reports whether a value means itself to every reader without quotes.
func plain(value string) bool {
	for _, c := range []byte(value) {
		if !isLetter(c) && (c < '0' || c > '9') && !strings.ContainsRune("./:@%+,=-", rune(c)) {
			return false
		}
	}
	return value != ""
}
