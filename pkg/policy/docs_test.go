package policy

import (
	"os"
	"strings"
	"testing"
)

// The documentation's policy is one, and says something of every block and
// argument that there is.
func TestDocumentation(t *testing.T) {
	b, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	_, rest, ok := strings.Cut(doc, "```hcl\n")
	example, after, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("there is no example")
	}
	p, diags := Parse("docs/policy.md", []byte(example), Options{Dir: "/etc/tokend"})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for typ, kinds := range language() {
		for kind, attrs := range kinds {
			var said []*rule
			for k, rules := range p.rules {
				if k == key(typ, kind) || kind == "*" && strings.HasPrefix(k, typ+"\x00") {
					said = append(said, rules...)
				}
			}
			if len(said) == 0 {
				t.Errorf("the example has no %s %q", typ, kind)
			}
			if !strings.Contains(after, typ) {
				t.Errorf("the table says nothing of %s", typ)
			}
			for attr := range attrs {
				shown := typ == "sink" && kind == "env"
				for _, r := range said {
					_, ok := r.where[attr]
					shown = shown || ok
				}
				if !shown || !strings.Contains(after, "`"+attr+"`") {
					t.Errorf("%s of %s %q is not shown, or not in the table", attr, typ, kind)
				}
			}
		}
	}
}
