package envsink

import (
	"errors"
	"strings"
)

// systemd is EnvironmentFile= as systemd's env-file.c reads it. Single quotes
// are no way out there: after an escaped one its parser stays outside of quotes,
// where quotes are literal. Between double quotes a backslash before one of
// shellSpecial goes, any other stays, and line breaks are as good as anything.
func systemd() dialect {
	return dialect{
		format:   formatSystemd,
		quote:    quoteSystemd,
		size:     maxEnvironString,
		comments: "#;",
		quotes:   `"'`,
		spaces:   true,
		bare: func(text string, quoted byte) error {
			if quoted == 0 && strings.Contains(text, `\`) {
				return errors.New("a backslash outside of quotes would be lost; quote the value")
			}
			return nil
		},
		comment: func(text string) error {
			if strings.HasSuffix(text, `\`) {
				return errors.New("a comment that ends in a backslash swallows the next line in systemd before 254; add a blank or a full stop")
			}
			return nil
		},
	}
}

// shellSpecial is what a backslash takes the meaning from between double quotes.
const shellSpecial = "\"\\`$"

func quoteSystemd(value string) (string, error) {
	if strings.ContainsFunc(value, noncharacter) {
		return "", errors.New("contains a code point that Unicode sets aside as no character, and systemd drops such a variable; encode it, for example with base64encode()")
	}
	if plain(value) {
		return value, nil
	}
	var out strings.Builder
	out.WriteByte('"')
	for _, c := range []byte(value) {
		if strings.IndexByte(shellSpecial, c) >= 0 {
			out.WriteByte('\\')
		}
		out.WriteByte(c)
	}
	out.WriteByte('"')
	return out.String(), nil
}

// noncharacter reports what systemd's unichar_is_valid refuses beside what is
// not UTF-8 anyway.
func noncharacter(r rune) bool { return r >= 0xFDD0 && r <= 0xFDEF || r&0xFFFE == 0xFFFE }

// shell is what a POSIX shell reads with ".".
func shell() dialect {
	return dialect{
		format:   formatShell,
		quote:    quoteShell,
		size:     maxEnvironString,
		comments: "#",
		quotes:   `"'`,
		export:   true,
		bare:     bareShell,
		reserved: []string{
			"BASHOPTS", "BASHPID", "BASH_VERSINFO", "DIRSTACK", "EPOCHREALTIME", "EPOCHSECONDS", "EUID", "FUNCNAME", "GROUPS", "HISTCMD",
			"LINENO", "OPTIND", "PPID", "RANDOM", "SECONDS", "SHELLOPTS", "SRANDOM", "UID", "_",
		},
	}
}

func quoteShell(value string) (string, error) {
	if plain(value) {
		return value, nil
	}
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'", nil
}

func bareShell(text string, quoted byte) error {
	switch {
	case quoted == '\'':
		return nil
	case strings.Contains(text, "`"), strings.Contains(text, "$"):
		return errors.New("the shell would expand a $ or ` here, and the sink keeps it as it is; use single quotes")
	case quoted == 0 && strings.ContainsAny(text, " \t'\"\\#;&|<>(){}*?[]~!"):
		return errors.New("the shell would give a meaning to a character here; quote the value")
	}
	return nil
}

// docker is `docker run --env-file`: everything behind the "=" is the value, and
// there is no way to write a line break. A carriage return at a line's end is
// dropped by its line reader, so none is allowed.
func docker() dialect {
	return dialect{
		format:   formatDocker,
		size:     maxDockerLine,
		comments: "#",
		quote: func(value string) (string, error) {
			if strings.ContainsAny(value, "\r\n") {
				return "", errors.New("contains a line break, which docker's env files cannot hold; encode it, for example with base64encode(), or use another format")
			}
			return value, nil
		},
	}
}

// dotenv is Node's dotenv: no escapes between quotes, except that \n and \r
// become line breaks between double ones, and three kinds of quotes.
func dotenv() dialect {
	return dialect{
		format:   formatDotenv,
		quote:    quoteDotenv,
		comments: "#",
		quotes:   "\"'`",
		export:   true,
		spaces:   true,
		bare: func(text string, quoted byte) error {
			switch {
			case quoted == 0 && strings.Contains(text, "#"):
				return errors.New("a # outside of quotes begins a comment; quote the value, or give the comment a line of its own")
			case quoted == 0 && text != strings.TrimFunc(text, jsSpace):
				return errors.New("an unusual blank at the value's end would be lost; quote the value")
			case quoted == '"' && strings.Contains(text, `\`):
				return errors.New("a backslash between double quotes is read in different ways; use single quotes")
			}
			return nil
		},
	}
}

func quoteDotenv(value string) (string, error) {
	if plain(value) {
		return value, nil
	}
	// A backslash before the closing quote would be taken for an escaped quote
	// by the reader's first attempt, which may then end in a later line.
	closes := !strings.HasSuffix(value, `\`)
	cr := strings.Contains(value, "\r") // raw ones are turned into line feeds
	switch {
	case closes && !cr && !strings.Contains(value, "'"):
		return "'" + value + "'", nil
	case closes && !strings.ContainsAny(value, `"`) && !strings.Contains(value, `\n`) && !strings.Contains(value, `\r`):
		return `"` + strings.ReplaceAll(value, "\r", `\r`) + `"`, nil
	case closes && !cr && !strings.Contains(value, "`"):
		return "`" + value + "`", nil
	case bareDotenv(value):
		return value, nil
	}
	return "", errors.New("has quotes, backslashes and line breaks in a mixture that dotenv cannot hold; encode it, for example with base64encode(), or use another format")
}

// bareDotenv reports whether the reader takes a value without quotes as it is.
func bareDotenv(value string) bool {
	return value != "" && value == strings.TrimFunc(value, jsSpace) &&
		!strings.ContainsAny(value, "#\r\n\u2028\u2029") && !strings.ContainsAny(value[:1], "\"'`")
}

// jsSpace is what JavaScript's trim takes away.
func jsSpace(r rune) bool {
	switch r {
	case '\t', '\n', '\v', '\f', '\r', ' ', 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF:
		return true
	}
	return r >= 0x2000 && r <= 0x200A
}
