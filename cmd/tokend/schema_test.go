package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/atomicfile"
	"tokend/pkg/spec"
)

// schemaText is what `tokend schema` prints for a directory, as any reader of
// JSON sees it.
func schemaText(t *testing.T, dir string) map[string]any {
	t.Helper()
	got := tokend(t, dir, "schema")
	if got.status != exitOK {
		t.Fatalf("status %d: %s", got.status, got.err)
	}
	var doc map[string]any
	if err := json.Unmarshal([]byte(got.out), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// Every argument and block says what it is for, of what type it is, and either
// that it is required or that it is not.
func TestSchemaSaysEverything(t *testing.T) {
	doc := schemaText(t, "/nonexistent")
	attributes, descriptions := 0, 0
	var walk func(path string, v any)
	attribute := func(path string, v any) {
		attributes++
		a := v.(map[string]any)
		if a["type"] == nil || a["description"] == nil {
			t.Errorf("%s has no type or no description: %v", path, a)
		}
		ways := 0
		for _, way := range []string{"required", "optional", "computed"} {
			if a[way] == true {
				ways++
			}
		}
		if ways != 1 {
			t.Errorf("%s is %d of required, optional and computed", path, ways)
		}
		if a["required"] == true && a["default"] != nil {
			t.Errorf("%s is required and has a default", path)
		}
	}
	walk = func(path string, v any) {
		switch x := v.(type) {
		case map[string]any:
			for _, n := range slices.Sorted(maps.Keys(x)) {
				switch n {
				case "attributes", "settings", "inputs", "credential_attributes":
					for name, a := range x[n].(map[string]any) {
						attribute(path+"/"+n+"/"+name, a)
					}
					if _, block := x["labels"]; n == "attributes" && (x["nesting_mode"] == nil || block) {
						descriptions++
						if s, _ := x["description"].(string); s == "" {
							t.Errorf("%s has no description", path)
						}
					}
				default:
					walk(path+"/"+n, x[n])
				}
			}
		case []any:
			for _, e := range x {
				walk(path, e)
			}
		}
	}
	walk("", doc)
	if attributes < 150 || descriptions < 30 {
		t.Errorf("%d attributes and %d blocks were looked at", attributes, descriptions)
	}
	if doc["format_version"] != "1.0" {
		t.Errorf("format_version is %v", doc["format_version"])
	}
}

// The schema has what the binary can do: its kinds, its catalogue, its
// functions.
func TestSchemaHasAllKinds(t *testing.T) {
	doc, err := schemaOf((&globals{}).specOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	same := func(what string, want, got []string) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-binary +schema):\n%s", what, diff)
		}
	}
	w := &atomicfile.Writer{}
	same("sinks", slices.Sorted(maps.Keys(sinkKinds(w, nil, "/"))), slices.Sorted(maps.Keys(doc.Blocks["sink"].Kinds)))
	same("secrets", slices.Sorted(maps.Keys(sourceKinds(process{}, nil, "/"))), slices.Sorted(maps.Keys(doc.Blocks["secret"].Kinds)))
	same("hooks", slices.Sorted(maps.Keys(hookKinds(process{}, "/", nil))), slices.Sorted(maps.Keys(doc.Blocks["hook"].Kinds)))
	if auth := doc.Blocks["vault"].Blocks["auth"]; len(auth.Kinds) < 3 || auth.Kinds["approle"].Attributes["secret_id"].Sensitive != true {
		t.Errorf("the ways of logging in to Vault: %v", auth.Kinds)
	}
	if f := doc.Functions; len(f) != len(spec.Functions()) || f["join"].Usage != "join(separator, lists...)" {
		t.Errorf("functions: %v", f["join"])
	}
}

// Types, defaults and what must be given come out as an editor needs them, of
// built-in types and those of the directory alike.
func TestSchemaOfTypes(t *testing.T) {
	dir := configOf(t, `
provider_type "ours" {
  config "base_url" { type = string }
  config "retries" {
    type    = number
    default = 3
  }
  grant "key" {
    static = true
    input "key" {
      type        = string
      sensitive   = true
      description = "the key"
    }
    input "tags" {
      type    = map(list(string))
      default = null
    }
    outputs = { key = input.key }
  }
}
`)
	types := schemaText(t, dir)["provider_types"].(map[string]any)
	want := map[string]any{
		"builtin": false, "session": "independent",
		"settings": map[string]any{
			"base_url": map[string]any{"type": "string", "required": true, "deferred": true},
			"retries":  map[string]any{"type": "number", "optional": true, "deferred": true, "default": 3.0},
		},
		"grants": map[string]any{"key": map[string]any{
			"static": true, "outputs": []any{"key"},
			"inputs": map[string]any{
				"key":  map[string]any{"type": "string", "required": true, "deferred": true, "sensitive": true, "description": "the key", "on_change": "next_use"},
				"tags": map[string]any{"type": []any{"map", []any{"list", "string"}}, "optional": true, "deferred": true, "on_change": "replace"},
			},
		}},
	}
	if diff := cmp.Diff(want, types["ours"]); diff != "" {
		t.Errorf("a type of the directory (-want +got):\n%s", diff)
	}
	coinify := types["coinify"].(map[string]any)
	password := coinify["grants"].(map[string]any)["password"].(map[string]any)
	if diff := cmp.Diff(map[string]any{"rotates": "observe", "token_lifetime": "24h"}, password["refresh"]); diff != "" {
		t.Errorf("coinify's refresh (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"on": []any{"remove", "replace"}, "needs": "refresh_token"}, password["revoke"]); diff != "" {
		t.Errorf("coinify's revocation (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"destructive": true, "ends_account": true, "summary": "deactivates the trader's account, which never gets a token again"},
		coinify["actions"].(map[string]any)["deactivate"]); diff != "" {
		t.Errorf("coinify's action (-want +got):\n%s", diff)
	}
	if coinify["builtin"] != true || password["lockout"] != true {
		t.Errorf("coinify: %v", coinify)
	}
}

// Every argument that the schema lists can be written, and one that it does not
// list cannot: the loader reads blocks by the same data.
func TestSchemaIsWhatIsRead(t *testing.T) {
	doc, err := schemaOf((&globals{}).specOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	listed := 0
	write := func(head string, blocks ...*schemaBlock) {
		text.WriteString(head + " {\n")
		for _, b := range blocks {
			for _, n := range b.order.attributes {
				listed++
				text.WriteString("  " + n + " = null\n")
			}
		}
		text.WriteString("  not_an_argument = null\n}\n")
	}
	for _, top := range slices.Sorted(maps.Keys(doc.Blocks)) {
		b := doc.Blocks[top]
		switch top {
		case "locals", "provider_type", "provider", "credential":
			continue // whose arguments depend on a type, or on nothing
		}
		if len(b.Kinds) == 0 {
			head := top
			for range b.Labels {
				head += ` "x"`
			}
			write(head, &b.schemaBlock)
			continue
		}
		for _, kind := range slices.Sorted(maps.Keys(b.Kinds)) {
			write(top+` "`+kind+`" "x"`, &b.schemaBlock, b.Kinds[kind])
		}
	}
	dir := configOf(t, text.String())
	got := tokend(t, dir, "validate", "--json")
	var v validation
	if err := json.Unmarshal([]byte(got.out), &v); err != nil {
		t.Fatalf("%v\n%s%s", err, got.out, got.err)
	}
	src, err := os.ReadFile(filepath.Join(dir, "main.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	unknown := 0
	for _, d := range v.Diagnostics {
		if d.Summary != "Unknown argument" {
			continue
		}
		unknown++
		if name := string(src[d.Range.Start.Byte:d.Range.End.Byte]); name != "not_an_argument" {
			t.Errorf("%s is in the schema, and %s", name, d.Detail)
		}
	}
	if want := strings.Count(text.String(), "not_an_argument"); unknown != want || listed < 60 {
		t.Errorf("%d of %d unknown arguments were reported, %d were listed", unknown, want, listed)
	}
}
