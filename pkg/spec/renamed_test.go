package spec

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/secret"
)

// TestRenamed: asked by the addresses of now, a configuration says what it says of
// those in its text, asks by those of now, and knows nothing by those that were left.
func TestRenamed(t *testing.T) {
	const text = `
provider "apirone" { base_url = "https://a.example" }
secret "file" "pw" { path = "pw" }
credential "apirone" "a" {
  for_each = toset(["x", "y"])
  grant    = "login"
  login    = each.key
  password = secret.file.pw.value
}
credential "apirone" "b" {
  grant    = "login"
  login    = "b"
  password = secret.file.pw.value
}
sink "file" "s" {
  path    = "/s"
  content = "${credential.apirone.a["x"].access_token} ${credential.apirone.b.access_token}"
}
sink "file" "hidden" {
  path    = "/hidden"
  content = credential.apirone.b.access_token
}
`
	base := mustLoad(t, text)
	c := base.Renamed(Renames{
		`credential.apirone.a["x"]`: "credential.apirone.b",
		"credential.apirone.b":      `credential.apirone.a["x"]`,
		"sink.file.s":               "sink.file.hidden",
		"sink.file.nobody":          "sink.file.else",
	})
	want := []Address{`credential.apirone.a["x"]`, `credential.apirone.a["y"]`, "credential.apirone.b"}
	if d := cmp.Diff(want, c.Credentials()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]Address{"sink.file.hidden"}, c.Sinks()); d != "" {
		t.Error(d)
	}
	rows := c.Declared()
	if credentials, sinks := c.Counts(); credentials != 3 || sinks != 1 || len(rows) != 4 {
		t.Errorf("%d credentials, %d sinks, %d declared", credentials, sinks, len(rows))
	}
	for _, row := range rows {
		if is, ok := c.Digest(row.Addr); !ok || is != row.Digest {
			t.Errorf("the digest of %s differs from the one listed", row.Addr)
		}
		if uses, err := c.Uses(row.Addr); err != nil || cmp.Diff(row.Uses, uses) != "" {
			t.Errorf("%s uses %v (%v), and by the list %v", row.Addr, uses, err, row.Uses)
		}
	}
	for now, own := range map[Address]Address{"sink.file.hidden": "sink.file.s", "credential.apirone.b": `credential.apirone.a["x"]`, `credential.apirone.a["y"]`: `credential.apirone.a["y"]`} {
		is, _ := c.Digest(now)
		if was, _ := base.Digest(own); is != was {
			t.Errorf("%s does not read as %s", now, own)
		}
	}
	if c.Declares("sink.file.s") || c.Declares("sink.file.nobody") || c.Declares("sink.file.else") || !c.Declares("sink.file.hidden") {
		t.Error("it declares what it does not")
	}
	s, err := c.Sink("sink.file.hidden")
	if err != nil || s.Addr != "sink.file.hidden" || cmp.Diff(want[:1], s.Uses[:1]) != "" {
		t.Fatalf("%+v, %v", s, err)
	}
	if o, err := c.Outline("sink.file.hidden"); err != nil || cmp.Diff(s.Uses, o.Uses) != "" {
		t.Errorf("%+v, %v", o, err)
	}
	args, err := c.SinkArgs("sink.file.hidden", Scope{Credential: func(a Address) (Attributes, error) {
		return Attributes{AccessToken: secret.New("token of " + string(a))}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	content, err := args.Secret("content")
	if err != nil || content.Reveal() != `token of credential.apirone.b token of credential.apirone.a["x"]` {
		t.Errorf("it holds %q, %v", content.Reveal(), err)
	}
	cr, err := c.Credential("credential.apirone.b")
	if err != nil || cr.Addr != "credential.apirone.b" {
		t.Errorf("%+v, %v", cr, err)
	}
	if v, err := c.Inputs("credential.apirone.b", []string{"login"}, Scope{}); err != nil {
		t.Error(err)
	} else if login, _ := v.String("login"); login != "x" {
		t.Errorf("its login is %q", login)
	}
	if changed, gone := base.Changed(c); cmp.Diff([]Address{`credential.apirone.a["x"]`, "credential.apirone.b", "sink.file.hidden", "sink.file.s"}, changed) != "" || len(gone) > 0 {
		t.Errorf("changed %v, gone %v", changed, gone)
	}
	if c.SameSources(base) || base.SameSources(c) {
		t.Error("it is not the same as where nothing has moved")
	}
	back := c.Renamed(Renames{`credential.apirone.a["x"]`: "credential.apirone.b", "credential.apirone.b": `credential.apirone.a["x"]`, "sink.file.hidden": "sink.file.s"})
	if back.Renames() != nil || cmp.Diff(base.Sinks(), back.Sinks()) != "" {
		t.Errorf("moved back, %v are called otherwise", back.Renames())
	}
	if none := base.Renamed(Renames{"sink.file.nobody": "sink.file.else"}); none != base {
		t.Error("what it does not declare concerns it")
	}
	if again := c.Renamed(Renames{"sink.file.hidden": "sink.file.third"}); again.Declares("sink.file.s") || !again.Declares("sink.file.third") || !again.Declares("sink.file.hidden") {
		t.Errorf("moved on, %v are called otherwise", again.Renames())
	}
}
