package spec

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/secret"
)

const tracePrelude = `
secret "file" "pw" { path = "pw.txt" }
locals {
  teams     = { a = { on = true }, b = { on = false }, c = { on = true } }
  rest      = { for k, t in local.teams : k => t if !try(t.on, false) }
  protected = ["a", "c"]
  both      = merge(credential.apirone.x, credential.apirone.y)
  wanted    = "x"
}
credential "apirone" "x" {
  for_each = toset(["a", "b"])
  grant    = "login"
  login    = each.key
  password = secret.file.pw.value
}
credential "apirone" "y" {
  for_each = toset(["c"])
  grant    = "login"
  login    = each.key
  password = secret.file.pw.value
}
credential "apirone" "n" {
  count    = 2
  grant    = "login"
  login    = "n${count.index}"
  password = secret.file.pw.value
}
`

// TestElementsOfForEach: an instance waits for what its own element is made of,
// and asks for nothing else; where that cannot be told, for all.
func TestElementsOfForEach(t *testing.T) {
	const a, b, c = `credential.apirone.x["a"]`, `credential.apirone.x["b"]`, `credential.apirone.y["c"]`
	all := []Address{a, b, c}
	token := "token of "
	for _, tt := range []struct {
		forEach, key, content string
		want                  string
		uses                  []Address
	}{
		{`merge(credential.apirone.x, credential.apirone.y)`, "b", `each.value.access_token`, token + b, []Address{b}},
		{`merge(credential.apirone.x, credential.apirone.y)`, "c", `"${upper(each.key)} ${each.value.header}"`, "C header of " + c, []Address{c}},
		{`local.both`, "c", `each.value.access_token`, token + c, []Address{c}},
		{`(credential.apirone.x)`, "b", `each.value.access_token`, token + b, []Address{b}},
		{`{ for k, c in credential.apirone.x : k => c if k != "b" }`, "a", `each.value.access_token`, token + a, []Address{a}},
		{`{ for k, c in local.both : k => c if contains(local.protected, k) }`, "c", `each.value.access_token`, token + c, []Address{c}},
		{`{ for k, c in local.both : k => c if try(local.teams[k].on, false) }`, "a", `each.value.access_token`, token + a, []Address{a}},
		{`{ for k, t in local.teams : k => local.both[k] }`, "b", `each.value.access_token`, token + b, []Address{b}},
		{`{ for k, c in local.both : k => c.access_token }`, "b", `each.value`, token + b, []Address{b}},
		{`{ for k, c in local.both : k => { of = c, dir = "d-${k}" } }`, "b", `"${each.value.dir} ${each.value.of.access_token}"`, "d-b " + token + b, []Address{b}},
		{`{ for k, c in credential.apirone.x : k => { own = c, common = credential.apirone.y["c"] } }`, "b",
			`"${each.value.own.access_token} ${each.value.common.access_token}"`, token + b + " " + token + c, []Address{b, c}},
		{`{ for k, c in credential.apirone.x : k => { own = c, common = credential.apirone.y["c"] } }`, "b", `each.value.own.access_token`, token + b, []Address{b}},
		{`{ for k, c in credential.apirone.x : k => { own = c, common = credential.apirone.y["c"] } }`, "b", `upper(each.value.own.access_token)`, strings.ToUpper(token + b), []Address{b}},
		{`{ for p in setproduct(keys(credential.apirone.x), ["red", "blue"]) : "${p[0]}-${p[1]}" => { of = credential.apirone.x[p[0]], colour = p[1] } }`, "b-red",
			`"${each.value.colour} ${each.value.of.access_token}"`, "red " + token + b, []Address{b}},
		{`{ for p in flatten([for k, c in local.both : [for n in ["1", "2"] : { id = "${k}${n}", of = c }]]) : p.id => p.of }`, "c2", `each.value.access_token`, token + c, []Address{c}},
		{`{ for i, c in credential.apirone.n : "n${i}" => c }`, "n1", `each.value.access_token`, token + "credential.apirone.n[1]", []Address{"credential.apirone.n[1]"}},
		{`zipmap(["p", "q"], [credential.apirone.x["a"], credential.apirone.y["c"]])`, "q", `each.value.access_token`, token + c, []Address{c}},
		{`merge({ z = { access_token = "plain" } }, credential.apirone.x)`, "z", `each.value.access_token`, "plain", nil},
		{`merge({ z = { access_token = "plain" } }, credential.apirone.x)`, "a", `each.value.access_token`, token + a, []Address{a}},
		{`merge(credential.apirone.x, { b = merge(credential.apirone.x["b"], { more = "m" }) })`, "b", `"${try(each.value.more, "-")} ${each.value.access_token}"`, "m " + token + b, []Address{b}},
		{`merge({ s = secret.file.pw }, {})`, "s", `each.value.value`, "value of secret.file.pw", []Address{"secret.file.pw"}},
		{`local.wanted == "x" ? merge(credential.apirone.x, {}) : merge(credential.apirone.x, {})`, "b", `each.value.access_token`, token + b, []Address{b}},

		// What is computed with a token is not the token.
		{`{ for k, c in local.both : k => "Bearer ${c.access_token}" }`, "b", `each.value`, "Bearer " + token + b, all},
		{`{ for k, c in local.both : k => nonsensitive(c.access_token) }`, "b", `each.value`, token + b, all},
		{`{ for k, c in local.both : k => try(c.nothing, c.header) }`, "b", `each.value`, "header of " + b, all},
		{`{ for k, c in local.both : k => c.access_token == "" ? c.header : c.access_token }`, "b", `each.value`, token + b, all},
		{`{ for k, c in local.both : k => c.access_token == "" ? null : c.access_token }`, "b", `each.value`, token + b, all},
		{`{ for k, c in local.both : k => c == local.both["a"] ? c.header : c.access_token }`, "b", `each.value`, token + b, all},
		{`{ for k, c in local.both : k => can(c.nothing) ? c.header : c.access_token }`, "b", `each.value`, token + b, all},
	} {
		t.Run(tt.forEach+" "+tt.content, func(t *testing.T) {
			conf := mustLoad(t, tracePrelude+fmt.Sprintf("sink \"file\" \"out\" {\n  for_each = %s\n  path = \"x/${each.key}\"\n  content = %s\n}\n", tt.forEach, tt.content))
			at := name(kindSink, "file", "out", instKey{kind: strKey, str: tt.key})
			s, err := conf.Sink(at)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.uses, s.Uses); diff != "" {
				t.Errorf("Uses (-want +got):\n%s", diff)
			}
			args, err := conf.SinkArgs(at, only(s.Uses))
			if err != nil {
				t.Fatal(err)
			}
			got, err := args.Secret("content")
			if err != nil || got.Reveal() != tt.want {
				t.Errorf("content = %q, %v; want %q", got.Reveal(), err, tt.want)
			}
			if plain := tt.want == "plain" || strings.Contains(tt.forEach, "nonsensitive"); IsSensitive(args.Cty("content")) == plain {
				t.Errorf("sensitive = %v", !plain)
			}
		})
	}
}

// only is a Scope that has the given addresses, and no others.
func only(uses []Address) Scope {
	return Scope{
		Secret: func(a Address) (cty.Value, error) {
			if !slices.Contains(uses, a) {
				return cty.NilVal, errors.New("it is not used")
			}
			return cty.StringVal("value of " + string(a)), nil
		},
		Credential: func(a Address) (Attributes, error) {
			if !slices.Contains(uses, a) {
				return Attributes{}, errors.New("it is not used")
			}
			return Attributes{AccessToken: secret.New("token of " + string(a)), Header: secret.New("header of " + string(a))}, nil
		},
	}
}

// TestMistakesInElements: what an element lacks is said as for the instance that
// it is.
func TestMistakesInElements(t *testing.T) {
	_, diags := LoadFiles("/etc/tokend", map[string][]byte{"main.hcl": []byte(tracePrelude + `
sink "file" "out" {
  for_each = local.both
  path     = "x/${each.key}"
  content  = each.value.acess_token
}
`)}, testOptions())
	oneMistake(t, diags, "Unsupported attribute", `Did you mean "access_token"?`)
}

// TestChangedElements: a sink is another one when its element is made of
// something else, and no other sink is.
func TestChangedElements(t *testing.T) {
	load := func(forEach string) *Config {
		return mustLoad(t, tracePrelude+"sink \"file\" \"out\" {\n  for_each = "+forEach+"\n  path = \"x/${each.key}\"\n  content = each.value.access_token\n}\n")
	}
	was := load(`{ p = credential.apirone.x["a"], q = local.both["b"], r = merge(local.both["c"], { more = "1" }) }`)
	now := load(`{ p = local.both["a"], q = local.both["c"], r = merge(local.both["c"], { more = "2" }) }`)
	var changed []string
	for _, k := range []string{"p", "q", "r"} {
		a := name(kindSink, "file", "out", instKey{kind: strKey, str: k})
		x, _ := was.Digest(a)
		y, _ := now.Digest(a)
		if x != y {
			changed = append(changed, k)
		}
	}
	if diff := cmp.Diff([]string{"q", "r"}, changed); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
}
