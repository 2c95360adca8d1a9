package spec

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/secret"
)

// world gives every secret and credential a value that says whose it is.
func world(t testing.TB) Scope {
	t.Helper()
	return Scope{
		Secret: func(a Address) (cty.Value, error) {
			if strings.Contains(string(a), "vault_kv") {
				return cty.ObjectVal(map[string]cty.Value{
					"alice": cty.StringVal("pw-alice"), "bob": cty.StringVal("pw-bob"), "n": cty.NumberIntVal(5),
				}), nil
			}
			return cty.StringVal("value of " + string(a)), nil
		},
		Credential: func(a Address) (Attributes, error) {
			return Attributes{
				AccessToken: secret.New("token of " + string(a)), Header: secret.New("Bearer x"), RefreshToken: secret.New("rt"),
				TokenType: "bearer", HeaderName: "Authorization", Scopes: []string{"a", "b"}, Generation: 3,
				ExpiresAt:  time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
				ObtainedAt: time.Date(2029, 1, 2, 3, 4, 5, 0, time.UTC),
				Outputs:    NewValues(map[string]cty.Value{"login": cty.StringVal("apr-out")}),
			}, nil
		},
	}
}

const evalPrelude = `
variable "plain" { default = "p" }
variable "key" {
  type      = string
  sensitive = true
}
variable "ports" {
  type    = list(number)
  default = [1, 2]
}
locals {
  users  = toset(["alice", "bob"])
  domain = "example.com"
  token  = credential.apirone.one.access_token
  deep   = { token = local.token, name = local.domain }
  limit  = 3
}
secret "vault_kv" "kv" {
  mount = "kv"
  path  = "x"
}
secret "file" "each" {
  for_each = local.users
  path     = "pw/${each.key}"
}
vault "main" {
  address = "https://vault.example"
  ca_file = "ca.pem"
  auth "approle" {
    role_id   = "role"
    secret_id = secret.file.each["alice"].value
  }
}
credential "apirone" "one" {
  grant                = "login"
  login                = "one"
  password             = secret.vault_kv.kv.value["alice"]
  expose_refresh_token = true
}
credential "apirone" "many" {
  for_each = local.users
  grant    = "login"
  login    = "${each.key}@${local.domain}"
  password = secret.file.each[each.key].value
}
credential "apirone" "counted" {
  count    = 2
  grant    = "login"
  login    = "n${count.index}"
  password = secret.vault_kv.kv.value["bob"]
}
`

// TestEvaluate evaluates one expression as a sink's content.
func TestEvaluate(t *testing.T) {
	tests := []struct {
		expr      string
		want      string
		sensitive bool
		uses      []Address
	}{
		{expr: `"plain"`, want: "plain"},
		{expr: `var.plain`, want: "p"},
		{expr: `var.key`, want: "k", sensitive: true},
		{expr: `"${var.plain}-${var.key}"`, want: "p-k", sensitive: true},
		{expr: `upper(var.plain)`, want: "P"},
		{expr: `"${var.ports[1]}"`, want: "2"},
		{expr: `join(",", [for p in var.ports : p * 10])`, want: "10,20"},
		{expr: `path.config`, want: "/etc/tokend"},
		{expr: `host.name`, want: "testhost"},
		{expr: `local.domain`, want: "example.com"},
		{expr: `local.token`, want: "token of credential.apirone.one", sensitive: true, uses: []Address{"credential.apirone.one"}},
		{expr: `local.deep.token`, want: "token of credential.apirone.one", sensitive: true, uses: []Address{"credential.apirone.one"}},
		{expr: `credential.apirone.one.access_token`, want: "token of credential.apirone.one", sensitive: true, uses: []Address{"credential.apirone.one"}},
		{expr: `credential.apirone.one.token_type`, want: "bearer", uses: []Address{"credential.apirone.one"}},
		{expr: `credential.apirone.one.expires_at`, want: "2030-01-02T03:04:05Z", uses: []Address{"credential.apirone.one"}},
		{expr: `"${credential.apirone.one.generation}"`, want: "3", uses: []Address{"credential.apirone.one"}},
		{expr: `join(" ", credential.apirone.one.scopes)`, want: "a b", uses: []Address{"credential.apirone.one"}},
		{expr: `credential.apirone.one.refresh_token`, want: "rt", sensitive: true, uses: []Address{"credential.apirone.one"}},
		{expr: `credential.apirone.one.login`, want: "apr-out", sensitive: true, uses: []Address{"credential.apirone.one"}},
		{expr: `credential.apirone.one.header`, want: "Bearer x", sensitive: true, uses: []Address{"credential.apirone.one"}},
		{expr: `credential.apirone.many["bob"].access_token`, want: `token of credential.apirone.many["bob"]`, sensitive: true, uses: []Address{`credential.apirone.many["bob"]`}},
		{expr: `credential.apirone.many[lower("BOB")].access_token`, want: `token of credential.apirone.many["bob"]`, sensitive: true, uses: []Address{`credential.apirone.many["bob"]`}},
		{expr: `credential.apirone.counted[1].access_token`, want: "token of credential.apirone.counted[1]", sensitive: true, uses: []Address{"credential.apirone.counted[1]"}},
		{expr: `join(",", credential.apirone.counted[*].access_token)`, want: "token of credential.apirone.counted[0],token of credential.apirone.counted[1]", sensitive: true,
			uses: []Address{"credential.apirone.counted[0]", "credential.apirone.counted[1]"}},
		{expr: `join(",", [for k, c in credential.apirone.many : "${k}=${c.access_token}"])`,
			want: `alice=token of credential.apirone.many["alice"],bob=token of credential.apirone.many["bob"]`, sensitive: true,
			uses: []Address{`credential.apirone.many["alice"]`, `credential.apirone.many["bob"]`}},
		{expr: `"${length(credential.apirone.many)}"`, want: "2", uses: []Address{`credential.apirone.many["alice"]`, `credential.apirone.many["bob"]`}},
		{expr: `secret.vault_kv.kv.value["bob"]`, want: "pw-bob", sensitive: true, uses: []Address{"secret.vault_kv.kv"}},
		{expr: `secret.vault_kv.kv.value.bob`, want: "pw-bob", sensitive: true, uses: []Address{"secret.vault_kv.kv"}},
		{expr: `try(secret.vault_kv.kv.value.nobody, "none")`, want: "none", sensitive: true, uses: []Address{"secret.vault_kv.kv"}},
		{expr: `can(secret.vault_kv.kv.value.nobody) ? "yes" : "no"`, want: "no", sensitive: true, uses: []Address{"secret.vault_kv.kv"}},
		{expr: `nonsensitive(secret.vault_kv.kv.value.bob)`, want: "pw-bob", uses: []Address{"secret.vault_kv.kv"}},
		{expr: `secret.file.each["alice"].value`, want: `value of secret.file.each["alice"]`, sensitive: true, uses: []Address{`secret.file.each["alice"]`}},
		{expr: `sensitive("x")`, want: "x", sensitive: true},
		{expr: `false ? secret.vault_kv.kv.value.bob : "b"`, want: "b", sensitive: true, uses: []Address{"secret.vault_kv.kv"}},
		{expr: "<<EOT\nhello ${var.plain}\nEOT\n", want: "hello p\n"},
		{expr: `"%{ if var.plain == "p" }yes%{ else }no%{ endif }"`, want: "yes"},
	}
	o := testOptions()
	o.Vars = map[string]string{"key": "k"}
	for _, tt := range tests {
		t.Run(tt.expr, func(t *testing.T) {
			text := evalPrelude + "sink \"file\" \"out\" {\n  path = \"x\"\n  content = " + tt.expr + "\n}\n"
			c := mustLoadWith(t, map[string][]byte{"main.hcl": []byte(text)}, o)
			args, err := c.SinkArgs("sink.file.out", world(t))
			if err != nil {
				t.Fatal(err)
			}
			got, err := args.Secret("content")
			if err != nil || got.Reveal() != tt.want {
				t.Errorf("content = %q, %v; want %q", got.Reveal(), err, tt.want)
			}
			v := args.Cty("content")
			if IsSensitive(v) != tt.sensitive {
				t.Errorf("sensitive = %v, want %v", IsSensitive(v), tt.sensitive)
			}
			if hasMark(v, sourcedMark{}) {
				t.Error("a mark of this package left it")
			}
			s, err := c.Sink("sink.file.out")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.uses, s.Uses); diff != "" {
				t.Errorf("Uses (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInstances(t *testing.T) {
	o := testOptions()
	o.Vars = map[string]string{"key": "k"}
	c := mustLoadWith(t, map[string][]byte{"main.hcl": []byte(evalPrelude + `
sink "file" "of" {
  for_each = credential.apirone.many
  path     = "of/${each.key}"
  content  = "${each.value.token_type} ${each.value.access_token}"
}
sink "file" "filtered" {
  for_each = { for k, c in credential.apirone.many : k => c if k != "bob" }
  path     = "filtered/${each.key}"
  content  = each.value.access_token
}
sink "file" "items" {
  for_each = {
    a = { name = "A", token = credential.apirone.one.access_token }
    b = { name = "B", token = secret.file.each["bob"].value }
  }
  path    = "items/${each.key}"
  content = "${each.value.name}: ${each.value.token}"
}
sink "file" "static" {
  for_each = { "we/ird \"key\"" = "v", plain = "w" }
  path     = "static/${md5(each.key)}"
  content  = each.value
}
sink "file" "empty" {
  for_each = {}
  path     = "empty/${each.key}"
  content  = each.value
}
sink "file" "counted" {
  count   = local.limit
  path    = "counted/${count.index}"
  content = "c${count.index}"
}
`)}, o)
	want := map[Address]string{
		`sink.file.of["alice"]`:              `bearer token of credential.apirone.many["alice"]`,
		`sink.file.of["bob"]`:                `bearer token of credential.apirone.many["bob"]`,
		`sink.file.filtered["alice"]`:        `token of credential.apirone.many["alice"]`,
		`sink.file.items["a"]`:               "A: token of credential.apirone.one",
		`sink.file.items["b"]`:               `B: value of secret.file.each["bob"]`,
		`sink.file.static["plain"]`:          "w",
		`sink.file.static["we/ird \"key\""]`: "v",
		`sink.file.counted[0]`:               "c0",
		`sink.file.counted[1]`:               "c1",
		`sink.file.counted[2]`:               "c2",
	}
	got := map[Address]string{}
	for _, a := range c.Sinks() {
		args, err := c.SinkArgs(a, world(t))
		if err != nil {
			t.Fatal(err)
		}
		s, err := args.Secret("content")
		if err != nil {
			t.Fatal(err)
		}
		got[a] = s.Reveal()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("contents (-want +got):\n%s", diff)
	}
	uses := map[Address][]Address{
		`sink.file.of["bob"]`:       {`credential.apirone.many["bob"]`},
		`sink.file.items["a"]`:      {"credential.apirone.one"},
		`sink.file.items["b"]`:      {`secret.file.each["bob"]`},
		`sink.file.static["plain"]`: nil,
	}
	for a, want := range uses {
		s, err := c.Sink(a)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, s.Uses); diff != "" {
			t.Errorf("Uses of %s (-want +got):\n%s", a, diff)
		}
	}
	cr, err := c.Credential(`credential.apirone.many["bob"]`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Address{`secret.file.each["bob"]`}, cr.Uses); diff != "" {
		t.Errorf("Uses of the credential (-want +got):\n%s", diff)
	}
	in, err := c.Inputs(`credential.apirone.many["bob"]`, nil, world(t))
	if err != nil {
		t.Fatal(err)
	}
	if s, _ := in.String("login"); s != "bob@example.com" {
		t.Errorf("login = %q", s)
	}
}

func TestVaultAndSecret(t *testing.T) {
	o := testOptions()
	o.Vars = map[string]string{"key": "k"}
	c := mustLoadWith(t, map[string][]byte{"main.hcl": []byte(evalPrelude)}, o)
	v, err := c.Vault("vault.main", world(t))
	if err != nil {
		t.Fatal(err)
	}
	ca, _ := v.Args.String("ca_file")
	auth, ok := v.Args.Nested("auth")
	if v.Kind != "approle" || ca != "/etc/tokend/ca.pem" || !ok {
		t.Fatalf("Vault = %s %q %v", v.Kind, ca, ok)
	}
	if diff := cmp.Diff([]string{"role_id", "secret_id"}, auth.Names()); diff != "" {
		t.Errorf("auth (-want +got):\n%s", diff)
	}
	if id, _ := auth.Secret("secret_id"); id.Reveal() != `value of secret.file.each["alice"]` {
		t.Errorf("secret_id = %q", id.Reveal())
	}
	s, err := c.Secret("secret.vault_kv.kv", Scope{})
	if err != nil {
		t.Fatal(err)
	}
	if vault, _ := s.Args.String("vault"); vault != "vault.main" {
		t.Errorf("the only vault is not the default: %q", vault)
	}
}

func TestEvalErrorShowsNoSecret(t *testing.T) {
	c := mustLoad(t, `
secret "file" "pw" { path = "pw" }
sink "file" "x" {
  path    = "x"
  content = parseint(secret.file.pw.value, 10)
}
sink "file" "y" {
  path    = "y"
  content = secret.file.pw.value.member
}
sink "env" "z" {
  path = "z"
  vars = secret.file.pw.value
}
`)
	s := Scope{Secret: func(Address) (cty.Value, error) { return cty.StringVal("CANARY"), nil }}
	for _, a := range c.Sinks() {
		_, err := c.SinkArgs(a, s)
		var ee *EvalError
		if !errors.As(err, &ee) || ee.Addr != a {
			t.Errorf("%s: %v, want an EvalError", a, err)
			continue
		}
		text := err.Error() + fmt.Sprintf("%+v", ee.Diags) + renderDiags(c.Sources(), ee.Diags)
		if strings.Contains(text, "CANARY") {
			t.Errorf("%s: the error shows the secret: %s", a, text)
		}
	}
}

// TestFastIsGeneral holds the short evaluation against the general one.
func TestFastIsGeneral(t *testing.T) {
	o := testOptions()
	o.Vars = map[string]string{"key": "k"}
	c := mustLoadWith(t, map[string][]byte{"main.hcl": []byte(evalPrelude + `
sink "file" "x" {
  for_each = local.users
  path     = "x/${each.key}"
  content  = "${var.plain}${each.key}${var.ports[0]}${true}${var.key}"
  owner    = local.domain
}
sink "env" "x" {
  for_each = local.users
  path     = "y/${each.key}"
  vars = {
    A = credential.apirone.many[each.key].access_token
    B = secret.vault_kv.kv.value[each.key]
    C = (secret.file.each[each.key]).value
    D = "${credential.apirone.many[each.key].generation}"
  }
}
`)}, o)
	compared := 0
	for _, a := range c.Sinks() {
		in, plan, err := c.blockAt(kindSink, a)
		if err != nil {
			t.Fatal(err)
		}
		plan.form.walk(func(arg *argument) {
			if isMeta(arg.name) {
				return
			}
			for _, e := range subExpressions(arg.expr) {
				for _, s := range []Scope{{}, world(t)} {
					ev := c.evaluator(s)
					fast, ok := ev.fast(e, in)
					if !ok {
						continue
					}
					ctx, _, diags := ev.context(collectRefs(e, nil), in)
					if diags.HasErrors() {
						t.Fatal(diags)
					}
					general, diags := e.Value(ctx)
					if diags.HasErrors() || !fast.RawEquals(general) {
						t.Errorf("%s %s: %#v in short, %#v in general (%v)", a, arg.name, fast, general, diags)
					}
					compared++
				}
			}
		})
	}
	if compared < 20 {
		t.Errorf("only %d expressions were compared", compared)
	}
}
