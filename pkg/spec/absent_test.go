package spec

import (
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/secret"
)

// switched is a directory whose blocks are switched by one variable.
func switched(n, sink string) string {
	return `
variable "n" {
  type    = number
  default = ` + n + `
}
secret "env" "pw" {
  count = var.n
  name  = "PW"
}
credential "apirone" "n" {
  count    = var.n
  grant    = "login"
  login    = "apr-1"
  password = secret.env.pw[count.index].value
}
credential "apirone" "each" {
  for_each = toset(var.n > 0 ? ["a"] : [])
  grant    = "login"
  login    = "apr-2"
  password = secret.env.pw[0].value
}
locals {
  on = var.n > 0
}
sink "file" "s" {
` + sink + `
}
`
}

// A reference from a block that has no instances is none, and an instance that
// there is not may be tried, asked for and left out by a splat; where it is
// needed it is an error.
func TestReferencesToWhatIsSwitchedOff(t *testing.T) {
	const path = "  path = \"/run/x\"\n"
	content := func(e string) string { return path + "  content = " + e }
	for _, c := range []struct{ name, sink, on, off string }{
		{"a block that is off too", "  count = var.n\n" + content("credential.apirone.n[0].access_token"), "token", "-"},
		{"by its own index", "  count = var.n\n" + content("credential.apirone.n[count.index].access_token"), "token", "-"},
		{"in a template", "  count = var.n\n" + content(`"x ${credential.apirone.n[0].access_token}"`), "x token", "-"},
		{"an argument that is shown", "  count = var.n\n  path = \"/run/${length(credential.apirone.n[0].scopes)}\"\n  content = \"x\"", "ERROR", "-"},
		{"for_each of nothing", "  for_each = toset(local.on ? [\"a\"] : [])\n" + content("credential.apirone.each[each.key].access_token"), "token", "-"},
		{"a key in for_each of nothing", "  for_each = toset(local.on ? [\"a\"] : [])\n" + content(`credential.apirone.each["a"].access_token`), "token", "-"},
		{"try", content(`try(credential.apirone.n[0].access_token, "none")`), "token", "none"},
		{"try by key", content(`try(credential.apirone.each["a"].access_token, "none")`), "token", "none"},
		{"can", content(`can(credential.apirone.n[0].access_token) ? "yes" : "no"`), "yes", "no"},
		{"a condition", content(`local.on ? credential.apirone.n[0].access_token : "none"`), "token", "none"},
		{"a condition in a template", content(`"x ${var.n == 0 ? "none" : credential.apirone.n[0].access_token}"`), "x token", "x none"},
		{"a directive", content(`"x%{ if local.on } ${credential.apirone.n[0].access_token}%{ endif }"`), "x token", "x"},
		{"a splat", content(`join(",", concat(credential.apirone.n[*].access_token, ["end"]))`), "token,end", "end"},
		{"a for", content(`"x%{ for i in range(var.n) }${credential.apirone.n[i].access_token}%{ endfor }"`), "xtoken", "x"},
		{"one()", content(`coalesce(one(credential.apirone.n[*].access_token), "none")`), "token", "none"},
		{"plain", content("credential.apirone.n[0].access_token"), "token", "ERROR"},
		{"plain in a template", content(`"x ${credential.apirone.n[0].access_token}"`), "x token", "ERROR"},
		{"the side that is chosen", content(`local.on ? "none" : credential.apirone.n[0].access_token`), "none", "ERROR"},
		{"beyond the last", content("credential.apirone.n[1].access_token"), "ERROR", "ERROR"},
	} {
		for n, want := range map[string]string{"1": c.on, "0": c.off} {
			cfg, diags := LoadFiles("/config", map[string][]byte{"main.hcl": []byte(switched(n, c.sink))}, testOptions())
			if diags.HasErrors() || want == "ERROR" {
				if ok := want == "ERROR" && len(diags) == 1 && (diags[0].Summary == "No such instance" || diags[0].Summary == "Value is not known"); !ok {
					t.Errorf("%s, with %s: %v, want %q", c.name, n, diags, want)
				}
				continue
			}
			var sinks []string
			for _, a := range cfg.Sinks() {
				args, err := cfg.SinkArgs(a, Scope{
					Secret: func(Address) (cty.Value, error) { return cty.StringVal("pw"), nil },
					Credential: func(Address) (Attributes, error) {
						return Attributes{AccessToken: secret.New("token")}, nil
					},
				})
				if err != nil {
					t.Fatalf("%s, with %s: %v", c.name, n, err)
				}
				v, _ := args.Cty("content").UnmarkDeep()
				sinks = append(sinks, v.AsString())
			}
			if got := strings.Join(sinks, " "); got != want && (got != "" || want != "-") {
				t.Errorf("%s, with %s: %q, want %q", c.name, n, got, want)
			}
		}
	}
}
