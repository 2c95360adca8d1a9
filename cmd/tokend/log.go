package main

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"tokend/pkg/secret"
)

// logger makes the log of a daemon or a one-off command: coloured text on a
// terminal, JSON otherwise. Messages are constants; what varies is in
// attributes, and those are cleaned of control characters, so that an API's
// error text cannot forge a line or drive a terminal.
func (g *globals) logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(g.logLevel)); err != nil {
		return nil, withHint(fmt.Errorf("reading --log-level %q", g.logLevel), "it is debug, info, warn or error")
	}
	text := false
	switch g.logFormat {
	case "auto":
		text = isTerminal(g.err)
	case "text":
		text = true
	case "json":
	default:
		return nil, withHint(fmt.Errorf("reading --log-format %q", g.logFormat), "it is auto, text or json")
	}
	if text {
		return slog.New(tint.NewTextHandler(g.err, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !isTerminal(g.err) || g.getenv("NO_COLOR") != "", ReplaceAttr: cleanAttr})), nil
	}
	g.logged = newLines(g.err)
	return slog.New(newCleanHandler(g.logged, level)), nil
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// cleanAttr prints secrets as what they are and control characters not at all.
func cleanAttr(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		if s := a.Value.String(); !plain(s) {
			return slog.String(a.Key, clean(s))
		}
	case slog.KindAny:
		switch v := a.Value.Any().(type) {
		case secret.Text:
			return slog.String(a.Key, secret.Redacted)
		case error:
			return slog.String(a.Key, clean(v.Error()))
		}
	}
	return a
}

// plain says whether a text has nothing but printable ASCII, as nearly all have.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// clean replaces control characters.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return '·'
		}
		return r
	}, s)
}
