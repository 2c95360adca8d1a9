package spec

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// plain is text of every form that is read without the parser.
const plain = `# a comment
credential "apirone" "a" { # one more
  grant      = "login"
  login      = "user-${each.key}@example.com"
  partner_id = var.partner
  password   = secret.file.pw.value["a"]
  n = 12.5

  refresh { at = 0.5 }
  lifecycle {
    prevent_destroy = true // why
    overlap = null
  }
  scopes = ["a", "b",
    # between
    var.c , ]
}
sink file x {
  content = credential.apirone.a[each.key].access_token
  path = "/run/$HOME/50% of ${ lower(var.x, "é\"${a.b}\n") }.token"
  vars = { A = upper( "x" ), "B c" : join(",", [
    1, 2]), C = {}
    D = f().x[0][each.value]
  }
  notify = []
  auth "token" {}
  inner {
    deep "a" { b = c }
    d = e
  }
}
locals {}
secret "file" "ü" {
}
`

// TestPlainTextIsReadAsTheParserDoes: what is read without the parser gives the
// very tables that the parser's tree does, and nothing that the parser refuses
// is read.
func TestPlainTextIsReadAsTheParserDoes(t *testing.T) {
	texts := []string{plain, strings.ReplaceAll(plain, "\n", "\r\n"), "", "\n", "# nothing", "a {}", "a {\n}"}
	for _, text := range texts {
		if !scanPlain(&source{name: "x.hcl", text: text}) {
			t.Errorf("not read without the parser:\n%s", text)
		}
		sameTables(t, text)
	}
	for _, expr := range []string{"[for]", "[for, a]", "[for x in y : x]", "{for = 1}", "{for x in y : x => x}", "[format(1)]", "a.b .c", "f (x)", "f(\nx,\n)",
		"f(x...)", "true.a", "true", "\"${\n a # b\n}\"", "\"${ {a = 1\n} }\"", `"${"${a}"}"`, `"\x"`, `"\u00e9"`, `"$${a}"`, `"%%{a}"`, `"$"`, `"a$\n"`, "[a b]", "[,]", "{a = 1, , b = 2}", "{a = 1 b = 2}",
		"{(a) = 1}", "{a.b = 1}", "{a : 1}", "1 + 1", "1.5.2", "1.", "a.0", "a[*]", "a[0][b].c", `a["${b}"]`, "-1", "(a)", "<<E\nx\nE\n", "a ? b : c", "a::b()", ""} {
		sameTables(t, "a {\n  b = "+expr+"\n}\n")
		sameTables(t, "a { b = "+expr+" }\n")
	}
	for _, dir := range []string{"testdata", "../../examples", "../../cmd/tokend/testdata"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".hcl") {
				return err
			}
			text, err := os.ReadFile(path)
			sameTables(t, string(text))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestSpoiltTextIsReadAsTheParserDoes takes and puts bytes and words here and
// there: most of it is wrong, and some of it means something else.
func TestSpoiltTextIsReadAsTheParserDoes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	words := strings.Split("{|}|[|]|(|)|\"|${|}\"|%{|$${|$|%|=|==|=>|:|::|,|.|..|\n|\r\n|\r|#|//|/*|*/| |\t|\x00|a|a-b|0|1e5|1.|-|!|?|<<E\n|E\n|"+
		"for|for x in y : |null|true|true.a|each.key|a.0|a[*]|a.*|~}|${~|\\|\\n|\\u00e9|é|\xff|\ufeff|b {\n|c = 1\n|provider_type", "|")
	kept := 0
	for range 10_000 {
		text := plain
		if random.IntN(2) == 0 {
			at := random.IntN(len(plain))
			text = plain[strings.LastIndexByte(plain[:at], '\n')+1:]
		}
		for range 1 + random.IntN(3) {
			at := random.IntN(len(text) + 1)
			end := at
			if random.IntN(3) == 0 {
				end = min(len(text), at+1+random.IntN(4))
			}
			text = text[:at] + words[random.IntN(len(words))] + text[end:]
		}
		if sameTables(t, text) {
			kept++
		}
	}
	if kept < 500 {
		t.Errorf("only %d texts were read without the parser", kept)
	}
}

// FuzzScanPlain: whatever the text, what is read without the parser is what the
// parser reads.
func FuzzScanPlain(f *testing.F) {
	f.Add(plain)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) <= 4096 {
			sameTables(t, text)
		}
	})
}

// sameTables reads text both ways, where it can be read without the parser.
func sameTables(t *testing.T, text string) bool {
	t.Helper()
	got := &source{name: "x.hcl", text: text}
	if !scanPlain(got) {
		if got.blocks != nil || got.attrs != nil {
			t.Errorf("half of a file was kept: %q", text)
		}
		return false
	}
	f, diags := hclsyntax.ParseConfig([]byte(text), "x.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Errorf("the parser refuses this:\n%s\n%v", text, diags)
		return true
	}
	want := &source{name: "x.hcl", text: text}
	body := f.Body.(*hclsyntax.Body)
	if len(body.Attributes) > 0 {
		t.Errorf("arguments outside blocks were passed over: %q", text)
	}
	for _, b := range body.Blocks {
		if b.Type == "provider_type" {
			t.Errorf("a provider type was passed over: %q", text)
		}
		(&lowering{}).block(want, b)
	}
	if diff := cmp.Diff(want.tables(), got.tables()); diff != "" {
		t.Errorf("of this text (-parser +scanner):\n%s\n%s", text, diff)
	}
	return true
}

// tables is what a source says of its blocks, to be compared.
func (s *source) tables() [][]uint32 {
	out := [][]uint32{}
	for _, b := range s.blocks {
		out = append(out, []uint32{b.typ.off, b.typ.end, b.labels[0].off, b.labels[0].end, b.labels[1].off, b.labels[1].end,
			b.body.off, b.body.end, b.line, b.attrs, b.attrsEnd, b.next, uint32(b.nlabels)})
	}
	for _, a := range s.attrs {
		out = append(out, []uint32{a.name.off, a.name.end, a.expr.off, a.expr.end})
	}
	return out
}
