package spec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"
)

// templateOptions has a kind of sink whose template belongs to the configuration.
func templateOptions() Options {
	o := testOptions()
	env := o.Sinks["env"]
	env.Attrs = append(slices.Clone(env.Attrs), Attr{Name: "template", Type: cty.String, Content: true})
	o.Sinks["env"] = env
	return o
}

func contentOf(t *testing.T, c *Config, a Address) (string, error) {
	t.Helper()
	args, err := c.SinkArgs(a, Scope{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Sink(a)
	if err != nil {
		t.Fatal(err)
	}
	b, err := args.Content("template")
	static, again := s.Static.Content("template")
	if string(b) != string(static) || (err == nil) != (again == nil) {
		t.Errorf("%s: %q (%v) with all arguments, %q (%v) without tokens", a, b, err, static, again)
	}
	return string(b), err
}

const templateSinks = `
sink "env" "a" {
  path     = "a"
  template = "a.tmpl"
}
sink "env" "each" {
  for_each = toset(["x", "y"])
  path     = each.key
  template = "${path.config}/${each.key}.tmpl"
}
sink "env" "none" {
  path = "none"
  vars = { A = "b" }
}
`

// TestContentBelongsToTheConfiguration: what a named file holds is that of the
// moment when the directory was read, byte for byte, and is given back by what
// was read when the file is gone.
func TestContentBelongsToTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "main.hcl", templateSinks)
	verbatim := "e\u0301 \xff\r\n" // neither normalized nor refused
	for name, text := range map[string]string{"a.tmpl": verbatim, "x.tmpl": "x", "y.tmpl": "y"} {
		write(t, dir, name, text)
	}
	before := loadDir(t, dir, templateOptions())
	for name := range map[string]bool{"a.tmpl": true, "x.tmpl": true, "y.tmpl": true} {
		path := filepath.Join(dir, name)
		if !slices.Contains(before.Reads(), path) {
			t.Errorf("%s is not watched", name)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	kept, diags := LoadFiles(dir, before.Sources(), templateOptions())
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for name, c := range map[string]*Config{"in force": before, "read back": kept} {
		got := map[Address]string{}
		for _, a := range c.Sinks() {
			if b, err := contentOf(t, c, a); err == nil {
				got[a] = b
			}
		}
		if diff := cmp.Diff(map[Address]string{"sink.env.a": verbatim, `sink.env.each["x"]`: "x", `sink.env.each["y"]`: "y"}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if changed, gone := kept.Changed(before); len(changed)+len(gone) > 0 || !kept.SameSources(before) {
		t.Errorf("read back it is another configuration: %v changed, %v gone", changed, gone)
	}
}

// TestContentIsFollowed: a changed file is a change of the sinks that name it,
// and so is one that comes, whose absence is no mistake.
func TestContentIsFollowed(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "main.hcl", templateSinks)
	write(t, dir, "x.tmpl", "x")
	write(t, dir, "y.tmpl", "y")
	o := templateOptions()
	steps := []struct {
		name, text string
		want       []Address
	}{
		{"a.tmpl", "a", []Address{"sink.env.a"}},
		{"x.tmpl", "x2", []Address{`sink.env.each["x"]`}},
		{"a.tmpl", "a2", []Address{"sink.env.a"}},
	}
	was := loadDir(t, dir, o)
	_, err := contentOf(t, was, "sink.env.a")
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "a.tmpl")+": no such file") {
		t.Errorf("a missing file: %v", err)
	}
	for i, s := range steps {
		if !slices.Contains(was.Reads(), filepath.Join(dir, s.name)) {
			t.Fatalf("step %d: %s is not watched", i, s.name)
		}
		write(t, dir, s.name, s.text)
		o.Previous = was
		c := loadDir(t, dir, o)
		if c.SameSources(was) {
			t.Errorf("step %d: the same was read", i)
		}
		changed, gone := c.Changed(was)
		if diff := cmp.Diff(s.want, changed); diff != "" || len(gone) > 0 {
			t.Errorf("step %d changed (-want +got), %v gone:\n%s", i, gone, diff)
		}
		for _, a := range s.want {
			if got, err := contentOf(t, c, a); got != s.text {
				t.Errorf("step %d: %s has %q (%v), want %q", i, a, got, err, s.text)
			}
		}
		was = c
	}
}

// TestContentIsReadOnce: however many sinks name a file, and by the same rules as
// for a function's.
func TestContentIsReadOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "main.hcl", `
sink "env" "many" {
  for_each = toset([for i in range(1000) : tostring(i)])
  path     = each.key
  template = "many.tmpl"
}
`)
	write(t, dir, "many.tmpl", "text")
	var asked atomic.Int32
	o := templateOptions()
	o.CheckRead = func(string) error { asked.Add(1); return nil }
	c := loadDir(t, dir, o)
	// With a block that comes later and reads another file, all is loaded again: a
	// sink elsewhere may be written over it.
	write(t, dir, "more.hcl", "sink \"env\" \"more\" {\n  path     = \"more\"\n  template = \"more.tmpl\"\n}\n")
	write(t, dir, "more.tmpl", "more")
	o.Previous = c
	next := loadDir(t, dir, o)
	for i := range 1000 {
		a := Address(fmt.Sprintf(`sink.env.many["%d"]`, i))
		if got, err := contentOf(t, next, a); got != "text" {
			t.Fatalf("%s has %q (%v)", a, got, err)
		}
		next.Digest(a)
	}
	if got, err := contentOf(t, next, "sink.env.more"); got != "more" || !slices.Contains(next.Reads(), filepath.Join(dir, "more.tmpl")) {
		t.Errorf("a sink that came later has %q (%v)", got, err)
	}
	if n := asked.Load(); n > 2*2 {
		t.Errorf("two files were read %d times by two loads", n)
	}
	forbidden := errors.New("the policy forbids it")
	o.Previous, o.CheckRead = nil, func(string) error { return forbidden }
	if _, err := contentOf(t, loadDir(t, dir, o), "sink.env.more"); !errors.Is(err, forbidden) {
		t.Errorf("a file that may not be read: %v", err)
	}
}

func TestContentOfAReplacedArgument(t *testing.T) {
	v := NewValues(map[string]cty.Value{"template": cty.StringVal("a")}).WithContent("template", []byte("text"), nil)
	if b, err := v.With("owner", cty.StringVal("b")).Content("template"); string(b) != "text" {
		t.Errorf("beside another argument: %q (%v)", b, err)
	}
	if b, err := v.With("template", cty.StringVal("b")).Content("template"); err == nil {
		t.Errorf("the content of another file: %q", b)
	}
}
