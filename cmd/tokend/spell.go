package main

import (
	"regexp"
	"strings"

	"tokend/pkg/reconcile"
)

// What mends something is told as a command to be typed as it stands. Whoever
// decides knows no sockets and directories, so those that were named on this
// command line are put into it here: `tokend retry a.b` asks nobody, or worse,
// another daemon, where that of --control was meant.

// asking finds the commands in a text that ask a daemon or a state.
var asking = regexp.MustCompile(`(^|[^\w./-])tokend (action|apply|approve|exec|get|login|plan|refresh|retry|revoke|state|status|taint)\b`)

// spell completes the commands in a text with the flags that lead to what was
// asked.
func (g *globals) spell(text string) string {
	if flags := g.where(); flags != "" {
		return asking.ReplaceAllString(text, "${1}tokend "+strings.ReplaceAll(flags, "$", "$$")+" ${2}")
	}
	return text
}

// where are the flags that say which daemon or state is meant, as they were
// given.
func (g *globals) where() string {
	var flags []string
	if g.controlSet {
		flags = append(flags, "--control "+shellWord(g.control))
	}
	here := g.asked && !g.served
	if g.configSet && here {
		flags = append(flags, "--config "+shellWord(g.config))
	}
	if g.state != "" && here {
		flags = append(flags, "--state "+shellWord(g.state))
	}
	return strings.Join(flags, " ")
}

// shellWord is a word as a person types it into a shell.
func shellWord(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+=:,@%~", r))
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// spellView completes the commands of a view.
func (g *globals) spellView(v *reconcile.View) {
	for _, lines := range [][]reconcile.Line{v.Credentials, v.Sinks, v.Hooks} {
		for i := range lines {
			lines[i].Mend = g.spell(lines[i].Mend)
		}
	}
}

// spellSteps completes those of a plan.
func (g *globals) spellSteps(steps []planStep) {
	for i := range steps {
		steps[i].Mend = g.spell(steps[i].Mend)
	}
}
