package envsink_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"
	"pgregory.net/rapid"

	"tokend/pkg/sinks"
	"tokend/pkg/spec"
)

// fataler is what a test and a rapid test have in common.
type fataler interface {
	Fatalf(format string, args ...any)
	Context() context.Context
}

func withTemplate(args spec.Values, text string) spec.Values {
	return args.With("template", cty.StringVal("/templates/t")).WithContent("template", []byte(text), nil)
}

func TestTemplate(t *testing.T) {
	vars := map[string]string{"token": `a"b c`, "user": "bob", "my-key": "k"}
	for _, c := range []struct{ name, format, template, want string }{
		{"keeps comments, order and empty lines", "systemd",
			"# first ${token}\n\n; second\nB=2\nA=${user}\n\n# last", "# first ${token}\n\n; second\nB=2\nA=bob\n\n# last\n"},
		{"puts several into one", "systemd", "URL=https://${user}:${token}@x/?a=b\n", `URL="https://bob:a\"b c@x/?a=b"` + "\n"},
		{"takes quotes off and puts them on", "systemd", "A=\"Bearer ${token}\"\nB='${user}'\n", "A=\"Bearer a\\\"b c\"\nB=bob\n"},
		{"reads escapes between double quotes", "systemd", `A="\"\\\$\${user}\n"` + "\n", `A="\"\\\$\${user}\\n"` + "\n"},
		{"reads none between single quotes", "systemd", `A='\"\\'` + "\n", `A="\\\"\\\\"` + "\n"},
		{"writes a literal one", "systemd", "A=$${user}$$${user}\n", `A="\${user}\$\${user}"` + "\n"},
		{"knows names with a dash", "systemd", "A=${my-key}\n", "A=k\n"},
		{"normalizes blanks", "systemd", "  A = ${user} \t\n", "A=bob\n"},
		{"has empty values", "systemd", "A=\nB=\"\"\n", "A=\"\"\nB=\"\"\n"},
		{"keeps a # in a value for systemd", "systemd", "A=a #b\n", "A=\"a #b\"\n"},
		{"drops carriage returns and a byte order mark", "systemd", "\ufeffA=${user}\r\nB=1\r\n", "A=bob\nB=1\n"},
		{"keeps export for a shell", "shell", "export A='it is ${token}'\nB=\"\\$x\"\n", "export A='it is a\"b c'\nB='$x'\n"},
		{"keeps export for dotenv", "dotenv", "export A = `${token}`\n", "export A='a\"b c'\n"},
		{"reads a double-quoted dotenv value", "dotenv", "A=\"it's\"\n", "A=\"it's\"\n"},
		{"gives docker what stands there", "docker", "A= \"${user}\" \n# c\nB='x'", "A= \"bob\" \n# c\nB='x'\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := withTemplate(envArgs(filepath.Join(t.TempDir(), "x.env"), c.format, vars), c.template)
			got, err := deliver(t, newSink(t), args)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("file (-want +got):\n%s", diff)
			}
		})
	}
}

// TestBrokenTemplates finds each mistake with its line while the values are
// still unknown, and shows nothing of a line but its variable.
func TestBrokenTemplates(t *testing.T) {
	for _, c := range []struct{ format, template, want string }{
		{"systemd", "A=1\nsecret-words", "line 2: neither KEY=value nor a comment"},
		{"systemd", "A=${nothing}secret-words", `line 1: vars has no "nothing", which A needs`},
		{"systemd", "A=${void}", "line 1: vars.void is null, and A needs it"},
		{"systemd", "A=secret-words${token", "A: a ${ is not closed"},
		{"systemd", "A=${secret-words x}", "A: between ${ and } stands no name"},
		{"systemd", "A=${}", "A: between ${ and } stands no name"},
		{"systemd", `A="secret-words`, "A: the quote is not closed"},
		{"systemd", `A="a" # secret-words`, "A: there is text behind the closing quote"},
		{"systemd", `A='a'\''b'`, "A: there is text behind the closing quote"},
		{"systemd", `A=secret-words\`, "A: a backslash outside of quotes"},
		{"systemd", `# secret-words\` + "\nA=1", "line 1: a comment that ends in a backslash"},
		{"systemd", "A=1\n# c\nA=2", "line 3: A is set in line 1 already"},
		{"systemd", "export A=1", "has no export"},
		{"systemd", "A-B=1", `"A-B"`},
		{"systemd", "A=a\rb", "carriage return"},
		{"systemd", "A=a\x00b", "zero byte"},
		{"systemd", "# only comments\n\n", "it sets no variable"},
		{"systemd", "", "it sets no variable"},
		{"shell", "A=$HOME", "A: the shell would expand"},
		{"shell", `A="secret-words$(id)"`, "A: the shell would expand"},
		{"shell", `A="secret-words` + "`id`\"", "A: the shell would expand"},
		{"shell", "A=secret-words # comment", "A: the shell would give a meaning"},
		{"shell", "A =1", "no blank before the ="},
		{"shell", "A= 1", "no blank after the ="},
		{"shell", "UID=1", "a shell sets this one by itself"},
		{"dotenv", "A=a#secret-words", "A: a # outside of quotes begins a comment"},
		{"dotenv", `A="a\nb"`, "A: a backslash between double quotes"},
		{"docker", "A =1", "no blank before the ="},
	} {
		t.Run(c.want, func(t *testing.T) {
			args := envArgs("/nowhere/x.env", c.format, nil).With("vars", cty.ObjectVal(map[string]cty.Value{
				"token": spec.Sensitive(cty.UnknownVal(cty.String)),
				"void":  cty.NullVal(cty.String),
			}))
			_, err := newSink(t).Render(withTemplate(args, c.template))
			if !errors.Is(err, sinks.ErrPermanent) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "reading template /") {
				t.Fatalf("Render: %v, want %q as ErrPermanent", err, c.want)
			}
			if strings.Contains(err.Error(), "secret-words") {
				t.Errorf("the error shows the line: %v", err)
			}
		})
	}
}

func TestAllMistakesOfATemplate(t *testing.T) {
	args := withTemplate(envArgs("/nowhere/x.env", "systemd", map[string]string{"a": "b"}), "one\ntwo\nA=1\nA=\"\n")
	_, err := newSink(t).Render(args)
	for _, want := range []string{"line 1:", "line 2:", "line 4:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Render: %v, want %q", err, want)
		}
	}
}

func TestTemplateFile(t *testing.T) {
	args := envArgs("/nowhere/x.env", "systemd", map[string]string{"a": "b"})
	missing := args.With("template", cty.StringVal("/templates/missing")).WithContent("template", nil, errors.New("reading /templates/missing: no such file"))
	if _, err := newSink(t).Render(missing); err == nil || errors.Is(err, sinks.ErrPermanent) || !strings.Contains(err.Error(), "/templates/missing: no such file") {
		t.Errorf("Render: %v, want an error that names the file and is not permanent: it may be coming", err)
	}
	// The sink opens no file of its own: what is in force is what was read.
	file := writeTemp(t, t.TempDir(), "A=1\n")
	if _, err := newSink(t).Render(args.With("template", cty.StringVal(file))); err == nil {
		t.Error("Render read a template that did not come with the arguments")
	}
	huge := withTemplate(args, "# "+strings.Repeat("x", 1<<20)+"\nA=1\n")
	if _, err := newSink(t).Render(huge); err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
		t.Errorf("Render with a huge template: %v", err)
	}
}

// TestTemplateValuesStayInside puts arbitrary values into quoted and bare places
// of a template: readers get exactly them, and no other variable.
func TestTemplateValuesStayInside(t *testing.T) {
	templates := map[string]string{
		"systemd": "# ${a}\nA=${a}\nB=\"b ${b}\"\nC='${a}${b}'\nD=end\n",
		"dotenv":  "# ${a}\nA=${a}\nB=\"b ${b}\"\nC=`${a}${b}`\nD=end\n",
		"docker":  "# ${a}\nA=${a}\nB=b ${b}\nC=${a}${b}\nD=end\n",
	}
	for format, text := range templates {
		t.Run(format, func(t *testing.T) {
			s, read := newSink(t), readers(t)[format]
			path := filepath.Join(memoryDir(t), "x.env")
			rapid.Check(t, func(t *rapid.T) {
				a, b := normalized(nasty().Draw(t, "a")), normalized(nasty().Draw(t, "b"))
				args := withTemplate(envArgs(path, format, map[string]string{"a": a, "b": b}), text)
				content, err := deliver(t, s, args)
				if errors.Is(err, sinks.ErrPermanent) {
					t.Skip("a value that this format cannot hold")
				}
				if err != nil {
					t.Fatalf("Render: %v", err)
				}
				want := map[string]string{"A": a, "B": "b " + b, "C": a + b, "D": "end"}
				if diff := cmp.Diff(want, read(content)); diff != "" {
					t.Fatalf("the reader gets other values (-written +read):\n%s\nfile: %q", diff, content)
				}
			})
		})
	}
}

// FuzzTemplate reads arbitrary templates: what is accepted for systemd means the
// same to systemd before and after, but for the values that were put in.
func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{"A=1\n", "# c\nA=${x}\n", "A=\"${x}\\\\\"\n", "A='a'\nB = \"b\\$\" \n;c\\d\n", "A=$${x}\n\n", "A=a\\\nb", "A=a'b\"\n", " A\t=\t'' \r\n"} {
		for _, format := range []string{"systemd", "dotenv", "docker", "shell"} {
			f.Add(format, seed)
		}
	}
	f.Fuzz(func(t *testing.T, format, text string) {
		path := filepath.Join(t.TempDir(), "x.env")
		args := withTemplate(envArgs(path, format, map[string]string{"x": "VALUE"}), text)
		content, err := deliver(t, newSink(t), args)
		if err != nil {
			return
		}
		if format == "" {
			format = "systemd"
		}
		read, ok := readers(t)[format]
		if !ok {
			t.Fatalf("format %q is accepted", format)
		}
		if format == "shell" || strings.Contains(text, "${") {
			return // no model reads the template itself
		}
		if diff := cmp.Diff(read(strings.TrimPrefix(text, "\ufeff")), read(content)); diff != "" {
			t.Errorf("the reader gets other values than from the template (-template +file):\n%s\ntemplate: %q\nfile: %q", diff, text, content)
		}
	})
}
