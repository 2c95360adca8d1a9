package spec

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestForEachOfAJSONList: the short way through a list of names gives what the
// general way gives, and leaves to it whatever is not a list of strings.
func TestForEachOfAJSONList(t *testing.T) {
	load := func(list, forEach string) ([]Address, []string) {
		c, diags := LoadFiles(t.TempDir(), map[string][]byte{
			"main.hcl": []byte("locals { list = <<-END\n" + list + "\nEND\n}\nsink \"file\" \"x\" {\n  for_each = toset(" + forEach + ")\n  path = \"x/${each.key}\"\n  content = \"c\"\n}\n"),
		}, testOptions())
		var said []string
		for _, d := range diags {
			said = append(said, d.Summary)
		}
		if c == nil {
			return nil, said
		}
		return c.Sinks(), said
	}
	for name, list := range map[string]string{
		"names":            `["b", "a", "c"]`,
		"twice the same":   `["b", "a", "b"]`,
		"two forms of one": `["Cafe\u0301", "Caf\u00e9"]`,
		"none":             `[]`,
		"escapes":          `["a\"b", "a/b"]`,
		"a null":           `["a", null]`,
		"a number":         `["a", 1]`,
		"null":             `null`,
		"an object":        `{"a": "b"}`,
		"no JSON":          `["a"`,
		"two values":       `["a"] ["b"]`,
	} {
		t.Run(name, func(t *testing.T) {
			short, said := load(list, "jsondecode(local.list)")
			long, told := load(list, "[for x in jsondecode(local.list) : x]")
			if diff := cmp.Diff(long, short); diff != "" {
				t.Errorf("instances (-general +short):\n%s", diff)
			}
			if (len(said) > 0) != (len(told) > 0) {
				t.Errorf("the short way says %q, the general one %q", said, told)
			}
		})
	}
}

// Instances of a block that has none at the moment: nothing is declared, and
// nothing is wrong.
func TestInstancesOfNone(t *testing.T) {
	c := mustLoad(t, `
variable "names" {
  type    = set(string)
  default = []
}
secret "file" "pw" { path = "pw.txt" }
credential "apirone" "many" {
  for_each = var.names
  grant    = "login"
  login    = each.value
  password = secret.file.pw.value
}
sink "file" "many" {
  for_each = credential.apirone.many
  path     = "/run/tokend/${each.key}"
  content  = each.value.access_token
}
`)
	if credentials, sinks := c.Counts(); credentials != 0 || sinks != 0 {
		t.Errorf("%d credentials and %d sinks", credentials, sinks)
	}
}

// What each.value has is not known while there are no elements, which is no
// mistake.
func TestElementsOfNone(t *testing.T) {
	mustLoad(t, `
variable "tenants" { default = {} }
hook "exec" "x" { command = ["x"] }
sink "file" "each" {
  for_each = var.tenants
  path     = "/run/tokend/${each.value.dir}"
  mode     = each.value.mode
  content  = each.value.content
  notify   = [each.value.hook]
}
`)
}
