package envsink_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"
	"pgregory.net/rapid"

	"tokend/pkg/sinks"
	"tokend/pkg/sinks/envsink"
	"tokend/pkg/spec"
)

// envArgs are the arguments of a sink with some variables.
func envArgs(path, format string, vars map[string]string) spec.Values {
	m := map[string]cty.Value{}
	for k, v := range vars {
		m[k] = spec.Sensitive(cty.StringVal(v))
	}
	return spec.NewValues(map[string]cty.Value{
		"path":   cty.StringVal(path),
		"format": cty.StringVal(format),
		"vars":   cty.ObjectVal(m),
	})
}

// deliver writes the variables and returns the file's content.
func deliver(t fataler, s *envsink.Sink, args spec.Values) (string, error) {
	d, err := s.Render(args)
	if err != nil {
		return "", err
	}
	if _, err := s.Write(t.Context(), d, nil); err != nil {
		t.Fatalf("Write: %v", err)
	}
	path, err := args.String("path")
	if err != nil {
		t.Fatalf("%v", err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return string(b), nil
}

// nasty draws values of everything that some reader gives a meaning.
func nasty() *rapid.Generator[string] {
	piece := rapid.SampledFrom([]string{
		"'", `"`, "`", `\`, "$", "#", ";", "!", "%", "&", "|", "~", "*", "?", "(", ")", "{", "}", "<", ">", "=", " ", "\t", "\n", "\r", "\r\n",
		`\n`, `\r`, `\t`, `\\`, `\'`, `\"`, "${HOME}", "$(id)", "$HOME", "`id`", "\nX=1\n", " #", "export ", "-n", "é", "日本", "\u00a0", "\u2028", "\ufeff", "\x01", "\x7f", "\x1b",
		"a", "b", "Z9", "/+==", "eyJhbGciOi.J9",
	})
	any := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(piece, 1, 8).Draw(t, "pieces"), "")
	})
	text := rapid.StringN(1, 12, -1).Filter(func(s string) bool { return !strings.ContainsRune(s, 0) })
	return rapid.OneOf(any, any, text)
}

// normalized is how cty has the text: in Unicode's normal form C.
func normalized(s string) string { return cty.StringVal(s).AsString() }

func drawVars(t *rapid.T) map[string]string {
	vars := map[string]string{}
	for i, v := range rapid.SliceOfN(nasty(), 1, 12).Draw(t, "values") {
		vars[fmt.Sprintf("V%d", i)] = normalized(v)
	}
	return vars
}

// TestReadersGetValuesBack writes files of arbitrary values, less those that are
// refused, and reads them with the models of the readers. A value that is
// refused must be one that cannot be written.
func TestReadersGetValuesBack(t *testing.T) {
	refusable := map[string]func(string) bool{
		"systemd": func(v string) bool { return !systemdAccepts("K", v) },
		"docker":  func(v string) bool { return strings.ContainsAny(v, "\r\n") },
		"dotenv":  func(v string) bool { return !dotenvCanHold(v) },
		"shell":   func(string) bool { return false },
	}
	for format, read := range readers(t) {
		t.Run(format, func(t *testing.T) {
			s, path := newSink(t), filepath.Join(memoryDir(t), "x.env")
			rapid.Check(t, func(t *rapid.T) {
				vars := drawVars(t)
				for k, v := range maps.Clone(vars) {
					if _, err := s.Render(envArgs(path, format, map[string]string{k: v})); err == nil {
						continue
					} else if !refusable[format](v) {
						t.Fatalf("%q is refused: %v", v, err)
					}
					delete(vars, k)
				}
				if len(vars) == 0 {
					t.Skip("all values were refused")
				}
				content, err := deliver(t, s, envArgs(path, format, vars))
				if err != nil {
					t.Fatalf("Render: %v", err)
				}
				if format == "shell" {
					return // its reader is no model: TestRealShells
				}
				if diff := cmp.Diff(vars, read(content)); diff != "" {
					t.Fatalf("the reader gets other values (-written +read):\n%s\nfile: %q", diff, content)
				}
			})
		})
	}
}

// dotenvCanHold tries all ways to write a value, with lines behind it that an
// unclosed quote would run into. A value between quotes of which it has some
// itself, or one that begins with a quote, is left out: the reader takes a few
// of those, by accident. JavaScript ends lines at U+2028, which the model does
// not.
func dotenvCanHold(v string) bool {
	var candidates []string
	if v != "" && !strings.ContainsAny(v[:1], "'`\"") && !strings.ContainsAny(v, "\u2028\u2029") {
		candidates = append(candidates, v)
	}
	for _, quote := range []string{"'", "`", `"`} {
		if !strings.Contains(v, quote) {
			candidates = append(candidates, quote+v+quote)
		}
	}
	if !strings.Contains(v, `"`) {
		candidates = append(candidates, `"`+strings.ReplaceAll(v, "\r", `\r`)+`"`)
	}
	for _, c := range candidates {
		got := readDotenv("K=" + c + "\nL='#'\nM=\"#\"\nN=`#`\n")
		if cmp.Equal(got, map[string]string{"K": v, "L": "#", "M": "#", "N": "#"}) {
			return true
		}
	}
	return false
}

// TestRefusedValues says for each value that cannot be written which variable it
// is and why, and never shows it.
func TestRefusedValues(t *testing.T) {
	const canary = "canary-value"
	for _, c := range []struct{ format, value, want string }{
		{"systemd", canary + "\x00", "zero byte"},
		{"shell", canary + "\x00", "zero byte"},
		{"docker", canary + "\nX=1", "line break"},
		{"docker", canary + "\r", "line break"},
		{"docker", canary + strings.Repeat("x", 64<<10), "bytes long"},
		{"systemd", canary + strings.Repeat("x", 128<<10), "bytes long"},
		{"shell", canary + strings.Repeat("x", 128<<10), "bytes long"},
		{"systemd", canary + "\xff", "not valid UTF-8"},
		{"systemd", canary + "\ufdd0", "no character"},
		{"dotenv", canary + "'\"`\n", "dotenv cannot hold"},
		{"dotenv", canary + "\r\"", "dotenv cannot hold"},
		{"dotenv", "", "empty"},
		{"systemd", "", "empty"},
	} {
		t.Run(c.format+" "+c.want, func(t *testing.T) {
			_, err := newSink(t).Render(envArgs("/nowhere/x.env", c.format, map[string]string{"FINE": "x", "BROKEN": c.value}))
			if !errors.Is(err, sinks.ErrPermanent) {
				t.Fatalf("Render: %v, want ErrPermanent", err)
			}
			for _, want := range []string{"BROKEN", c.want, "/nowhere/x.env"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error %q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("the error shows the value: %.200s", err)
			}
		})
	}
}

// TestRefusedArguments has arguments that are wrong whatever the values are, so
// they are found while the values are unknown.
func TestRefusedArguments(t *testing.T) {
	one := cty.ObjectVal(map[string]cty.Value{"TOKEN": spec.Sensitive(cty.UnknownVal(cty.String))})
	named := func(name string) cty.Value {
		return cty.ObjectVal(map[string]cty.Value{name: spec.Sensitive(cty.UnknownVal(cty.String))})
	}
	path := cty.StringVal("/nowhere/x.env")
	for _, c := range []struct {
		want string
		args map[string]cty.Value
	}{
		{"must name a file", map[string]cty.Value{"vars": one}},
		{"must be absolute", map[string]cty.Value{"vars": one, "path": cty.StringVal("x.env")}},
		{`"toml" is none of systemd, dotenv, docker, shell`, map[string]cty.Value{"vars": one, "path": path, "format": cty.StringVal("toml")}},
		{"no variable to write", map[string]cty.Value{"path": path}},
		{"no variable to write", map[string]cty.Value{"path": path, "vars": cty.ObjectVal(map[string]cty.Value{"A": cty.NullVal(cty.String)})}},
		{"a map of strings is required", map[string]cty.Value{"path": path, "vars": cty.StringVal("x")}},
		{`variable "A": a string is required, not tuple`, map[string]cty.Value{"path": path, "vars": cty.ObjectVal(map[string]cty.Value{"A": cty.EmptyTupleVal})}},
		{`"MY-VAR"`, map[string]cty.Value{"path": path, "vars": named("MY-VAR")}},
		{`"1ST"`, map[string]cty.Value{"path": path, "vars": named("1ST")}},
		{`"A B"`, map[string]cty.Value{"path": path, "vars": named("A B")}},
		{`"X\nY"`, map[string]cty.Value{"path": path, "vars": named("X\nY")}},
		{`""`, map[string]cty.Value{"path": path, "vars": named("")}},
		{"a shell sets this one by itself", map[string]cty.Value{"path": path, "vars": named("UID"), "format": cty.StringVal("shell")}},
	} {
		t.Run(c.want, func(t *testing.T) {
			_, err := newSink(t).Render(spec.NewValues(c.args))
			if !errors.Is(err, sinks.ErrPermanent) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Render: %v, want %q as ErrPermanent", err, c.want)
			}
		})
	}
}

// TestNullAndNumbers leaves null variables out and writes numbers as they are.
func TestNullAndNumbers(t *testing.T) {
	s := newSink(t)
	args := spec.NewValues(map[string]cty.Value{
		"path": cty.StringVal(filepath.Join(t.TempDir(), "x.env")),
		"vars": cty.ObjectVal(map[string]cty.Value{
			"Z_TOKEN":    spec.Sensitive(cty.StringVal("t0k en")),
			"EXPIRY":     cty.NullVal(cty.String),
			"GENERATION": cty.NumberIntVal(7),
			"EMPTY":      cty.StringVal(""),
			"FLAG":       cty.True,
		}),
	})
	got, err := deliver(t, s, args)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("EMPTY=\"\"\nFLAG=true\nGENERATION=7\nZ_TOKEN=\"t0k en\"\n", got); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
}
