package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/spf13/cobra"
)

// explainUse lets a command and those below it say in full what is wrong with
// how they are called.
func explainUse(c *cobra.Command) {
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		if near := nearFlag(c, err); near != "" {
			return withHint(err, "did you mean --%s?", near)
		}
		if head, cause, ok := strings.Cut(err.Error(), " flag: "); ok {
			switch {
			case strings.HasPrefix(cause, "time: "):
				return withHint(fmt.Errorf("%s: it is no duration", head), "write a number with its unit, such as 30s, 5m or 1h30m")
			case strings.HasPrefix(cause, "strconv."):
				return withHint(fmt.Errorf("%s: it is not of the right kind", head), "`%s --help` says what it takes", c.CommandPath())
			}
		}
		return withHint(err, "`%s --help` lists the flags", c.CommandPath())
	})
	for _, sub := range c.Commands() {
		explainUse(sub)
	}
	if c.HasSubCommands() {
		if c.RunE == nil && c.Run == nil {
			c.SuggestionsMinimumDistance = 2
			c.Args = knownCommand
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		}
		return
	}
	check := c.Args
	if check == nil {
		return
	}
	c.Args = func(c *cobra.Command, args []string) error {
		switch err := check(c, args); {
		case err == nil:
			return nil
		case hintOf(err) != "": // the command knows better what was meant
			return err
		}
		return withHint(errors.New(wrongOperands(c, args)), "usage: %s", c.UseLine())
	}
}

// nearFlag is the flag that an unknown one was probably meant to be, "" when
// none is near.
func nearFlag(c *cobra.Command, err error) string {
	_, name, unknown := strings.Cut(err.Error(), "unknown flag: --")
	if !unknown {
		return ""
	}
	name, _, _ = strings.Cut(name, "=")
	best, least := "", 3
	for _, word := range strings.Fields(c.Flags().FlagUsages()) {
		if known, isFlag := strings.CutPrefix(word, "--"); isFlag && c.Flags().Lookup(known) != nil {
			if d := levenshtein.Distance(name, known, nil); d < least {
				best, least = known, d
			}
		}
	}
	return best
}

// knownCommand refuses what is left of a command line when no command has that
// name.
func knownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("%s has no command %q", c.CommandPath(), args[0])
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return withHint(err, "did you mean %s?", strings.Join(near, " or "))
	}
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return withHint(err, "there are: %s", strings.Join(names, ", "))
}

// wrongOperands says how many arguments a command takes, by its usage line.
func wrongOperands(c *cobra.Command, args []string) string {
	_, line, _ := strings.Cut(c.Use, " ")
	if _, after, found := strings.Cut(line, "-- "); found {
		line = after
	}
	takes := strings.Fields(line)
	required := 0
	for i, word := range takes {
		if !strings.HasPrefix(word, "[") {
			required++
		}
		takes[i] = strings.Trim(word, "[]")
	}
	switch {
	case len(takes) == 0:
		return fmt.Sprintf("%s takes no arguments, not %q", c.CommandPath(), args[0])
	case len(args) < required:
		return fmt.Sprintf("%s needs %s", c.CommandPath(), operands(takes[:required]))
	case required == 0:
		return fmt.Sprintf("%s takes at most %s, not %d arguments", c.CommandPath(), operands(takes), len(args))
	}
	return fmt.Sprintf("%s takes %s, not %d arguments", c.CommandPath(), operands(takes), len(args))
}

func operands(words []string) string {
	if len(words) == 1 {
		return "one " + words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// helpCommand is cobra's own, but for a command that there is not: that is a
// mistake, not a wish to read everything.
func helpCommand() *cobra.Command {
	return &cobra.Command{Use: "help [COMMAND…]", Short: "say what a command does",
		Long: "Says what a command does, as its --help.",
		RunE: func(c *cobra.Command, args []string) error {
			about, rest, err := c.Root().Find(args)
			if err != nil {
				return err
			}
			if err := knownCommand(about, rest); err != nil {
				return err
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		}}
}
