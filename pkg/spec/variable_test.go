package spec

import (
	"testing"
)

func TestVariablePrecedence(t *testing.T) {
	const text = `
variable "s" { type = string }
variable "n" {
  type    = number
  default = 1
}
variable "l" {
  type    = list(string)
  default = []
}
variable "o" {
  type    = object({ a = string, b = optional(number, 7) })
  default = { a = "x" }
}
variable "any" { default = "any" }
sink "file" "x" {
  path    = "x"
  content = jsonencode([var.s, var.n, var.l, var.o, var.any])
}
`
	o := testOptions()
	dir := t.TempDir()
	write(t, dir, "a.tfvars", "s = \"file\"\nn = 2\nl = [\"f\"]\n")
	write(t, dir, "b.json", `{"l": ["json"]}`)
	o.Environ = []string{"TOKEND_VAR_s=env", "TOKEND_VAR_any=[1]", "PATH=/bin", "TOKEND_VAR_other=x"}
	content := func() string {
		c := mustLoadWith(t, map[string][]byte{"main.hcl": []byte(text)}, o)
		args, err := c.SinkArgs("sink.file.x", Scope{})
		if err != nil {
			t.Fatal(err)
		}
		s, _ := args.String("content")
		return s
	}
	if got, want := content(), `["env",1,[],{"a":"x","b":7},"[1]"]`; got != want {
		t.Errorf("from the environment: %s, want %s", got, want)
	}
	o.VarFiles = []string{dir + "/a.tfvars", dir + "/b.json"}
	if got, want := content(), `["file",2,["json"],{"a":"x","b":7},"[1]"]`; got != want {
		t.Errorf("from files: %s, want %s", got, want)
	}
	o.Vars = map[string]string{"s": "flag", "l": `["a", "b"]`, "o": `{a = 3}`, "n": "4"}
	if got, want := content(), `["flag",4,["a","b"],{"a":"3","b":7},"[1]"]`; got != want {
		t.Errorf("from flags: %s, want %s", got, want)
	}
}

func TestVariableErrors(t *testing.T) {
	files := map[string][]byte{"main.hcl": []byte(`
variable "key" {
  type      = number
  sensitive = true
}
variable "named" { default = 1 }
`)}
	dir := t.TempDir()
	write(t, dir, "bad.tfvars", "key = \"CANARY-file\"\nnmaed = \"CANARY-name\"\nnamed = upper(\"CANARY-call\")\n")
	write(t, dir, "syntax.tfvars", "key = \"CANARY-syntax\n")
	for _, tt := range []struct {
		name string
		set  func(*Options)
		want []string
	}{
		{"flag of the wrong type", func(o *Options) { o.Vars = map[string]string{"key": "CANARY-flag"} }, []string{"Invalid value of variable"}},
		{"undeclared flag", func(o *Options) { o.Vars = map[string]string{"key": "1", "nam": "CANARY"} }, []string{"Value for an undeclared variable"}},
		{"file", func(o *Options) { o.VarFiles = []string{dir + "/bad.tfvars"} },
			[]string{"Invalid value of variable", "Invalid value of variable", "Value for an undeclared variable"}},
		{"broken file", func(o *Options) {
			o.VarFiles = []string{dir + "/syntax.tfvars"}
			o.Vars = map[string]string{"key": "1"}
		},
			[]string{"Invalid multi-line string", "Invalid multi-line string", "Unterminated template string"}},
		{"no file", func(o *Options) { o.VarFiles = []string{dir + "/none"}; o.Vars = map[string]string{"key": "1"} }, []string{"Unreadable variable file"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := testOptions()
			tt.set(&o)
			_, diags := LoadFiles("/etc/tokend", files, o)
			checkNothingShown(t, files, diags)
			got := map[string]int{}
			for _, d := range diags {
				got[d.Summary]++
			}
			for _, w := range tt.want {
				if got[w] == 0 {
					t.Errorf("no diagnostic %q among %v", w, diags)
				}
			}
		})
	}
}
