package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// said is what a command line printed, and its status.
type said struct {
	out, err string
	status   int
}

func tokend(t *testing.T, config string, args ...string) said {
	t.Helper()
	var out, errs bytes.Buffer
	dir := t.TempDir()
	p := process{args: append([]string{"--config", config, "--state", filepath.Join(dir, "state"), "--control", filepath.Join(dir, "none.sock")}, args...),
		in: strings.NewReader(""), out: &out, err: &errs}
	status := run(context.Background(), p)
	return said{out.String(), errs.String(), status}
}

func configOf(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What a sink cannot be written with is found without a token, all of it in
// one run and each at its place.
func TestValidateSinks(t *testing.T) {
	dir := configOf(t, `
secret "file" "pw" { path = "/nowhere" }
sink "file" "letters" {
  path    = "/run/x/letters"
  content = secret.file.pw.value
  mode    = "rwx"
}
sink "file" "digits" {
  path    = "/"
  content = secret.file.pw.value
  mode    = "0999"
}
sink "file" "nowhere" {
  path    = ""
  content = secret.file.pw.value
}
sink "env" "names" {
  path = "/run/x/names"
  vars = {
    GOOD  = secret.file.pw.value
    "a b" = secret.file.pw.value
    "1A"  = "x"
  }
}
sink "env" "nothing" {
  path = "/run/x/nothing"
}
sink "file" "each" {
  for_each = { a = "0600", b = "0888" }
  path     = "/run/x/each-${each.key}"
  content  = secret.file.pw.value
  mode     = each.value
}
sink "env" "all" {
  vars = {
    "c d" = "x"
    "2B"  = secret.file.pw.value
  }
}
sink "env" "both" {
  path = "/"
  mode = "x"
  vars = { "e f" = "x" }
}
`)
	got := tokend(t, dir, "validate")
	for _, want := range []string{
		"line 6, column 13", `mode of sink "file" "letters": "rwx" is not a mode`,
		"line 9, column 13", "path of sink \"file\" \"digits\": it ends in a slash",
		"line 11, column 13", `"0999" is not a mode`,
		"line 14, column 13", "it must name a file",
		"line 21, column 5", `variable name "a b"`,
		"line 22, column 5", `variable name "1A"`,
		"line 25, column 1", "there is no variable to write",
		"line 32, column 14", `mode of sink.file.each["b"]: "0888" is not a mode`,
		"line 34, column 1", "needs the argument path",
		"line 36, column 5", `variable name "c d"`,
		"line 37, column 5", `variable name "2B"`,
		"line 41, column 10", "line 42, column 10",
		"line 43, column 12", `variable name "e f"`,
		"15 errors",
	} {
		if !strings.Contains(got.err, want) {
			t.Errorf("nothing says %q", want)
		}
	}
	if got.status != exitFailed || t.Failed() {
		t.Errorf("status %d:\n%s", got.status, got.err)
	}
}

// What is right, or not known yet, is no mistake.
func TestValidateLeavesUnknownSinks(t *testing.T) {
	dir := configOf(t, `
secret "file" "pw" { path = "/nowhere" }
sink "env" "template" {
  path     = "relative.env"
  template = "comes-later.tmpl"
  vars     = { any-name = secret.file.pw.value }
}
sink "env" "unknown" {
  path = "/run/x/unknown"
  vars = jsondecode(secret.file.pw.value)
}
sink "file" "none" {
  for_each = toset([])
  path     = "/run/x/${each.key}"
  content  = secret.file.pw.value
}
`)
	if got := tokend(t, dir, "validate"); got.status != exitOK {
		t.Errorf("status %d:\n%s", got.status, got.err)
	}
}

// The check of sinks is a small part of reading a large directory.
func BenchmarkLoadSinks(b *testing.B) {
	dir := b.TempDir()
	text := `
locals { users = [for i in range(1000) : "user-${i}"] }
secret "file" "pw" { path = "/nowhere" }
sink "file" "t" {
  for_each = toset(flatten([for u in local.users : [for i in range(100) : "${u}-${i}"]]))
  path     = "/run/x/${each.key}"
  mode     = "0640"
  content  = secret.file.pw.value
}
`
	if err := os.WriteFile(filepath.Join(dir, "main.hcl"), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	for name, check := range map[string]func(string, spec.Values) error{"checked": checkSink, "unchecked": nil} {
		b.Run(name, func(b *testing.B) {
			o := (&globals{}).specOptions()
			o.CheckSink = check
			for range b.N {
				if _, diags := spec.Load(dir, o); diags.HasErrors() {
					b.Fatal(diags)
				}
			}
		})
	}
}

// validate --json has Terraform's shape, to the byte: offsets in the file and
// in the snippet, the block around it, and no source where a secret stands.
func TestValidateJSON(t *testing.T) {
	text := "\xef\xbb\xbf" + `secret "file" "pw" { path = "/nowhere" }
credential "coinify" "größe" {
  grant      = "password"
  email      = "gö${var.nope}"
  partner_id = [
    "a",
  ]
  password   = "hunter2"
}
sink "file" "x" {
  path    = "out"
  content = credential.coinify.größe.acces_token
}
`
	dir := configOf(t, text)
	if err := os.WriteFile(filepath.Join(dir, "more.hcl.json"), []byte("{\n  \"locals\": {\"a\": \"${var.nope}\"}\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := tokend(t, dir, "validate", "--json")
	if got.status != exitFailed || strings.Contains(got.out, "hunter2") {
		t.Errorf("status %d:\n%s", got.status, got.out)
	}
	var v validation
	if err := json.Unmarshal([]byte(got.out), &v); err != nil {
		t.Fatal(err)
	}
	if v.FormatVersion != "1.0" || v.Valid || v.ErrorCount != 5 || v.WarningCount != 0 {
		t.Errorf("%+v", v)
	}
	context := func(s string) *string { return &s }
	header := context(`credential "coinify" "größe"`)
	type place struct {
		Summary, File, Marked string
		Line, Column, EndLine int
		Snippet               *jsonSnippet
	}
	src := text[len("\xef\xbb\xbf"):]
	var places []place
	for _, d := range v.Diagnostics {
		p := place{Summary: d.Summary, File: d.Range.Filename, Line: d.Range.Start.Line, Column: d.Range.Start.Column, EndLine: d.Range.End.Line, Snippet: d.Snippet}
		if d.Range.Filename == "main.hcl" {
			p.Marked = src[d.Range.Start.Byte:d.Range.End.Byte]
		}
		if s := d.Snippet; s != nil && p.Marked != "" && s.Code[s.HighlightStartOffset:s.HighlightEndOffset] != p.Marked {
			t.Errorf("the snippet marks %q, the range %q", s.Code[s.HighlightStartOffset:s.HighlightEndOffset], p.Marked)
		}
		places = append(places, p)
	}
	none := []string{}
	want := []place{
		{"Reference to undeclared variable", "main.hcl", "var.nope", 4, 21, 4, &jsonSnippet{header, `  email      = "gö${var.nope}"`, 4, 21, 29, none}},
		{"Wrong type", "main.hcl", "[\n    \"a\",\n  ]", 5, 16, 7, &jsonSnippet{header, "  partner_id = [\n    \"a\",\n  ]", 5, 15, 29, none}},
		{"Secret in the configuration", "main.hcl", `"hunter2"`, 8, 16, 8, nil},
		{"Unknown attribute", "main.hcl", ".acces_token", 12, 37, 12, &jsonSnippet{context(`sink "file" "x"`), `  content = credential.coinify.größe.acces_token`, 12, 38, 50, none}},
		{"Reference to undeclared variable", "more.hcl.json", "", 2, 22, 2, &jsonSnippet{context("locals"), `  "locals": {"a": "${var.nope}"}`, 2, 21, 29, none}},
	}
	if diff := cmp.Diff(want, places); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// The very keys that Terraform has.
	var raw struct {
		Diagnostics []map[string]any
	}
	if err := json.Unmarshal([]byte(got.out), &raw); err != nil {
		t.Fatal(err)
	}
	snippet := raw.Diagnostics[0]["snippet"].(map[string]any)
	if got := slices.Sorted(maps.Keys(snippet)); !slices.Equal(got, []string{"code", "context", "highlight_end_offset", "highlight_start_offset", "start_line", "values"}) {
		t.Errorf("a snippet has %v", got)
	}
	if got := slices.Sorted(maps.Keys(raw.Diagnostics[0]["range"].(map[string]any)["start"].(map[string]any))); !slices.Equal(got, []string{"byte", "column", "line"}) {
		t.Errorf("a position has %v", got)
	}
	valid := tokend(t, configOf(t, `secret "file" "pw" { path = "/nowhere" }`), "validate", "--json")
	if want := "{\n  \"format_version\": \"1.0\",\n  \"valid\": true,\n  \"error_count\": 0,\n  \"warning_count\": 0,\n  \"diagnostics\": []\n}\n"; valid.out != want || valid.status != exitOK {
		t.Errorf("of a valid directory: %q", valid.out)
	}
}

// The name of a file comes out of a repository like all else in it: what it has
// for a terminal does not reach one.
func TestFileNamesReachNoTerminalAsTheyAre(t *testing.T) {
	dir := configOf(t, "")
	if err := os.WriteFile(filepath.Join(dir, "a\x1b[2J.hcl"), []byte("nothing {\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := tokend(t, dir, "validate")
	if s.status != 1 || !strings.Contains(s.err, "on a·[2J.hcl line 1") || strings.Contains(s.out+s.err, "\x1b[2J") {
		t.Errorf("status %d, said %q %q", s.status, s.out, s.err)
	}
	g := &globals{config: dir}
	_, diags := spec.Load(dir, spec.Options{})
	for _, line := range g.diagnosticLines(diags) {
		if !strings.HasPrefix(line, "a·[2J.hcl:1: ") {
			t.Errorf("status would say %q", line)
		}
	}
}

// While a daemon that holds the state does not answer yet, what is wrong with the
// directory that a command would go by itself is nobody's business: the daemon
// has one of its own, such as a checkout.
func TestAStateThatIsHeldIsNotAskedOfTheDirectory(t *testing.T) {
	dir := t.TempDir()
	held, err := state.Open(t.Context(), state.Options{Dir: dir, Key: state.GeneratedKeyFile(filepath.Join(dir, state.GeneratedName))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var out, errs bytes.Buffer
	status := run(ctx, process{args: []string{"--config", filepath.Join(dir, "nowhere"), "--state", dir, "--control", filepath.Join(dir, "none.sock"), "status"},
		in: strings.NewReader(""), out: &out, err: &errs})
	if status == 0 || strings.Contains(errs.String(), "Unreadable configuration") {
		t.Errorf("status %d, said %q %q", status, out.String(), errs.String())
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	s := tokend(t, filepath.Join(dir, "nowhere"), "--state", dir, "status")
	if !strings.Contains(s.err, "Unreadable configuration") {
		t.Errorf("without a daemon it is said: %q", s.err)
	}
}

// A provider type's request is tried as the credential makes it: scopes that are not
// given are null in it.
func TestValidateFindsARequestThatNeedsScopes(t *testing.T) {
	t.Parallel()
	const typed = `
provider_type "shop" {
  grant "client" {
    request {
      method = "POST"
      url    = "https://shop.example.com/token"
      form   = { grant_type = "client_credentials", scope = %s }
    }
  }
  response { access_token = body.token }
}
credential "shop" "reader" {
  %s
}
`
	for _, c := range []struct{ scope, argument, want string }{
		{`join(" ", input.scopes)`, "", `credential "shop" "reader" cannot make the request of its grant client: scopes is not given.`},
		{`join(" ", input.scopes)`, "scopes = null", "scopes is not given."},
		{`join(" ", input.scopes)`, `scopes = ["read"]`, ""},
		{`join(" ", input.scopes)`, "scopes = []", ""},
		{`input.scopes == null ? null : join(" ", input.scopes)`, "", ""},
		{"input.scopes", "", ""},
	} {
		got := tokend(t, configOf(t, fmt.Sprintf(typed, c.scope, c.argument)), "validate")
		if (c.want == "") != (got.status == exitOK) || !strings.Contains(strings.Join(strings.Fields(got.err), " "), c.want) {
			t.Errorf("%s with %q: exit status %d, want %q in:\n%s", c.scope, c.argument, got.status, c.want, got.err)
		}
	}
	got := tokend(t, configOf(t, fmt.Sprintf(typed, `join(" ", input.scopes)`, "")), "validate")
	if want := `input.scopes == null ? null : `; !strings.Contains(got.err, want) {
		t.Errorf("no hint %q in:\n%s", want, got.err)
	}
}

// So are the requests that are made once there is a token; what one of them lacks keeps
// nobody from the token, and is warned of. `provider test` names the input, too.
func TestValidateTriesLaterRequests(t *testing.T) {
	t.Parallel()
	const typed = `
provider_type "shop" {
  grant "client" {
    input "team" {
      type    = string
      default = null
    }
    request {
      method = "POST"
      url    = "https://shop.example.com/token"
      form   = { grant_type = "client_credentials" }
    }
  }
  response {
    access_token  = body.token
    refresh_token = body.refresh
  }
  refresh {
    request {
      method = "POST"
      url    = "https://shop.example.com/token"
      form   = { refresh_token = token.refresh_token, scope = %s }
    }
  }
  revoke {
    request {
      method  = "POST"
      url     = %s
      headers = { Authorization = "Bearer ${token.access_token}", Team = %s }
    }
  }
}
credential "shop" "reader" {
  %s
}
`
	const url, joined, inTeam = `"https://shop.example.com/revoke"`, `join(" ", input.scopes)`, `"team ${input.team}"`
	for _, c := range []struct{ scope, url, team, argument, want, runs string }{
		{joined, url, "null", "", `credential "shop" "reader" cannot make its refresh request: scopes is not given.`, "scopes is not given"},
		{joined, url, "null", `scopes = ["read"]`, "", ""},
		{"null", url, inTeam, "", `credential "shop" "reader" cannot make its revocation: team is not given.`, "team is not given"},
		{"null", url, inTeam, `team = "a"`, "", ""},
		{"null", "input.team == null ? null : " + url, inTeam, "", "", ""}, // there is no such request then
	} {
		dir := configOf(t, fmt.Sprintf(typed, c.scope, c.url, c.team, c.argument))
		got := tokend(t, dir, "validate")
		said := strings.Join(strings.Fields(got.err), " ")
		if got.status != exitOK || (c.want == "") == strings.Contains(said, "Incomplete request") || !strings.Contains(said, c.want) {
			t.Errorf("%+v: exit status %d, want a warning %q in:\n%s", c, got.status, c.want, got.err)
		}
		if ran := tokend(t, dir, "provider", "test", "shop.reader"); !strings.Contains(ran.out, c.runs) || (c.runs == "") != (ran.status == exitOK) {
			t.Errorf("%+v: provider test ends with %d, want %q in:\n%s%s", c, ran.status, c.runs, ran.out, ran.err)
		}
	}
}
