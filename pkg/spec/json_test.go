package spec

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const nativeParity = `
tokend {
  listen = "127.0.0.1:8250"
  guard {
    max_revocations = 3
  }
  defaults {
    refresh {
      at = 0.5
    }
  }
}
variable "tags" {
  type    = list(string)
  default = ["a", "b"]
  validation {
    condition     = length(var.tags) > 0
    error_message = "tags"
  }
}
locals {
  users = { alice = 1, bob = 2 }
  greet = "hello ${upper("x")}"
}
vault "main" {
  address = "https://vault.example"
  auth "approle" {
    role_id   = "r"
    secret_id = secret.file.pw.value
  }
}
secret "file" "pw" {
  path = "pw"
}
provider "apirone" {
  alias    = "sandbox"
  base_url = "https://sandbox.example"
  rate_limit {
    requests = 5
  }
}
credential "apirone" "trader" {
  for_each = local.users
  provider = provider.apirone.sandbox
  grant    = "login"
  login    = "${each.key}-${each.value}"
  password = secret.file.pw.value
  note     = null
  lifecycle {
    overlap = "1s"
  }
  dynamic "verify" {
    for_each = [5]
    content {
      path  = "/me"
      every = "${verify.value}m"
    }
  }
}
sink "env" "bot" {
  path = "bot.env"
  vars = {
    TOKEN      = credential.apirone.trader["alice"].access_token
    "KEY_${1}" = "x"
  }
  notify = [hook.exec.nginx, hook.exec.other]
}
sink "file" "each" {
  for_each = credential.apirone.trader
  path     = "out/${each.key}"
  content  = each.value.access_token
  notify   = [hook.exec.nginx]
}
hook "exec" "nginx" {
  command = ["nginx", "-t"]
}
hook "exec" "other" {
  command = ["true"]
}
moved {
  from = credential.apirone.old
  to   = credential.apirone.trader["alice"]
}
removed {
  from = credential.apirone.gone
}
import {
  to            = credential.apirone.trader["bob"]
  refresh_token = secret.file.pw.value
}
`

const jsonParity = `{
  "//": "the same in JSON",
  "tokend": {"listen": "127.0.0.1:8250", "guard": {"max_revocations": 3}, "defaults": {"refresh": {"at": 0.5}}},
  "variable": {"tags": {"type": "list(string)", "default": ["a", "b"],
    "validation": {"condition": "${length(var.tags) > 0}", "error_message": "tags"}}},
  "locals": {"users": {"alice": 1, "bob": 2}, "greet": "hello ${upper(\"x\")}"},
  "vault": {"main": {"address": "https://vault.example",
    "auth": {"approle": {"role_id": "r", "secret_id": "${secret.file.pw.value}"}}}},
  "secret": {"file": {"pw": {"path": "pw"}}},
  "provider": {"apirone": [{"alias": "sandbox", "base_url": "https://sandbox.example", "rate_limit": {"requests": 5}}]},
  "credential": {"apirone": {"trader": {
    "for_each": "${local.users}",
    "provider": "provider.apirone.sandbox",
    "grant": "login",
    "login": "${each.key}-${each.value}",
    "password": "${secret.file.pw.value}",
    "note": null,
    "lifecycle": {"overlap": "1s"},
    "dynamic": {"verify": {"for_each": [5], "content": {"path": "/me", "every": "${verify.value}m"}}}
  }}},
  "sink": {
    "env": {"bot": {"path": "bot.env",
      "vars": {"TOKEN": "${credential.apirone.trader[\"alice\"].access_token}", "KEY_${1}": "x"},
      "notify": ["hook.exec.nginx", "${hook.exec.other}"]}},
    "file": {"each": {"for_each": "${credential.apirone.trader}", "path": "out/${each.key}", "content": "${each.value.access_token}",
      "notify": "${[hook.exec.nginx]}"}}
  },
  "hook": {"exec": {"nginx": {"command": ["nginx", "-t"]}, "other": {"command": ["true"]}}},
  "moved": {"from": "credential.apirone.old", "to": "credential.apirone.trader[\"alice\"]"},
  "removed": [{"from": "${credential.apirone.gone}"}],
  "import": {"to": "credential.apirone.trader[\"bob\"]", "refresh_token": "${secret.file.pw.value}"}
}`

// summary is all that a configuration says, in a form that can be compared.
func summary(t *testing.T, c *Config) map[string]any {
	t.Helper()
	out := map[string]any{"settings": c.Settings(), "providers": c.Providers()}
	note := func(a Address, v Values, err error) {
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]string{}
		for _, n := range v.Names() {
			b, err := v.Canonical(n)
			if err != nil {
				t.Fatal(err)
			}
			m[n] = string(b)
			if IsSensitive(v.Cty(n)) {
				m[n] += " sensitive"
			}
		}
		out[string(a)] = m
	}
	for _, a := range c.Credentials() {
		cr, err := c.Credential(a)
		if err != nil {
			t.Fatal(err)
		}
		cr.Type, cr.Grant = nil, nil
		out["static "+string(a)] = *cr
		in, err := c.Inputs(a, nil, world(t))
		note(a, in, err)
	}
	for _, a := range c.Sinks() {
		s, err := c.Sink(a)
		if err != nil {
			t.Fatal(err)
		}
		out["notify "+string(a)] = s.Notify
		out["uses "+string(a)] = s.Uses
		args, err := c.SinkArgs(a, world(t))
		note(a, args, err)
	}
	for _, a := range c.Hooks() {
		b, err := c.Hook(a, world(t))
		if err != nil {
			t.Fatal(err)
		}
		note(a, b.Args, err)
	}
	for _, a := range c.Providers() {
		p, err := c.Provider(a, world(t))
		if err != nil {
			t.Fatal(err)
		}
		note(a, p.Config, err)
		out["rate "+string(a)] = p.RateLimit
	}
	for _, a := range c.Vaults() {
		b, err := c.Vault(a, world(t))
		if err != nil {
			t.Fatal(err)
		}
		note(a, b.Args, err)
	}
	for _, m := range c.Moved() {
		out["moved"] = []Address{m.From, m.To}
	}
	for _, m := range c.Removed() {
		out["removed"] = m.From
	}
	for _, m := range c.Imports() {
		v, err := c.ImportValues(m.To, world(t))
		note("import "+m.To, v, err)
	}
	return out
}

func TestJSONParity(t *testing.T) {
	native := summary(t, mustLoadWith(t, map[string][]byte{"main.hcl": []byte(nativeParity)}, testOptions()))
	json := summary(t, mustLoadWith(t, map[string][]byte{"main.hcl.json": []byte(jsonParity)}, testOptions()))
	if diff := cmp.Diff(native, json); diff != "" {
		t.Errorf("JSON says something else (-native +JSON):\n%s", diff)
	}
	if len(native) < 15 {
		t.Errorf("the summary is too short to say anything: %v", native)
	}
}

// TestJSONDiagnostics holds where mistakes in JSON are reported.
func TestJSONDiagnostics(t *testing.T) {
	for _, tt := range []struct {
		name, text, summary, at string
		hidden                  bool
	}{
		{"syntax", `{"locals": {"a": }}`, "Invalid JSON", "1:18", false},
		{"unknown block", `{"credentail": {}}`, "Unknown block type", "1:2", false},
		{"reference", "{\"locals\": {\n  \"a\": \"${var.x}\"}}", "Reference to undeclared variable", "2:11", false},
		{"unquoted name", `{"sink": {"file": {"x": {"path": "x", "content": "x", "notify": ["hook.exec.no"]}}}}`, "Reference to undeclared hook", "1:66", false},
		{"secret", `{"credential": {"apirone": {"x": {"grant": "login", "login": "x", "password": "CANARY"}}}}`, "Secret in the configuration", "1:79", true},
		{"argument", `{"hook": {"exec": {"x": {"comand": ["x"], "command": ["x"]}}}}`, "Unknown argument", "1:26", false},
		{"type", `{"hook": {"exec": {"x": {"command": {}}}}}`, "Wrong type", "1:37", false},
		{"label", `{"hook": {"exec": {"no good": {"command": ["x"]}}}}`, "Invalid name", "1:20", false},
		{"template", `{"locals": {"a": "${"}}`, "", "", false},
		{"not an object", `[1]`, "", "", false},
		{"empty", ``, "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string][]byte{"x.hcl.json": []byte(tt.text)}
			c, diags := LoadFiles("/etc/tokend", files, testOptions())
			if c != nil || len(diags) == 0 {
				t.Fatal("no error was reported")
			}
			checkNothingShown(t, files, diags)
			if tt.summary == "" {
				return
			}
			d := diags[0]
			at := ""
			if d.Subject != nil {
				at = fmt.Sprintf("%d:%d", d.Subject.Start.Line, d.Subject.Start.Column)
			}
			if d.Summary != tt.summary || at != tt.at || ShowSource(d) == tt.hidden {
				t.Errorf("got %s at %s (source shown: %v), want %s at %s", describe(d), at, ShowSource(d), tt.summary, tt.at)
			}
		})
	}
}

const nativeMore = `
variable "people" {
  type      = map(object({ email = string, admin = optional(bool, false) }))
  default   = { alice = { email = "a@x" } }
  sensitive = false
  nullable  = false
}
locals {
  names = [for n, p in var.people : upper(n) if !p.admin]
  heredoc = <<-EOT
    one ${length(var.people)}
    two
  EOT
  number  = -1.5e3
  nested  = { list = [1, [true, null]], "quoted key" = "a\"b\\c\t" }
  literal = "$${not} %%{this}"
}
tokend {
  dynamic "state" {
    for_each = { main = "tokend" }
    iterator = it
    content {
      path = it.key
      transit {
        vault = vault.main
        key   = it.value
      }
    }
  }
}
vault "main" {
  address = "https://vault.example"
  dynamic "auth" {
    for_each = ["approle"]
    labels   = [auth.value]
    content {
      role_id   = "r"
      secret_id = secret.file.pw["0"].value
    }
  }
}
secret "file" "pw" {
  for_each = toset(["0", "1"])
  path     = "pw/${each.key}"
}
provider_type "own" {
  summary = "of our own"
  config "base_url" {
    type    = string
    default = "https://own.example"
  }
  grant "login" {
    input "user" {
      type = string
    }
    input "tags" {
      type    = list(string)
      default = ["x"]
    }
    input "password" {
      type      = string
      sensitive = true
    }
    request {
      method = "POST"
      url    = "${config.base_url}/login"
      json   = { user = input.user, password = input.password, tags = [for t in input.tags : upper(t)] }
    }
  }
  response {
    access_token = body.data["token"]
    expires_in   = body.ttl != null ? body.ttl : 60
    outputs      = { id = body.id }
  }
}
credential "own" "counted" {
  count    = 2
  user     = "n${count.index}"
  password = secret.file.pw[tostring(count.index)].value
  scopes   = [for s in ["a", "b"] : "${s}:${count.index}"]
}
credential "own" "chained" {
  user     = credential.own.counted[0].token_type
  password = credential.own.counted[1].access_token
}
sink "file" "all" {
  path    = "all"
  content = jsonencode([for c in credential.own.counted : c.access_token])
}
sink "env" "bot" {
  path = "bot.env"
  vars = { for n in local.names : n => "${local.heredoc}${local.number}${local.literal}" }
}
removed {
  from = sink.file.gone
}
removed {
  from = credential.own.gone["x"]
}
`

const jsonMore = `{
  "variable": [{"people": {"type": "map(object({ email = string, admin = optional(bool, false) }))", "default": {"alice": {"email": "a@x"}}, "sensitive": false, "nullable": false}}],
  "locals": [
    {"names": "${[for n, p in var.people : upper(n) if !p.admin]}", "heredoc": "one ${length(var.people)}\ntwo\n", "number": -1.5e3},
    {"nested": {"list": [1, [true, null]], "quoted key": "a\"b\\c\t"}, "literal": "$${not} %%{this}"}
  ],
  "tokend": {"dynamic": {"state": {"for_each": {"main": "tokend"}, "iterator": "it", "content": {"path": "${it.key}", "transit": {"vault": "vault.main", "key": "${it.value}"}}}}},
  "vault": {"main": {"address": "https://vault.example", "dynamic": {"auth": [{"for_each": ["approle"], "labels": ["${auth.value}"],
    "content": {"role_id": "r", "secret_id": "${secret.file.pw[\"0\"].value}"}}]}}},
  "secret": {"file": {"pw": {"for_each": "${toset([\"0\", \"1\"])}", "path": "pw/${each.key}"}}},
  "provider_type": {"own": {
    "summary": "of our own",
    "config": {"base_url": {"type": "string", "default": "https://own.example"}},
    "grant": {"login": {
      "input": {"user": {"type": "string"}, "tags": {"type": "list(string)", "default": ["x"]}, "password": {"type": "string", "sensitive": true}},
      "request": {"method": "POST", "url": "${config.base_url}/login", "json": {"user": "${input.user}", "password": "${input.password}", "tags": "${[for t in input.tags : upper(t)]}"}}
    }},
    "response": {"access_token": "${body.data[\"token\"]}", "expires_in": "${body.ttl != null ? body.ttl : 60}", "outputs": {"id": "${body.id}"}}
  }},
  "credential": {"own": {
    "counted": {"count": 2, "user": "n${count.index}", "password": "${secret.file.pw[tostring(count.index)].value}", "scopes": "${[for s in [\"a\", \"b\"] : \"${s}:${count.index}\"]}"},
    "chained": {"user": "${credential.own.counted[0].token_type}", "password": "${credential.own.counted[1].access_token}"}
  }},
  "sink": {
    "file": {"all": {"path": "all", "content": "${jsonencode([for c in credential.own.counted : c.access_token])}"}},
    "env": [{"bot": {"path": "bot.env", "vars": "${{ for n in local.names : n => \"${local.heredoc}${local.number}${local.literal}\" }}"}}]
  },
  "removed": [{"from": "sink.file.gone"}, {"from": "credential.own.gone[\"x\"]"}]
}`

// Everything else that the native syntax can say.
func TestJSONParityOfTheRest(t *testing.T) {
	a, b := mustLoadWith(t, map[string][]byte{"main.hcl": []byte(nativeMore)}, testOptions()), mustLoadWith(t, map[string][]byte{"main.hcl.json": []byte(jsonMore)}, testOptions())
	native, json := summary(t, a), summary(t, b)
	if diff := cmp.Diff(native, json); diff != "" {
		t.Errorf("JSON says something else (-native +JSON):\n%s", diff)
	}
	one, two := a.ProviderType("own"), b.ProviderType("own")
	if one == nil || two == nil {
		t.Fatal("the type is missing")
	}
	if diff := cmp.Diff(one.OutputNames(one.Grants[0]), two.OutputNames(two.Grants[0])); diff != "" {
		t.Errorf("outputs:\n%s", diff)
	}
	if len(native) < 12 || len(a.Removed()) != 2 {
		t.Errorf("the summary is too short to say anything: %v", native)
	}
}
