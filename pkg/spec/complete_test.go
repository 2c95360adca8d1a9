package spec

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"
)

// sinkContent evaluates the content of a sink.
func sinkContent(t *testing.T, c *Config, a Address) (string, bool) {
	t.Helper()
	args, err := c.SinkArgs(a, world(t))
	if err != nil {
		t.Fatal(err)
	}
	v := args.Cty("content")
	u, _ := v.UnmarkDeep()
	if u.IsNull() || !u.IsKnown() {
		t.Fatalf("content of %s: %#v", a, u)
	}
	return u.AsString(), IsSensitive(v)
}

const languageTail = `
secret "vault_kv" "kv" {
  mount = "kv"
  path  = "x"
}
vault "main" {
  address = "https://vault.example"
  dynamic "auth" {
    for_each = { approle = "role-1" }
    iterator = way
    labels   = [way.key]
    content {
      role_id   = way.value
      secret_id = secret.file.pw.value
    }
  }
}
secret "file" "pw" { path = "pw" }
`

// Variables have Terraform's types, with optional attributes and their defaults,
// nullable or not, and rules that may speak of other variables.
func TestVariableTypes(t *testing.T) {
	text := `
variable "people" {
  type = map(object({
    email = string
    tags  = optional(list(string), ["none"])
    limit = optional(number)
  }))
  default = { alice = { email = "a@x" } }
  validation {
    condition     = length(var.people) <= var.most
    error_message = "At most ${var.most} people, not ${length(var.people)}."
  }
}
variable "most" {
  type     = number
  default  = 2
  nullable = false
}
variable "pair" {
  type    = tuple([string, bool])
  default = ["x", true]
}
variable "anything" { default = { a = [1, "two"] } }
variable "names" {
  type    = set(string)
  default = ["b", "a", "b"]
}
sink "file" "all" {
  path    = "out"
  content = jsonencode([var.people, var.most, var.pair, var.anything, var.names])
}
`
	c := mustLoad(t, text)
	got, sensitive := sinkContent(t, c, "sink.file.all")
	if want := `[{"alice":{"email":"a@x","limit":null,"tags":["none"]}},2,["x",true],{"a":[1,"two"]},["a","b"]]`; got != want || sensitive {
		t.Errorf("got %s (sensitive: %v)", got, sensitive)
	}
	for _, tt := range []struct{ give, summary, words string }{
		{`people={a={email="1"},b={email="2"},c={email="3"}}`, "Invalid value of variable", "At most 2 people, not 3."},
		{`people={a={}}`, "Invalid value of variable", "does not fit its type"},
		{`pair=["x"]`, "Invalid value of variable", "does not fit its type"},
		{`most=three`, "Invalid value of variable", "does not fit its type number"},
	} {
		o := testOptions()
		n, v, _ := strings.Cut(tt.give, "=")
		o.Vars = map[string]string{n: v}
		_, diags := LoadFiles("/etc/tokend", map[string][]byte{"main.hcl": []byte(text)}, o)
		oneMistake(t, diags, tt.summary, tt.words)
	}
	o := testOptions()
	o.VarFiles = []string{"/etc/tokend/v.tfvars"}
	c = mustLoadWith(t, map[string][]byte{"main.hcl": []byte(text), "/etc/tokend/v.tfvars": []byte("most = null\nnames = []\n")}, o)
	if got, _ := sinkContent(t, c, "sink.file.all"); !strings.Contains(got, `]}},2,[`) || !strings.HasSuffix(got, `,[]]`) {
		t.Errorf("null where it is not allowed, and an empty set: %s", got)
	}
}

// dynamic makes blocks, their labels, and blocks in blocks.
func TestDynamic(t *testing.T) {
	c := mustLoad(t, languageTail+`
variable "keys" { default = { main = "tokend" } }
tokend {
  dynamic "state" {
    for_each = var.keys
    content {
      path = "state-${state.key}"
      dynamic "transit" {
        for_each = [state.value]
        content {
          vault = vault.main
          key   = transit.value
        }
      }
    }
  }
  dynamic "guard" {
    for_each = []
    content {
      max_revocations = 99
    }
  }
}
credential "apirone" "each" {
  for_each = { alice = "1s", bob = "2s" }
  grant    = "login"
  login    = each.key
  password = secret.file.pw.value
  dynamic "lifecycle" {
    for_each = [each.value]
    iterator = wait
    content {
      overlap = wait.value
    }
  }
}
`)
	s := c.Settings()
	if s.State.Path != "/etc/tokend/state-main" || s.State.Transit == nil || s.State.Transit.Key != "tokend" || s.State.Transit.Vault != "vault.main" || s.Guard.MaxRevocations != 10 {
		t.Errorf("settings: %+v", s)
	}
	v, err := c.Vault("vault.main", world(t))
	if err != nil {
		t.Fatal(err)
	}
	auth, _ := v.Args.Nested("auth")
	if role, _ := auth.String("role_id"); v.Kind != "approle" || role != "role-1" {
		t.Errorf("auth %s of %q", v.Kind, role)
	}
	for key, want := range map[string]string{"alice": "1s", "bob": "2s"} {
		cr, err := c.Credential(Address(`credential.apirone.each["` + key + `"]`))
		if err != nil || cr.Lifecycle.Overlap.String() != want {
			t.Errorf("%s: %v, %v", key, cr, err)
		}
	}
}

// What a sensitive value takes part in stays sensitive, whatever try and can
// make of it; and what is shown cannot come from it.
func TestMarksInAConfiguration(t *testing.T) {
	c := mustLoad(t, languageTail+`
locals {
  tried  = try(secret.vault_kv.kv.value["nobody"], "fallback")
  asked  = can(secret.vault_kv.kv.value["nobody"])
  claims = try(jwt_claims(secret.file.pw.value).sub, "none")
}
sink "file" "tried" {
  path    = "tried"
  content = local.tried
}
sink "file" "asked" {
  path    = "asked"
  content = local.asked ? "yes" : "no"
}
sink "file" "claims" {
  path    = "claims"
  content = "sub=${local.claims}"
}
sink "file" "open" {
  path    = "open"
  content = nonsensitive(local.tried)
}
`)
	for a, want := range map[Address]string{"sink.file.tried": "fallback", "sink.file.asked": "no", "sink.file.claims": "sub=none"} {
		if got, sensitive := sinkContent(t, c, a); got != want || !sensitive {
			t.Errorf("%s is %q (sensitive: %v)", a, got, sensitive)
		}
	}
	if got, sensitive := sinkContent(t, c, "sink.file.open"); got != "fallback" || sensitive {
		t.Errorf("nonsensitive gives %q (sensitive: %v)", got, sensitive)
	}
	for _, path := range []string{`try(secret.file.pw.value, "x")`, `can(secret.file.pw.value) ? "a" : "b"`, `"${try(secret.vault_kv.kv.value.a, "b")}"`, `length(secret.file.pw.value) > 3 ? "a" : "b"`} {
		_, diags := LoadFiles("/etc/tokend", map[string][]byte{"main.hcl": []byte(languageTail + "sink \"file\" \"x\" {\n  path = " + path + "\n  content = \"x\"\n}\n")}, testOptions())
		oneMistake(t, diags, "Sensitive value where it is shown", "path is shown")
	}
}

// Another credential's token is an input like a secret: allowed where one must
// be given, used at the next request when it changes, waited for.
func TestTokenAsInput(t *testing.T) {
	c := mustLoad(t, `
secret "file" "pw" { path = "pw" }
credential "apirone" "first" {
  grant    = "login"
  login    = "first"
  password = secret.file.pw.value
}
credential "apirone" "second" {
  for_each = toset(["x"])
  grant    = "login"
  login    = credential.apirone.first.login
  password = credential.apirone.first.access_token
}
`)
	const second = Address(`credential.apirone.second["x"]`)
	cr, err := c.Credential(second)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Address{"credential.apirone.first"}, cr.Uses); diff != "" {
		t.Errorf("uses (-want +got):\n%s", diff)
	}
	for _, in := range cr.Inputs {
		if in.Given && (in.OnChange != OnChangeNextUse || !in.Deferred) {
			t.Errorf("%s: %+v", in.Name, in)
		}
	}
	in, err := c.Inputs(second, nil, world(t))
	if err != nil {
		t.Fatal(err)
	}
	if pw, err := in.Secret("password"); err != nil || pw.Reveal() != "token of credential.apirone.first" {
		t.Errorf("password: %v", err)
	}
	unknown, err := c.Inputs(second, nil, Scope{})
	if err != nil || unknown.Cty("password").IsKnown() || !IsSensitive(unknown.Cty("password")) {
		t.Errorf("without a token: %v", err)
	}
}

// Files that functions read are watched, and so are the directories that a set
// of files is looked for in.
func TestReadsAreWatched(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.hcl": `
locals {
  users = [for f in fileset("users", "*.user") : trimsuffix(f, ".user")]
  motd  = file("motd")
  there = fileexists("maybe")
}
secret "file" "pw" { path = "pw" }
sink "file" "each" {
  for_each = toset(local.users)
  path     = "out/${each.key}"
  content  = templatefile("t.tmpl", { name = each.key, host = host.name, motd = local.motd, pw = secret.file.pw.value })
}
`,
		"t.tmpl": "${name}@${host}: ${motd}, ${pw}", "motd": "hello", "users/alice.user": "", "users/bob.user": "", "users/other": "",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, diags := Load(dir, testOptions())
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if got, sensitive := sinkContent(t, c, `sink.file.each["bob"]`); got != "bob@testhost: hello, value of secret.file.pw" || !sensitive {
		t.Errorf("content %q (sensitive: %v)", got, sensitive)
	}
	if n := len(c.Sinks()); n != 2 {
		t.Errorf("%d sinks", n)
	}
	for _, want := range []string{"t.tmpl", "motd", "users", "maybe"} {
		if !slices.Contains(c.Reads(), filepath.Join(dir, want)) {
			t.Errorf("%s is not watched: %v", want, c.Reads())
		}
	}
}

// No function gives another value each time, or knows where it runs.
func TestNoImpureFunctions(t *testing.T) {
	fns := functions(newFiles("/etc/tokend", nil))
	for _, n := range []string{"timestamp", "plantimestamp", "uuid", "bcrypt", "pathexpand", "env", "getenv"} {
		if _, ok := fns[n]; ok {
			t.Errorf("there is a function %s", n)
		}
	}
	for _, d := range Functions() {
		if d.Doc == "" || !strings.HasPrefix(d.Usage, d.Name+"(") || d.Group == "" {
			t.Errorf("%s is not described: %+v", d.Name, d)
		}
	}
	for n, want := range map[string]cty.Value{"sha256": cty.StringVal("x"), "jsonencode": cty.StringVal("x"), "yamlencode": cty.StringVal("x"), "base64gzip": cty.StringVal("x"), "keys": cty.MapVal(map[string]cty.Value{"b": cty.True, "a": cty.True})} {
		one, err1 := fns[n].Call([]cty.Value{want})
		two, err2 := fns[n].Call([]cty.Value{want})
		if err1 != nil || err2 != nil || !one.RawEquals(two) {
			t.Errorf("%s twice: %#v and %#v (%v, %v)", n, one, two, err1, err2)
		}
	}
}

// required_version takes Terraform's comparisons.
func TestRequiredVersion(t *testing.T) {
	for constraint, fits := range map[string]bool{
		">= 0.1": true, ">= 0.1, < 2": true, "0.3.0": true, "= 0.3": true, "!= 0.3.0": false, "> 0.3": false, "<= 0.3": true, "< 0.3": false,
		"~> 0.3": true, "~> 0.2": true, "~> 0.2.0": false, "~> 0.3.0": true,
	} {
		_, diags := LoadFiles("/etc/tokend", map[string][]byte{"main.hcl": []byte("tokend {\n  required_version = \"" + constraint + "\"\n}\n")}, testOptions())
		if fits == diags.HasErrors() {
			t.Errorf("%q for 0.3.0: %v", constraint, diags)
		}
	}
}
