package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// oneMistake fails unless diags is one error with this summary, and words in it.
func oneMistake(t *testing.T, diags Diagnostics, summary, words string) {
	t.Helper()
	if len(diags) != 1 || diags[0].Summary != summary || !strings.Contains(diags[0].Detail, words) {
		t.Errorf("got %v, want one %q with %q", diags, summary, words)
	}
}

func TestUnreadableCatalogue(t *testing.T) {
	o := testOptions()
	o.Catalog = fstest.MapFS{"broken.hcl/x": {}}
	_, diags := LoadFiles("/etc/tokend", nil, o)
	oneMistake(t, diags, "Unreadable catalogue", "broken.hcl")
}

func TestLargeFiles(t *testing.T) {
	large := []byte(strings.Repeat("# so it goes\n", MaxFileSize/13+1))
	_, diags := LoadFiles("/etc/tokend", map[string][]byte{"main.hcl": large}, testOptions())
	oneMistake(t, diags, "File too large", "4 MiB")
	o := testOptions()
	o.VarFiles = []string{"/etc/tokend/x.tfvars"}
	_, diags = LoadFiles("/etc/tokend", map[string][]byte{"/etc/tokend/x.tfvars": large}, o)
	oneMistake(t, diags, "File too large", "4 MiB")
}

// panics is an expression whose evaluation panics.
type panics struct{ hclsyntax.LiteralValueExpr }

func (*panics) Value(*hcl.EvalContext) (cty.Value, hcl.Diagnostics) { panic("CANARY") }

// A panic of the parser or the evaluator is a mistake at a place, and ends
// nothing.
func TestPanicsAreMistakes(t *testing.T) {
	_, diags := safeValue(&panics{}, nil)
	oneMistake(t, diags, evaluatorFailed, "simpler steps")
	s := &source{name: "main.hcl", text: `provider_type "x" {}`}
	lowerSafely(nil, s)
	oneMistake(t, s.diags, parserFailed, "The parser failed")
	if !s.broken {
		t.Error("the file counts as read")
	}
}

// An element of for_each that the values of today do not have is said to be
// gone; the addresses were told when the directory was read.
func TestInstanceIsGone(t *testing.T) {
	c := mustLoad(t, `secret "file" "pw" { path = "pw" }`)
	e, diags := hclsyntax.ParseExpression([]byte("jsondecode(secret.file.pw.value)"), "main.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	ev := c.evaluator(Scope{Secret: func(Address) (cty.Value, error) { return cty.StringVal(`{"here": "CANARY"}`), nil }})
	set := &instances{kind: strKey, keys: []string{"gone", "here"}, expr: e, refs: collectRefs(e, nil)}
	_, got := ev.deferredElement(&instance{key: instKey{kind: strKey, str: "gone"}, set: set})
	oneMistake(t, got, "Instance is gone", `no element "gone"`)
	v, got := ev.deferredElement(&instance{key: instKey{kind: strKey, str: "here"}, set: set})
	if got.HasErrors() || !IsSensitive(v) {
		t.Errorf("the other one: %v", got)
	}
}

func TestWrongSource(t *testing.T) {
	_, diags := ParseProviderType([]byte(strings.ReplaceAll(apironeType, "apirone", "a")+strings.ReplaceAll(apironeType, "apirone", "b")), false)
	oneMistake(t, diags, "Wrong source", "Exactly one")
	_, diags = ParseProviderType([]byte("\n"), false)
	oneMistake(t, diags, "Wrong source", "Exactly one")
}

// What a kind says of a sink as a whole stands at its head.
func TestInvalidSink(t *testing.T) {
	o := testOptions()
	o.CheckSink = func(string, Values) error { return errors.New("no such place") }
	_, diags := LoadFiles("/etc/tokend", map[string][]byte{"main.hcl": []byte("sink \"file\" \"x\" {\n  path = \"x\"\n  content = \"x\"\n}\n")}, o)
	oneMistake(t, diags, "Invalid sink", "no such place")
	if at := diags[0].Subject; at.Start.Line != 1 || at.End.Column != 16 {
		t.Errorf("at %v", at)
	}
}

// Values that a JSON reader takes and this one cannot.
func TestJSONValues(t *testing.T) {
	at := hcl.Range{Filename: "x.hcl.json", Start: hcl.Pos{Line: 3, Column: 5, Byte: 20}}
	_, diags := parseJSONExpr("[1, nope]", at)
	oneMistake(t, diags, "Invalid JSON", "not a JSON value")
	_, diags = parseJSONExpr("[1,\n 1e99999999999]", at)
	oneMistake(t, diags, "Invalid number", "can be represented")
	if got := diags[0].Subject; got.Start.Line != 4 || got.Start.Column != 2 {
		t.Errorf("at %v", got)
	}
}

// A panic anywhere else while a directory is read is a mistake too.
func TestPanicsWhileLoading(t *testing.T) {
	o := testOptions()
	o.CheckSink = func(string, Values) error { panic("CANARY") }
	text := map[string][]byte{"main.hcl": []byte("locals {}\nsink \"file\" \"x\" {\n  path    = \"x\"\n  content = \"x\"\n}\n")}
	c, diags := LoadFiles("/etc/tokend", text, o)
	oneMistake(t, diags, evaluatorFailed, "Checking this block failed")
	if c != nil || diags[0].Subject.Start.Line != 2 {
		t.Errorf("a Config %v, at %v", c != nil, diags[0].Subject)
	}
	o = testOptions()
	o.Catalog = panicking{}
	c, diags = LoadFiles("/etc/tokend", text, o)
	oneMistake(t, diags, evaluatorFailed, "Reading the directory failed")
	if c != nil {
		t.Error("a Config was returned")
	}
}

// panicking is a catalogue that panics.
type panicking struct{}

func (panicking) Open(string) (fs.File, error) { panic("CANARY") }

// A grant whose name is mistyped is a mistyped argument, and not a missing one.
func TestMistypedGrant(t *testing.T) {
	_, diags := LoadFiles("/etc/tokend", map[string][]byte{"main.hcl": []byte(`
secret "file" "pw" { path = "pw" }
credential "apirone" "x" {
  grnat    = "login"
  login    = "x"
  password = secret.file.pw.value
}
`)}, testOptions())
	oneMistake(t, diags, "Unknown argument", `Did you mean "grant"?`)
	if at := diags[0].Subject; at.Start.Line != 4 || at.Start.Column != 3 {
		t.Errorf("at %v", at)
	}
}

// A login whose redirect comes to another port than that of listen is warned of.
func TestRedirectToAnotherPort(t *testing.T) {
	const typ = `
provider_type "web" {
  summary = "test"
  session = "independent"
  grant "authorization_code" {
    input "client_id" { type = string }
    authorize {
      url   = "https://web.example/authorize"
      query = { client_id = input.client_id, redirect_uri = flow.redirect_uri, state = flow.state }
    }
    request {
      method = "POST"
      url    = "https://web.example/token"
      form   = { code = flow.code }
    }
  }
  response { access_token = body.access_token }
}
credential "web" "x" {
  client_id = "c"
  %s
}
`
	for name, c := range map[string]struct {
		settings, more string
		warned         bool
	}{
		"another port":  {`listen = "127.0.0.1:9000"`, "", true},
		"the same port": {`listen = "0.0.0.0:8250"`, "", false},
		"no listener":   {"", "", false},
		"public_url":    {"listen = \"127.0.0.1:9000\"\npublic_url = \"https://t.example\"", "", false},
		"redirect_uri":  {`listen = "127.0.0.1:9000"`, `redirect_uri = "https://t.example/callback"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, diags := LoadFiles("/etc/tokend", map[string][]byte{"main.hcl": []byte("tokend {\n" + c.settings + "\n}\n" + fmt.Sprintf(typ, c.more))}, testOptions())
			if cfg == nil {
				t.Fatal(diags)
			}
			if !c.warned {
				if len(diags) > 0 {
					t.Errorf("said %s", describe(diags[0]))
				}
				return
			}
			oneMistake(t, diags, "Redirect to another port", "listen is 127.0.0.1:9000")
			if diags[0].Severity != hcl.DiagWarning {
				t.Error("it is no warning")
			}
		})
	}
}
