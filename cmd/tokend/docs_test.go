package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/providers/catalog"
	"tokend/pkg/spec"
)

var updateDocs = flag.Bool("update-docs", false, "write the generated parts of docs/ anew")

// docPages are the pages of the documentation, by path below docs.
func docPages(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	err := filepath.WalkDir("../../docs", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel("../../docs", path)
		pages[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(pages) < 10 {
		t.Fatalf("only %d pages were found", len(pages))
	}
	return pages
}

// generated is a part of a page that is made from the schema:
// <!-- schema: WHAT --> … <!-- end -->.
var generated = regexp.MustCompile(`(?s)(<!-- schema: ([^\n]*?) -->\n).*?(<!-- end -->)`)

// The tables of the reference are those of the schema, which is what the loader
// reads by. They are written anew by: go test ./cmd/tokend -run TestDocsAreTheSchema -update-docs
func TestDocsAreTheSchema(t *testing.T) {
	g := &globals{catalog: catalog.FS}
	cfg, diags := spec.LoadFiles("/", map[string][]byte{}, g.specOptions())
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	doc, err := schemaOf(g.specOptions(), cfg.ProviderTypes())
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for page, text := range docPages(t) {
		now := generated.ReplaceAllStringFunc(text, func(part string) string {
			m := generated.FindStringSubmatch(part)
			used[m[2]] = true
			return m[1] + renderSchema(t, doc, m[2]) + m[3]
		})
		if *updateDocs {
			if err := os.WriteFile(filepath.Join("../../docs", page), []byte(now), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if diff := cmp.Diff(text, now); diff != "" {
			t.Errorf("docs/%s is not what the schema says (-page +schema); write it anew with -update-docs:\n%s", page, diff)
		}
	}
	for _, what := range everySchema(doc) {
		if !used[what] {
			t.Errorf("no page of the documentation has <!-- schema: %s -->", what)
		}
	}
}

// everySchema lists all that the reference must show.
func everySchema(doc *schemaDoc) []string {
	out := []string{"functions", "attributes of credentials", "block dynamic", "kinds of auth"}
	for n, b := range doc.Blocks {
		if !b.AnyAttribute {
			out = append(out, "block "+n)
		}
		for kind := range b.Kinds {
			out = append(out, n+" "+kind)
		}
	}
	for n := range doc.ProviderTypes {
		out = append(out, "type "+n)
	}
	return out
}

func renderSchema(t *testing.T, doc *schemaDoc, what string) string {
	t.Helper()
	var b strings.Builder
	first, second, _ := strings.Cut(what, " ")
	switch {
	case what == "functions":
		renderFunctions(&b)
	case what == "attributes of credentials":
		renderAttributes(&b, "attribute", doc.CredentialAttributes, slices.Sorted(maps.Keys(doc.CredentialAttributes)))
	case what == "block dynamic":
		renderBlock(&b, "dynamic", &doc.Dynamic.schemaBlock)
	case what == "kinds of auth":
		kinds := doc.Blocks["vault"].Blocks["auth"].Kinds
		for _, n := range slices.Sorted(maps.Keys(kinds)) {
			fmt.Fprintf(&b, "\n`auth %q`: %s\n", n, sentenceOf(kinds[n].Description))
			renderAttributes(&b, "argument", kinds[n].Attributes, kinds[n].order.attributes)
		}
	case first == "block" && doc.Blocks[second] != nil:
		renderBlock(&b, "", &doc.Blocks[second].schemaBlock)
	case first == "type" && doc.ProviderTypes[second] != nil:
		renderType(&b, doc.ProviderTypes[second])
	case doc.Blocks[first] != nil && doc.Blocks[first].Kinds[second] != nil:
		kind := doc.Blocks[first].Kinds[second]
		fmt.Fprintf(&b, "\n%s\n", sentenceOf(kind.Description))
		renderBlock(&b, "", kind)
	default:
		t.Errorf("there is no <!-- schema: %s -->", what)
	}
	return b.String() + "\n"
}

// renderBlock writes the arguments of a block, and those of its nested blocks
// below.
func renderBlock(b *strings.Builder, path string, block *schemaBlock) {
	renderAttributes(b, "argument", block.Attributes, block.order.attributes)
	for _, n := range block.order.blocks {
		nested := block.Blocks[n]
		name := strings.TrimSpace(path + " " + n)
		head := name
		for _, l := range nested.Labels {
			head += ` "` + strings.ToUpper(l) + `"`
		}
		notes := []string{}
		if nested.Required {
			notes = append(notes, "required")
		}
		if nested.NestingMode == "list" {
			notes = append(notes, "may stand several times")
		}
		note := ""
		if len(notes) > 0 {
			note = " (" + strings.Join(notes, ", ") + ")"
		}
		fmt.Fprintf(b, "\n`%s { … }`%s: %s\n", head, note, sentenceOf(nested.Block.Description))
		renderBlock(b, name, nested.Block)
	}
}

func renderAttributes(b *strings.Builder, noun string, attrs map[string]*schemaAttr, order []string) {
	if len(attrs) == 0 {
		return
	}
	fmt.Fprintf(b, "\n| %s | type | default | |\n| --- | --- | --- | --- |\n", noun)
	for _, n := range order {
		a := attrs[n]
		def := ""
		switch {
		case a.Required:
			def = "**required**"
		case len(a.Default) > 0:
			def = "`" + string(a.Default) + "`"
		}
		text := sentenceOf(a.Description)
		if len(a.OneOf) > 0 && len(a.OneOf) <= 12 {
			text += " One of `" + strings.Join(a.OneOf, "`, `") + "`."
		}
		if a.Sensitive {
			text += " *Sensitive.*"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", n, typeWord(a), def, strings.ReplaceAll(text, "|", "\\|"))
	}
}

// typeWord is a type as the language writes it, or what a string must be.
func typeWord(a *schemaAttr) string {
	switch a.Format {
	case "duration", "path":
		return a.Format
	case "reference":
		if strings.Contains(string(a.Type), "list") {
			return "list of references to " + a.References + "s"
		}
		return "reference to a " + a.References
	}
	return ctyWord(a.Type)
}

func ctyWord(raw json.RawMessage) string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return string(raw)
	}
	var word func(v any) string
	word = func(v any) string {
		switch x := v.(type) {
		case string:
			if x == "dynamic" {
				return "any"
			}
			return x
		case []any:
			return x[0].(string) + "(" + word(x[1]) + ")"
		}
		return fmt.Sprint(v)
	}
	return word(v)
}

// sentenceOf is a description as a sentence.
func sentenceOf(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return ""
	}
	s = string(unicode.ToUpper(r)) + s[n:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

func renderFunctions(b *strings.Builder) {
	docs := spec.Functions()
	groups := map[string][]spec.FunctionDoc{}
	for _, d := range docs {
		groups[d.Group] = append(groups[d.Group], d)
	}
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		fmt.Fprintf(b, "\n### %s\n\n| function | gives |\n| --- | --- |\n", strings.ToUpper(group[:1])+group[1:])
		for _, d := range groups[group] {
			fmt.Fprintf(b, "| `%s` | %s |\n", d.Usage, sentenceOf(d.Doc))
		}
	}
}

func renderType(b *strings.Builder, t *schemaType) {
	fmt.Fprintf(b, "\n%s Session: `%s`.\n", sentenceOf(t.Summary), t.Session)
	if len(t.Settings) > 0 {
		b.WriteString("\n### Settings of the provider block\n")
		renderAttributes(b, "setting", t.Settings, t.order.settings)
	}
	for _, n := range t.order.grants {
		g := t.Grants[n]
		fmt.Fprintf(b, "\n### Grant `%s`\n\n%s\n", n, sentenceOf(g.Summary))
		renderAttributes(b, "input", g.Inputs, g.order)
		for _, line := range grantTraits(g) {
			fmt.Fprintf(b, "\n- %s", line)
		}
		b.WriteString("\n")
	}
	if len(t.order.actions) > 0 {
		b.WriteString("\n### Actions\n\n| action | |\n| --- | --- |\n")
		for _, n := range t.order.actions {
			a := t.Actions[n]
			text := sentenceOf(a.Summary)
			if a.Destructive {
				text += " It asks first."
			}
			if a.EndsAccount {
				text += " The credential stops after it."
			}
			fmt.Fprintf(b, "| `%s` | %s |\n", n, text)
		}
	}
}

// grantTraits says how credentials of a grant behave.
func grantTraits(g *schemaGrant) []string {
	var out []string
	switch g.Interactive {
	case "authorize":
		out = append(out, "A person approves in a browser: `tokend login`.")
	case "device":
		out = append(out, "A person approves on another device: `tokend login`.")
	}
	if g.Static {
		out = append(out, "Static: nothing is obtained, refreshed or revoked.")
	}
	if g.Lockout {
		out = append(out, "A refusal counts against an account: it is not repeated before its inputs change or a person says `tokend retry`.")
	}
	if len(g.Outputs) > 0 {
		out = append(out, "Outputs, beside the attributes of every credential: `"+strings.Join(g.Outputs, "`, `")+"`.")
	}
	switch r := g.Refresh; {
	case r != nil:
		text := "Refreshed by its refresh token; rotation: `" + r.Rotates + "`."
		if r.TokenLifetime != "" {
			text += " A refresh token lives " + r.TokenLifetime + "."
		}
		if r.ReplayWindow != "" {
			text += " A refresh may be repeated within " + r.ReplayWindow + "."
		}
		if r.InvalidatesAccessToken {
			text += " A refresh kills the old access token at once."
		}
		out = append(out, text)
	case !g.Static:
		out = append(out, "Not refreshed: a new token is obtained by the grant.")
	}
	switch r := g.Revoke; {
	case r != nil:
		text := "Revoked on " + strings.Join(r.On, " and ")
		if _, optional := g.Inputs["revoke_url"]; optional {
			text += " where there is a revocation endpoint (`revoke_url`, or what discovery finds); else the token is forgotten, and lives until it expires"
		}
		text += "."
		if r.Needs != "" {
			text += " This needs a living " + strings.ReplaceAll(r.Needs, "_", " ") + "."
		}
		out = append(out, text)
	case !g.Static:
		out = append(out, "Not revoked: the API has no call for it; the token is forgotten and lives until it expires.")
	}
	return out
}
