package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"tokend/pkg/providers/catalog"
)

// TestEveryCommandTeaches: each command has an example, each example is of a
// command that there is, and names flags and as many arguments as it has.
func TestEveryCommandTeaches(t *testing.T) {
	root := newRoot(&globals{catalog: catalog.FS})
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if !c.HasSubCommands() && c.Example == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
	for path, lines := range examplesOfUse() {
		if c, _, err := root.Find(strings.Fields(path)); err != nil || c.CommandPath() != "tokend "+path {
			t.Errorf("there are examples of %q, which is no command", path)
		}
		for _, line := range lines {
			if strings.HasPrefix(line, "tokend ") {
				checkExample(t, line)
			}
		}
	}
}

// shellWords splits a line as a shell does, comments left out.
var shellWords = regexp.MustCompile(`'[^']*'|[^\s']+`)

func checkExample(t *testing.T, line string) {
	t.Helper()
	line, _, _ = strings.Cut(line, " #")
	line, _, _ = strings.Cut(line, " >")
	args := shellWords.FindAllString(strings.TrimPrefix(line, "tokend "), -1)
	for i := range args {
		args[i] = strings.Trim(args[i], "'")
	}
	root := newRoot(&globals{catalog: catalog.FS})
	c, rest, err := root.Find(args)
	if err != nil {
		t.Errorf("%s: %v", line, err)
		return
	}
	if err := c.ParseFlags(rest); err != nil {
		t.Errorf("%s: %v", line, err)
		return
	}
	if c.Args != nil {
		if err := c.Args(c, c.Flags().Args()); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}
