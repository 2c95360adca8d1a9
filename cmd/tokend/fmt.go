package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"tokend/pkg/atomicfile"
	"tokend/pkg/spec"
)

const fmtHelp = `Rewrites the *.hcl files of the configuration in canonical style; comments stay.
Given files or directories, those instead. A file that does not parse is refused
and left alone, and so are files in JSON syntax. Mode, owner and links stay, and
each file is replaced whole.

Given -, it reads standard input and writes what it is in canonical style to standard
output, for editors and pipes: with --check nothing, with --diff what changes instead.

Exit status: 0; with --check 3 when something would change; 1 error.`

func fmtCommand(g *globals) *cobra.Command {
	var check, showDiff bool
	c := &cobra.Command{Use: "fmt [PATH… | -]", Short: "rewrite files in canonical style", Long: fmtHelp, RunE: func(c *cobra.Command, args []string) error {
		switch {
		case !slices.Contains(args, "-"):
			return g.format(args, check, showDiff)
		case len(args) > 1:
			return withHint(errors.New("formatting: - is standard input, and stands alone"), "name files, or - alone; a file of this name is ./-")
		}
		return g.formatInput(c.Context(), check, showDiff)
	}}
	c.Flags().BoolVar(&check, "check", false, "change nothing; say which files would change")
	c.Flags().BoolVar(&showDiff, "diff", false, "show what changes")
	return c
}

func (g *globals) format(paths []string, check, showDiff bool) error {
	if len(paths) == 0 {
		paths = []string{g.config}
	}
	files, err := hclFiles(paths)
	if err != nil {
		return err
	}
	changed, broken := 0, 0
	for _, file := range files {
		different, err := g.formatFile(file, check, showDiff)
		switch {
		case errors.Is(err, errBroken):
			broken++
		case err != nil:
			return err
		case different:
			changed++
		}
	}
	switch {
	case broken > 0:
		return withHint(fmt.Errorf("%s cannot be parsed and left alone", countOf(broken, "file")), "mend what is marked above")
	case check && changed > 0:
		return exit(exitPerson)
	}
	return nil
}

// errBroken: a file does not parse.
var errBroken = errors.New("it does not parse")

// hclFiles are the files that paths name, those of a directory in it directly.
func hclFiles(paths []string) ([]string, error) {
	var out []string
	for _, p := range paths {
		st, err := os.Stat(p)
		if err != nil {
			return nil, fmt.Errorf("formatting: %w", err)
		}
		if !st.IsDir() {
			out = append(out, p)
			continue
		}
		entries, err := os.ReadDir(p) // sorted
		if err != nil {
			return nil, fmt.Errorf("formatting: %w", err)
		}
		for _, e := range entries {
			if spec.IsConfigFile(e.Name()) && !e.IsDir() {
				out = append(out, filepath.Join(p, e.Name()))
			}
		}
	}
	return slices.DeleteFunc(out, func(p string) bool { return strings.HasSuffix(p, ".json") }), nil
}

func (g *globals) formatFile(file string, check, showDiff bool) (different bool, err error) {
	old, err := os.ReadFile(file)
	if err != nil {
		return false, fmt.Errorf("formatting: %w", err)
	}
	if abs, err := filepath.Abs(file); err == nil {
		if diags := spec.SyntaxMistakes(old, abs); diags.HasErrors() {
			g.printDiagnostics(diags)
			return false, errBroken
		}
	}
	formatted := canonical(old)
	if bytes.Equal(old, formatted) {
		return false, nil
	}
	fmt.Fprintln(g.out, file)
	if showDiff {
		fmt.Fprint(g.out, string(diff.Diff(file, old, file+" (formatted)", formatted)))
	}
	if check {
		return true, nil
	}
	return true, rewrite(file, formatted)
}

// inputName is what standard input is called where a file would be.
const inputName = "<stdin>"

// formatInput writes standard input to standard output, in canonical style.
func (g *globals) formatInput(ctx context.Context, check, showDiff bool) error {
	old, err := await(ctx, func() ([]byte, error) { return io.ReadAll(g.in) })
	if err != nil {
		return fmt.Errorf("formatting: reading standard input: %w", err)
	}
	if diags := spec.SyntaxMistakes(old, inputName); diags.HasErrors() {
		g.input = spec.WithoutMark(old)
		g.printDiagnostics(diags)
		return withHint(errors.New("standard input cannot be parsed"), "mend what is marked above")
	}
	formatted := canonical(old)
	switch {
	case showDiff:
		_, err = g.out.Write(diff.Diff(inputName, old, inputName+" (formatted)", formatted))
	case !check:
		_, err = g.out.Write(formatted)
	}
	if err != nil {
		return fmt.Errorf("formatting: writing standard output: %w", err)
	}
	if check && !bytes.Equal(old, formatted) {
		return exit(exitPerson)
	}
	return nil
}

// canonical is a file's text in canonical style. One pass of the formatter can
// leave something for the next one; what it gives is left as it is by another.
func canonical(src []byte) []byte {
	text := spec.WithoutMark(src)
	mark := src[:len(src)-len(text)]
	const passes = 5
	for range passes {
		next := hclwrite.Format(text)
		if bytes.Equal(next, text) {
			break
		}
		text = next
	}
	return append(bytes.Clone(mark), text...)
}

// rewrite replaces a file whole, and leaves its mode and owner as they are. A
// link is followed: the file that it names is rewritten, and the link stays.
func rewrite(file string, content []byte) error {
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return fmt.Errorf("formatting: %w", err)
	}
	st, err := os.Stat(real)
	if err != nil {
		return fmt.Errorf("formatting: %w", err)
	}
	a := atomicfile.Attr{Mode: st.Mode().Perm()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		a.Owner, a.Group = strconv.Itoa(int(sys.Uid)), strconv.Itoa(int(sys.Gid))
	}
	abs, err := filepath.Abs(real)
	if err != nil {
		return err
	}
	if err := atomicfile.WriteFile(abs, content, a); err != nil {
		return fmt.Errorf("formatting: %w", err)
	}
	return nil
}

// wordwrap breaks text into lines of a width, each but the first after an indent.
// A word that is longer stands for itself.
func wordwrap(text string, width int, indent string) string {
	var b strings.Builder
	line := 0
	for _, w := range strings.Fields(text) {
		if line > 0 && line+1+len(w) > width {
			b.WriteString("\n" + indent)
			line = 0
		} else if line > 0 {
			b.WriteString(" ")
			line++
		}
		b.WriteString(w)
		line += len(w)
	}
	return b.String()
}
