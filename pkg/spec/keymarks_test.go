package spec

import (
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// A sensitive key marks what it picks, whatever it is picked from and wherever the
// key comes from; a key that is not sensitive marks nothing.
func TestASensitiveKeyMarksWhatItPicks(t *testing.T) {
	cfg, diags := LoadFiles("/config", map[string][]byte{"main.hcl": []byte(`
variable "pin" {
  type      = string
  sensitive = true
}
variable "plain" { default = "a" }
locals {
  object = { a = "x", b = "y" }
  map    = tomap({ a = "x", b = "y" })
  list   = ["x", "y"]
}
`)}, Options{Vars: map[string]string{"pin": "a"}, HostName: "host"})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for text, want := range map[string]bool{
		`local.object[var.pin]`:                                                   true,
		`{ a = "x", b = "y" }[var.pin]`:                                           true,
		`"<${{ a = "x", b = "y" }[var.pin]}>"`:                                    true,
		`{ a = { c = "x" }, b = { c = "y" } }[var.pin].c`:                         true,
		`local.map[var.pin]`:                                                      true,
		`local.list[length(var.pin)-1]`:                                           true,
		`upper(local.object[lower(var.pin)])`:                                     true,
		`[for k in [var.pin] : local.object[k]]`:                                  true,
		`[for k in [var.pin] : [for n in ["1"] : local.object["${k}"]]]`:          true,
		`[for k in ["a"] : local.object[substr("${k}${var.pin}", 0, 1)]]`:         true,
		`{ for k in ["a"] : k => [for n in [var.pin] : local.object[n]] }`:        true,
		`[for k in [{ a = "x", b = "y" }[var.pin]] : k][0]`:                       true,
		`local.object[nonsensitive(var.pin)]`:                                     false,
		`local.object[var.plain]`:                                                 false,
		`"${local.object[var.plain]}${nonsensitive(var.pin)}"`:                    false,
		`[for k, v in { a = var.pin } : local.object[k]]`:                         false,
		`[for k in ["a"] : "${local.object[k]}${nonsensitive(length(var.pin))}"]`: false,
		`{ plain = "x", picked = local.object[var.pin] }.picked`:                  true,
		`{ plain = "x", picked = local.object[var.pin] }.plain`:                   true, // HCL puts it on the whole that is gone into
	} {
		e, diags := hclsyntax.ParseExpression([]byte(text), "main.hcl", hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatalf("%s: %v", text, diags)
		}
		v, diags := cfg.evaluator(Scope{}).eval(e, collectRefs(e, nil), nil)
		if diags.HasErrors() {
			t.Errorf("%s: %v", text, diags)
		} else if IsSensitive(v) != want {
			t.Errorf("%s: sensitive is %v", text, !want)
		}
	}
	// Of what is written out each element has the marks of its own key.
	e, diags := hclsyntax.ParseExpression([]byte(`({ plain = ["x", local.object[var.pin]], picked = local.object[var.pin] })`), "main.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	v, diags := cfg.evaluator(Scope{}).eval(e, collectRefs(e, nil), nil)
	if diags.HasErrors() || v.IsMarked() {
		t.Fatalf("%#v, %v", v, diags)
	}
	if list := v.GetAttr("plain"); list.IsMarked() || list.Index(cty.NumberIntVal(0)).IsMarked() || !IsSensitive(list.Index(cty.NumberIntVal(1))) || !IsSensitive(v.GetAttr("picked")) {
		t.Errorf("%#v", v)
	}
}
