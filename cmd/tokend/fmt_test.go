package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"tokend/pkg/spec"
)

// FuzzFormat: canonical style is a fixed point, and changes nothing but white
// space: every word, string and comment stays, in its order.
func FuzzFormat(f *testing.F) {
	for _, pattern := range []string{"../../examples/*/*.hcl", "../../pkg/providers/catalog/*.hcl", "../../pkg/spec/testdata/diagnostics/*.hcl"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			f.Fatalf("no seeds in %s (%v)", pattern, err)
		}
		for _, p := range paths {
			b, err := os.ReadFile(p)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Add([]byte("a   =  1 # one\n/* two */ b={x=1,y = [1,2 , 3]}\nc = <<EOT\n  ${ d }\nEOT\n"))
	f.Add([]byte("\xef\xbb\xbfa=1\r\nblock   \"x\" {\r\n\r\n\r\n  // c\r\n    y=f( 1,2 )\r\n}\r\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		if spec.SyntaxMistakes(src, "main.hcl").HasErrors() {
			return
		}
		once := canonical(src)
		if twice := canonical(once); !bytes.Equal(once, twice) {
			t.Errorf("formatting again changes it:\n%q\n%q", once, twice)
		}
		if diags := spec.SyntaxMistakes(once, "main.hcl"); diags.HasErrors() {
			t.Errorf("it does not parse any more: %v\n%q", diags, once)
		}
		if was, now := words(src), words(once); was != now {
			t.Errorf("more than white space changed:\n%s\n%s", was, now)
		}
	})
}

// words are the tokens of a text but for white space between them.
func words(src []byte) string {
	tokens, _ := hclsyntax.LexConfig(spec.WithoutMark(src), "main.hcl", hcl.InitialPos)
	var b strings.Builder
	for _, t := range tokens {
		if text := bytes.TrimSpace(t.Bytes); len(text) > 0 || t.Type == hclsyntax.TokenQuotedLit || t.Type == hclsyntax.TokenStringLit {
			b.WriteString(t.Type.String() + " ")
			switch t.Type {
			case hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit:
				b.Write(t.Bytes)
			default:
				b.Write(text)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// Files that fmt rewrites stay what they are: links, with the mode and owner
// that they had; those in JSON and hidden ones are left alone.
func TestFormatKeepsFiles(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	const ugly, pretty = "locals {\na   =  1\n}\n", "locals {\n  a = 1\n}\n"
	put := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	real := filepath.Join(elsewhere, "real.hcl")
	put(real, ugly, 0o640)
	if err := os.Symlink(real, filepath.Join(dir, "link.hcl")); err != nil {
		t.Fatal(err)
	}
	put(filepath.Join(dir, "crlf.hcl"), "\xef\xbb\xbf"+strings.ReplaceAll(ugly, "\n", "\r\n"), 0o604)
	put(filepath.Join(dir, "x.hcl.json"), `{"locals":   {}}`, 0o600)
	put(filepath.Join(dir, ".hidden.hcl"), ugly, 0o600)
	if err := os.Mkdir(filepath.Join(dir, "directory.hcl"), 0o700); err != nil {
		t.Fatal(err)
	}
	group := os.Getegid()
	if os.Geteuid() == 0 {
		group = 54321
		if err := os.Chown(real, 12345, group); err != nil {
			t.Fatal(err)
		}
	}
	if got := tokend(t, dir, "fmt"); got.status != exitOK {
		t.Fatalf("status %d: %s", got.status, got.err)
	}
	for path, want := range map[string]string{
		real: pretty, filepath.Join(dir, "link.hcl"): pretty,
		filepath.Join(dir, "x.hcl.json"): `{"locals":   {}}`, filepath.Join(dir, ".hidden.hcl"): ugly,
	} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s holds %q (%v)", path, got, err)
		}
	}
	if to, err := os.Readlink(filepath.Join(dir, "link.hcl")); err != nil || to != real {
		t.Errorf("the link leads to %q (%v)", to, err)
	}
	info, err := os.Stat(real)
	if err != nil {
		t.Fatal(err)
	}
	sys := info.Sys().(*syscall.Stat_t)
	if info.Mode().Perm() != 0o640 || int(sys.Gid) != group || os.Geteuid() == 0 && sys.Uid != 12345 {
		t.Errorf("mode %v, owner %d, group %d", info.Mode(), sys.Uid, sys.Gid)
	}
	left, err := os.ReadDir(elsewhere)
	if err != nil || len(left) != 1 {
		t.Errorf("there is more than the file: %v (%v)", left, err)
	}
	if got := tokend(t, dir, "fmt", "--check", dir, filepath.Join(dir, "x.hcl.json")); got.status != exitOK || got.out != "" {
		t.Errorf("a second time: status %d: %s%s", got.status, got.out, got.err)
	}
}

// A file that does not parse is refused, and a secret in it is not shown.
func TestFormatRefusesWithoutShowing(t *testing.T) {
	for name, text := range map[string]string{
		"open string": "credential \"coinify\" \"x\" {\n  password = \"hunter2\n}\n",
		"too deep":    "locals {\n  a = " + strings.Repeat("[", 300) + strings.Repeat("]", 300) + "\n}\n",
	} {
		dir := configOf(t, text)
		got := tokend(t, dir, "fmt")
		if got.status != exitFailed || strings.Contains(got.out+got.err, "hunter2") || !strings.Contains(got.err, "main.hcl line 2") {
			t.Errorf("%s: status %d:\n%s%s", name, got.status, got.out, got.err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, "main.hcl")); err != nil || string(b) != text {
			t.Errorf("%s: the file changed", name)
		}
	}
}
