package spec

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/secret"
)

// apironeType is a provider type for tests: two grants, outputs, a setting.
const apironeType = `
provider_type "apirone" {
  summary = "test"
  session = "independent"
  config "base_url" {
    type    = string
    default = "https://apirone.example"
  }
  config "api_key" {
    type      = string
    default   = null
    sensitive = true
  }
  grant "login" {
    input "login" { type = string }
    input "password" {
      type      = string
      sensitive = true
    }
    input "partner_id" {
      type    = number
      default = 7
    }
    input "note" {
      type    = string
      default = null
    }
    request {
      method = "POST"
      url    = "${config.base_url}/login"
      json   = { login = input.login, password = input.password, partner = input.partner_id, note = input.note }
    }
  }
  response {
    access_token  = body["access-token"]
    refresh_token = body["refresh-token"]
    outputs       = { login = body.login }
  }
  refresh {
    request {
      method  = "POST"
      url     = "${config.base_url}/refresh"
      headers = { Authorization = "Bearer ${token.refresh_token}" }
    }
  }
  grant "transfer_key" {
    static = true
    input "transfer_key" {
      type      = string
      sensitive = true
    }
    outputs = { transfer_key = input.transfer_key }
  }
}
`

// testOptions has the kinds that tests declare.
func testOptions() Options {
	str := func(n string, required bool) Attr { return Attr{Name: n, Type: cty.String, Required: required} }
	path := Attr{Name: "path", Type: cty.String, Required: true, Path: true}
	vault := Attr{Name: "vault", Type: cty.String, Required: true, Ref: "vault"}
	deferred := func(a Attr) Attr { a.Deferred = true; return a }
	return Options{
		Catalog:  fstest.MapFS{"apirone.hcl": {Data: []byte(apironeType)}},
		HostName: "testhost",
		Version:  "0.3.0",
		Secrets: map[string]Schema{
			"file":     {Attrs: []Attr{path, {Name: "trim", Type: cty.Bool}}},
			"env":      {Attrs: []Attr{str("name", true)}},
			"exec":     {Attrs: []Attr{{Name: "command", Type: cty.List(cty.String), Required: true}, {Name: "interval", Type: cty.String, Duration: true}}},
			"vault_kv": {Attrs: []Attr{vault, deferred(str("mount", true)), deferred(str("path", true))}},
		},
		Sinks: map[string]Schema{
			"file":     {Attrs: []Attr{path, deferred(str("content", true)), str("mode", false), str("owner", false)}},
			"env":      {Attrs: []Attr{path, {Name: "template", Type: cty.String, Content: true}, {Name: "vars", Type: cty.Map(cty.String), Deferred: true}, {Name: "format", Type: cty.String, Oneof: []string{"systemd", "dotenv", "docker", "shell"}}}, Unique: []string{"path"}},
			"vault_kv": {Attrs: []Attr{vault, str("mount", true), str("path", true), {Name: "data", Type: cty.Map(cty.String), Deferred: true}}, Unique: []string{"vault", "mount", "path"}},
		},
		Hooks: map[string]Schema{
			"exec":    {Attrs: []Attr{{Name: "command", Type: cty.List(cty.String), Required: true, NotEmpty: true}, {Name: "timeout", Type: cty.String, Duration: true}}},
			"systemd": {Attrs: []Attr{str("unit", true), str("action", false)}},
		},
		Vault: Schema{Attrs: []Attr{{Name: "address", Type: cty.String, Required: true, URL: true}, {Name: "ca_file", Type: cty.String, Path: true}}},
		Auths: map[string]Schema{
			"approle":    {Attrs: []Attr{deferred(str("role_id", true)), {Name: "secret_id", Type: cty.String, Required: true, Deferred: true, Sensitive: true}}},
			"token_file": {Attrs: []Attr{path}},
			"token":      {Attrs: []Attr{{Name: "token", Type: cty.String, Required: true, Deferred: true, Sensitive: true}}},
		},
	}
}

// mustLoad loads files given as one text and fails on any diagnostic.
func mustLoad(t testing.TB, text string) *Config {
	t.Helper()
	return mustLoadWith(t, map[string][]byte{"main.hcl": []byte(text)}, testOptions())
}

func mustLoadWith(t testing.TB, files map[string][]byte, o Options) *Config {
	t.Helper()
	c, diags := LoadFiles("/etc/tokend", files, o)
	for _, d := range diags {
		t.Errorf("%s", describe(d))
	}
	if c == nil {
		t.FailNow()
	}
	return c
}

func describe(d *hcl.Diagnostic) string {
	at := ""
	if d.Subject != nil {
		at = d.Subject.String() + ": "
	}
	return at + d.Summary + ": " + d.Detail
}

const mainPath = `
tokend {
  required_version = ">= 0.1"
  public_url       = "https://tokend.example"
  state { path = "state" }
}
secret "file" "pw" { path = "pw.txt" }
credential "apirone" "account" {
  grant    = "login"
  login    = "apr-1"
  password = secret.file.pw.value
}
sink "file" "token" {
  path    = "out/token"
  content = credential.apirone.account.access_token
  mode    = "0640"
  notify  = [hook.systemd.app]
}
hook "systemd" "app" { unit = "app.service" }
`

func TestMainPath(t *testing.T) {
	c := mustLoad(t, mainPath)
	if got, want := c.Credentials(), []Address{"credential.apirone.account"}; !cmp.Equal(got, want) {
		t.Fatalf("Credentials() = %v, want %v", got, want)
	}
	if got := c.Settings().State.Path; got != "/etc/tokend/state" {
		t.Errorf("state path = %q", got)
	}
	cr, err := c.Credential("credential.apirone.account")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cr.Uses, []Address{"secret.file.pw"}; !cmp.Equal(got, want) {
		t.Errorf("Uses = %v, want %v", got, want)
	}
	want := []Input{
		{Name: "login", Given: true, OnChange: OnChangeReplace},
		{Name: "password", Given: true, Sensitive: true, Deferred: true, OnChange: OnChangeNextUse},
		{Name: "partner_id", OnChange: OnChangeReplace},
		{Name: "note", OnChange: OnChangeReplace},
	}
	if diff := cmp.Diff(want, cr.Inputs); diff != "" {
		t.Errorf("Inputs (-want +got):\n%s", diff)
	}
	if cr.Provider != "provider.apirone.default" || cr.RedirectURI != "https://tokend.example/callback" || cr.Lifecycle.Overlap != 30*time.Second {
		t.Errorf("Credential = %+v", cr)
	}
	scope := Scope{
		Secret: func(a Address) (cty.Value, error) { return cty.StringVal("hunter2-" + string(a)), nil },
		Credential: func(Address) (Attributes, error) {
			return Attributes{AccessToken: secret.New("tok-1")}, nil
		},
	}
	in, err := c.Inputs("credential.apirone.account", nil, scope)
	if err != nil {
		t.Fatal(err)
	}
	pw, err := in.Secret("password")
	if err != nil || pw.Reveal() != "hunter2-secret.file.pw" {
		t.Errorf("password = %q, %v", pw.Reveal(), err)
	}
	if _, err := in.String("password"); err == nil {
		t.Error("the password can be read as a plain string")
	}
	if n := in.Cty("partner_id"); !n.RawEquals(cty.NumberIntVal(7)) {
		t.Errorf("partner_id = %#v", n)
	}
	s, err := c.Sink("sink.file.token")
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := s.Static.String("path"); got != "/etc/tokend/out/token" {
		t.Errorf("path = %q", got)
	}
	if s.Static.Has("content") || !cmp.Equal(s.Notify, []Address{"hook.systemd.app"}) || !cmp.Equal(s.Uses, []Address{"credential.apirone.account"}) {
		t.Errorf("Sink = %+v", s)
	}
	args, err := c.SinkArgs("sink.file.token", scope)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := args.Secret("content"); got.Reveal() != "tok-1" {
		t.Errorf("content = %q", got.Reveal())
	}
	h, err := c.Hook("hook.systemd.app", scope)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := h.Args.String("unit"); got != "app.service" {
		t.Errorf("unit = %q", got)
	}
	p, err := c.Provider("provider.apirone.default", scope)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := p.Config.String("base_url"); got != "https://apirone.example" || p.RateLimit.Concurrency != 32 {
		t.Errorf("Provider = %+v (%s)", p, got)
	}
}

func TestUnreadable(t *testing.T) {
	c := mustLoad(t, mainPath)
	gone := errors.New("no such file")
	_, err := c.Inputs("credential.apirone.account", nil, Scope{Secret: func(Address) (cty.Value, error) { return cty.NilVal, gone }})
	var u *UnreadableError
	if !errors.As(err, &u) || u.Addr != "secret.file.pw" || !errors.Is(err, gone) {
		t.Errorf("Inputs: %v, want an UnreadableError of secret.file.pw", err)
	}
	if _, err := c.Inputs("credential.apirone.account", []string{"login"}, Scope{Secret: func(Address) (cty.Value, error) { return cty.NilVal, gone }}); err != nil {
		t.Errorf("Inputs of login alone: %v", err)
	}
	_, err = c.Credential("credential.apirone.nobody")
	var unknown *UnknownAddressError
	if !errors.As(err, &unknown) || !strings.Contains(err.Error(), "credential.apirone.nobody") {
		t.Errorf("Credential of an unknown address: %v", err)
	}
}
