package spec

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDeclaredAhead: what is worked out while the blocks are checked is what is
// worked out afterwards, also where sums cover all files that were read.
func TestDeclaredAhead(t *testing.T) {
	const anyRows = -1 // it depends on which goroutine is faster
	const common = `
secret "file" "pw" { path = "pw" }
variable "partner" { default = 7 }
hook "exec" "plain" { command = ["true", local.word] }
locals { word = "word" }
credential "apirone" "a" {
  grant      = "login"
  login      = "a@${host.name}"
  partner_id = var.partner
  password   = secret.file.pw.value
}
credential "apirone" "key" {
  grant        = "transfer_key"
  transfer_key = secret.file.pw.value
}
sink "file" "a" {
  path    = "a.token"
  content = "${local.word} ${credential.apirone.a.access_token}"
  notify  = [hook.exec.plain]
}
sink "file" "z" {
  path    = "z.token"
  content = file("z.txt")
}
`
	for name, tt := range map[string]struct {
		text string
		kept int // rows that the checks leave
	}{
		"plain blocks": {"", 4},
		"one instance each": {`
sink "file" "one" {
  for_each = toset(["x"])
  path     = each.key
  content  = "one"
}
`, 4},
		"none and two": {`
sink "file" "b" {
  for_each = toset([])
  path     = "b-${each.key}"
  content  = each.key
}
sink "file" "c" {
  count   = 2
  path    = "c-${count.index}"
  content = credential.apirone.a.access_token
}
`, 4},
		"a list of files at a sink": {`
sink "file" "b" {
  path    = "b"
  content = join(" ", fileset(path.config, "*.txt"))
}
`, 5},
		"a list of files that cannot be told": {`
sink "file" "b" {
  path    = "b"
  content = join(" ", fileset(path.config, secret.file.pw.value))
}
`, 0},
		"a list of files in a local": {`
locals { all = join(" ", fileset(path.config, "*.txt")) }
sink "file" "b" {
  path    = "b"
  content = "${local.all}${credential.apirone.a.access_token}"
}
`, 5},
		"a list of files in a local that is not known": {`
locals { all = "${join(" ", fileset(path.config, secret.file.pw.value))}${credential.apirone.a.access_token}" }
sink "file" "b" {
  path    = "b"
  content = local.all
}
`, 0},
		"a list of files at a hook": {`
hook "exec" "all" { command = concat(["true"], tolist(fileset(path.config, "*.txt"))) }
sink "file" "b" {
  path    = "b"
  content = "b"
  notify  = [hook.exec.all]
}
`, anyRows},
		"a template": {`
sink "env" "b" {
  path     = "b.env"
  template = "z.txt"
}
`, 5},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "main.hcl", common+tt.text)
			write(t, dir, "z.txt", "z")
			write(t, dir, "y.txt", "y")
			o := testOptions()
			later := loadDir(t, dir, o)
			o.Declared = true
			now := loadDir(t, dir, o)
			rows := 0
			if now.ahead != nil {
				for _, d := range now.ahead.rows {
					if d.Addr != "" {
						rows++
					}
				}
			}
			if rows != tt.kept && tt.kept != anyRows {
				t.Errorf("%d rows were kept, want %d", rows, tt.kept)
			}
			want := later.Declared()
			for _, when := range []string{"the first time", "the second time"} {
				if diff := cmp.Diff(want, now.Declared()); diff != "" {
					t.Errorf("%s (-later +ahead):\n%s", when, diff)
				}
				if now.ahead.take() != nil {
					t.Errorf("%s: rows are kept", when)
				}
			}
			sameAsOneByOne(t, now)
			for _, a := range []Address{"secret.file.pw", "hook.exec.plain", "provider.apirone.default"} {
				x, _ := later.Digest(a)
				if y, ok := now.Digest(a); !ok || x != y {
					t.Errorf("the digest of %s differs", a)
				}
			}
		})
	}
}

// TestDeclaredAheadOfManyBlocks: each block is where it belongs, whatever the
// order of names and addresses.
func TestDeclaredAheadOfManyBlocks(t *testing.T) {
	dir := manyBlocks(t, 5, 70)
	for i, n := range []string{"c0000", "c0000-", "c0000-0", "A", "zz"} {
		write(t, dir, fmt.Sprintf("more-%d.hcl", i), blocksFile(100+i, 1, "")+fmt.Sprintf("sink \"env\" %q {\n  path = \"/e/%d\"\n  vars = { A = \"a\" }\n}\n", n, i))
	}
	o := testOptions()
	want := loadDir(t, dir, o).Declared()
	o.Declared = true
	c := loadDir(t, dir, o)
	if slices.ContainsFunc(c.ahead.rows, func(d Declared) bool { return d.Addr == "" }) {
		t.Error("a plain block was not worked out while it was checked")
	}
	if diff := cmp.Diff(want, c.Declared()); diff != "" {
		t.Errorf("(-later +ahead):\n%s", diff)
	}
	o.Previous = c
	write(t, dir, "part-0002.hcl", blocksFile(2, 70, "x"))
	if next := loadDir(t, dir, o); next.memo != c.memo || next.ahead != nil {
		t.Error("a quick load was expected, which keeps no rows")
	}
}
