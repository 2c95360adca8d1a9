package spec

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// changedByDigest is what Changed must find, the long way.
func changedByDigest(now, was *Config) (changed, gone []Address) {
	list := func(c *Config) []Address { return append(c.Credentials(), c.Sinks()...) }
	for _, a := range list(now) {
		x, _ := now.Digest(a)
		if y, ok := was.Digest(a); !ok || x != y {
			changed = append(changed, a)
		}
	}
	for _, a := range list(was) {
		if _, ok := now.Digest(a); !ok {
			gone = append(gone, a)
		}
	}
	return changed, gone
}

// TestChanged: whatever changes, Changed says the same as comparing every
// digest, and it knows the addresses that are meant to change.
func TestChanged(t *testing.T) {
	base := map[string]string{
		"settings.hcl": `
variable "v" { default = "x" }
locals { users = toset(["alice", "bob"]) }
provider "apirone" { base_url = "https://a.example" }
secret "file" "pw" { path = "pw" }
secret "file" "each" {
  for_each = local.users
  path     = "pw-${each.key}"
}
hook "systemd" "app" { unit = "app.service" }
`,
		"credentials.hcl": `
credential "apirone" "each" {
  for_each = local.users
  grant    = "login"
  login    = "${each.key}${var.v}"
  password = secret.file.each[each.key].value
}
credential "apirone" "map" {
  for_each = { alice = "1", bob = "2" }
  grant    = "login"
  login    = each.value
  password = secret.file.pw.value
}
credential "apirone" "one" {
  grant    = "login"
  login    = "one"
  password = secret.file.pw.value
}
`,
		"sinks.hcl": `
sink "file" "each" {
  for_each = credential.apirone.each
  path     = "each/${each.key}"
  content  = each.value.access_token
  notify   = [hook.systemd.app]
}
sink "file" "one" {
  path    = "one"
  content = credential.apirone.one.access_token
}
sink "file" "all" {
  path    = "all"
  content = join(",", [for c in credential.apirone.each : c.access_token])
}
sink "file" "text" {
  path    = "text"
  content = file("text.txt")
}
`,
		"text.txt": "some text",
	}
	for _, tt := range []struct {
		name, file, old, new string
		want                 string // addresses that are changed (or with - gone), without kind and type
	}{
		{"nothing", "sinks.hcl", "", "", ""},
		{"a comment", "sinks.hcl", `sink "file" "one"`, "# one\nsink \"file\" \"one\"", ""},
		{"a sink", "sinks.hcl", `"one"` + "\n  content", `"two"` + "\n  content", "one"},
		{"a variable", "settings.hcl", `"x"`, `"y"`, `each["alice"] each["bob"]`},
		{"a key more", "settings.hcl", `"bob"`, `"bob", "carol"`, `each["carol"] all each["carol"]`},
		{"a key less", "settings.hcl", `"alice", `, ``, `all -each["alice"] -each["alice"]`},
		{"a value", "credentials.hcl", `"2"`, `"3"`, `map["bob"]`},
		{"a provider", "settings.hcl", "a.example", "b.example", `each["alice"] each["bob"] map["alice"] map["bob"] one`},
		{"a secret", "settings.hcl", `"pw"` + " }", `"pw2"` + " }", `map["alice"] map["bob"] one`},
		{"a secret for each", "settings.hcl", `pw-`, `pw_`, `each["alice"] each["bob"]`},
		{"a hook", "settings.hcl", `app.service`, `b.service`, `each["alice"] each["bob"]`},
		{"a file", "text.txt", `some`, `other`, `text`},
		{"a block less", "sinks.hcl", base["sinks.hcl"][strings.Index(base["sinks.hcl"], `sink "file" "all"`):], "", `-all -text`},
		{"a name", "credentials.hcl", `"apirone" "map"`, `"apirone" "cards"`, `cards["alice"] cards["bob"] -map["alice"] -map["bob"]`},
		{"instances given up", "credentials.hcl", "for_each = { alice = \"1\", bob = \"2\" }\n  grant    = \"login\"\n  login    = each.value", "grant = \"login\"\n  login = \"1\"", `map -map["alice"] -map["bob"]`},
		{"the defaults", "settings.hcl", "variable", "tokend {\n  defaults {\n    refresh { at = 0.3 }\n  }\n}\nvariable", `each["alice"] each["bob"] map["alice"] map["bob"] one`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for n, text := range base {
				write(t, dir, n, text)
			}
			o := testOptions()
			was := loadDir(t, dir, o)
			if !strings.Contains(base[tt.file], tt.old) {
				t.Fatalf("%s has no %q", tt.file, tt.old)
			}
			write(t, dir, tt.file, strings.Replace(base[tt.file], tt.old, tt.new, 1))
			for _, prev := range []*Config{nil, was} {
				o.Previous = prev
				now := loadDir(t, dir, o)
				sameAsOneByOne(t, now)
				changed, gone := now.Changed(was)
				wantChanged, wantGone := changedByDigest(now, was)
				if diff := cmp.Diff(sortAddresses(wantChanged), changed); diff != "" {
					t.Errorf("changed (-digests +got):\n%s", diff)
				}
				if diff := cmp.Diff(sortAddresses(wantGone), gone); diff != "" {
					t.Errorf("gone (-digests +got):\n%s", diff)
				}
				var got []string
				for _, a := range changed {
					got = append(got, lastName(a))
				}
				for _, a := range gone {
					got = append(got, "-"+lastName(a))
				}
				if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

func lastName(a Address) string {
	parts := strings.SplitN(string(a), ".", 3)
	return parts[2]
}

// TestUses: the index of what is named is that of the static parts.
func TestUses(t *testing.T) {
	c := mustLoad(t, `
secret "file" "pw" {
  for_each = toset(["alice", "bob"])
  path     = "pw-${each.key}"
}
secret "file" "salt" { path = "salt" }
credential "apirone" "x" {
  for_each = toset(["alice", "bob"])
  grant    = "login"
  login    = each.key
  password = "${secret.file.pw[each.key].value}${secret.file.salt.value}"
}
credential "apirone" "y" {
  grant    = "login"
  login    = "y"
  password = secret.file.salt.value
}
sink "file" "x" {
  for_each = credential.apirone.x
  path     = "x/${each.key}"
  content  = "${each.value.access_token} ${credential.apirone.y.access_token}"
}
sink "file" "y" {
  path    = "y"
  content = credential.apirone.y.access_token
}
`)
	for _, a := range append(c.Credentials(), c.Sinks()...) {
		got, err := c.Uses(a)
		if err != nil {
			t.Fatal(err)
		}
		var want []Address
		if a.Kind() == kindSink {
			s, err := c.Sink(a)
			if err != nil {
				t.Fatal(err)
			}
			want = s.Uses
			for range 2 { // worked out, and remembered
				o, err := c.Outline(a)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]any{s.Addr, s.Kind, s.Notify, s.Uses}, []any{o.Addr, o.Kind, o.Notify, o.Uses}); diff != "" {
					t.Errorf("%s (-static part +outline):\n%s", a, diff)
				}
			}
		} else {
			cr, err := c.Credential(a)
			if err != nil {
				t.Fatal(err)
			}
			want = cr.Uses
		}
		if len(want) == 0 {
			t.Errorf("%s names nothing", a)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-static part +got):\n%s", a, diff)
		}
	}
	for _, a := range []Address{"sink.file.none", `sink.file.x["carol"]`, "secret.file.salt", "nonsense"} {
		if _, err := c.Uses(a); err == nil {
			t.Errorf("%s: no error", a)
		}
	}
}

func BenchmarkChanged(b *testing.B) {
	for _, tt := range []struct {
		name string
		dir  string
	}{{"for_each", manyInstances(b, 100_000)}, {"blocks", manyBlocks(b, 1000, 100)}} {
		b.Run(tt.name, func(b *testing.B) {
			o := testOptions()
			was := benchLoad(b, tt.dir, o)
			o.Previous = was
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				write(b, tt.dir, "more.hcl", fmt.Sprintf("sink \"file\" \"more\" {\n  path = \"more\"\n  content = \"%d\"\n}\n", i))
				now := benchLoad(b, tt.dir, o)
				b.StartTimer()
				if changed, _ := now.Changed(was); len(changed) != 1 {
					b.Fatal(changed)
				}
			}
		})
	}
}

func BenchmarkUses(b *testing.B) {
	c := benchLoad(b, manyInstances(b, 10_000), testOptions())
	addrs := c.Sinks()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := c.Uses(addrs[i%len(addrs)]); err != nil {
			b.Fatal(err)
		}
	}
}

// sameAsOneByOne: Declared says of everything what asking for each address does.
func sameAsOneByOne(t *testing.T, c *Config) {
	t.Helper()
	var want []Declared
	for _, a := range append(c.Credentials(), c.Sinks()...) {
		d := Declared{Addr: a}
		d.Digest, _ = c.Digest(a)
		var err error
		if d.Uses, err = c.Uses(a); err != nil {
			t.Fatal(err)
		}
		if a.Kind() == kindCredential {
			cr, err := c.Credential(a)
			if err != nil {
				t.Fatal(err)
			}
			d.Provider, d.Direct = cr.Provider, cr.Direct()
		}
		want = append(want, d)
	}
	if d := cmp.Diff(want, c.Declared()); d != "" {
		t.Errorf("Declared differs from asking one by one (-one by one +Declared):\n%s", d)
	}
}
