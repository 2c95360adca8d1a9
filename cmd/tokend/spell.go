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

// told finds the commands in a text that ask a daemon or a state, read the
// configuration, or start the daemon.
var told = regexp.MustCompile(`(^|[^\w./-])tokend (action|apply|approve|exec|get|login|plan|refresh|retry|revoke|run|state|status|taint|validate)\b`)

// spell completes the commands in a text with the flags that lead to what was
// asked.
func (g *globals) spell(text string) string {
	return told.ReplaceAllStringFunc(text, func(found string) string {
		at := strings.LastIndex(found, "tokend ") + len("tokend ")
		flags := g.where()
		if found[at:] == "validate" {
			flags = g.whichConfig()
		}
		if flags == "" {
			return found
		}
		return found[:at] + flags + " " + found[at:]
	})
}

// where are the flags that say which daemon or state is meant, as they were
// given.
func (g *globals) where() string {
	var flags []string
	itself := g.asked && !g.served // works on the state without a daemon
	if g.controlSet && (!itself || g.configSet || g.state != "") {
		flags = append(flags, "--control "+shellWord(g.control))
	}
	if itself {
		if g.configSet {
			flags = append(flags, "--config "+shellWord(g.config))
		}
		if g.state != "" {
			flags = append(flags, "--state "+shellWord(g.state))
		}
		flags = append(flags, g.inputFlags()...)
	}
	return strings.Join(flags, " ")
}

// whichConfig are the flags of a command that reads the configuration by itself.
// Without --config it asks the daemon which checkout it follows.
func (g *globals) whichConfig() string {
	var flags []string
	switch {
	case g.configSet:
		flags = append(flags, "--config "+shellWord(g.config))
	case g.controlSet:
		flags = append(flags, "--control "+shellWord(g.control))
	}
	return strings.Join(append(flags, g.inputFlags()...), " ")
}

// inputFlags are those that a configuration needs to be complete. A value that
// was given by --var is left out: it may be what nobody shall read. Of a pipe of
// this command's own (a shell's <(…)) the name is nothing to the next one.
func (g *globals) inputFlags() []string {
	var flags []string
	for _, f := range g.varFiles {
		flags = append(flags, g.varFileFlag(f, f))
	}
	return flags
}

func (g *globals) varFileFlag(file, name string) string {
	if _, once := g.varContents[file]; once && (strings.HasPrefix(file, "/dev/fd/") || strings.HasPrefix(file, "/proc/")) {
		return "--var-file FILE"
	}
	return "--var-file " + shellWord(name)
}

// checkFlags are those by which `tokend validate` checks dir as this process reads it,
// wherever it is said. Of a value that was given by --var only the name is told: it may
// be what nobody shall read.
func (g *globals) checkFlags(dir string) string {
	flags := []string{"--config " + shellWord(dir)}
	if l := g.limit; l != nil && l.file != "" {
		flags = append(flags, "--policy "+shellWord(g.policyWatched()))
	}
	for _, f := range g.varFiles {
		flags = append(flags, g.varFileFlag(f, absolute([]string{f})[0]))
	}
	for _, v := range g.vars {
		name, _, _ := strings.Cut(v, "=")
		flags = append(flags, "--var "+shellWord(name)+"=VALUE")
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
