package spec

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// evalText evaluates an expression of the native syntax.
func evalText(t *testing.T, src, dir string, reads *readLog, vars map[string]cty.Value) (cty.Value, hcl.Diagnostics) {
	t.Helper()
	e, diags := hclsyntax.ParseExpression([]byte(src), "x.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return e.Value(&hcl.EvalContext{Variables: vars, Functions: functions(newFiles(dir, reads))})
}

func TestFunctionResults(t *testing.T) {
	jwt := "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIiwiZXhwIjoxNjEzNjYyNzEzLCJuIjp7Im0iOm51bGx9fQ.c2ln"
	for _, c := range []struct{ expr, want string }{
		{`abs(-3)`, `3`}, {`ceil(1.2)`, `2`}, {`floor(1.8)`, `1`}, {`log(8, 2)`, `3`}, {`max(1, 3, 2)`, `3`}, {`min(1, 3)`, `1`},
		{`parseint("ff", 16)`, `255`}, {`pow(2, 10)`, `1024`}, {`signum(-9)`, `-1`}, {`sum([1, 2, 3.5])`, `6.5`},
		{`chomp("a\n")`, `"a"`}, {`startswith("abc", "ab")`, `true`}, {`endswith("abc", "bc")`, `true`}, {`strcontains("abc", "x")`, `false`},
		{`format("%s-%03d", "a", 7)`, `"a-007"`}, {`formatlist("%s!", ["a", "b"])`, `["a!","b!"]`}, {`indent(2, "a\nb")`, `"a\n  b"`},
		{`join(",", ["a", "b"])`, `"a,b"`}, {`lower("ÄB")`, `"äb"`}, {`upper("äb")`, `"ÄB"`}, {`title("a bc")`, `"A Bc"`},
		{`regex("(\\d+)-(\\d+)", "x 1-22")`, `["1","22"]`}, {`regexall("[0-9]", "a1b2")`, `["1","2"]`},
		{`replace("a.b.c", ".", "-")`, `"a-b-c"`}, {`replace("a1b22", "/[0-9]+/", "#")`, `"a#b#"`}, {`replace("x/y", "/", "|")`, `"x|y"`},
		{`split(",", "a,b")`, `["a","b"]`}, {`strrev("abc")`, `"cba"`}, {`substr("abcdef", 1, 3)`, `"bcd"`}, {`trim("xxaxx", "x")`, `"a"`},
		{`trimprefix("abc", "ab")`, `"c"`}, {`trimsuffix("abc", "bc")`, `"a"`}, {`trimspace(" a ")`, `"a"`},
		{`alltrue([])`, `true`}, {`alltrue([true, false])`, `false`}, {`anytrue([])`, `false`}, {`anytrue([false, true])`, `true`},
		{`chunklist([1, 2, 3], 2)`, `[[1,2],[3]]`}, {`coalesce(null, "", "a")`, `"a"`}, {`coalescelist([], [1])`, `[1]`}, {`compact(["a", "", null, "b"])`, `["a","b"]`},
		{`concat([1], [2])`, `[1,2]`}, {`contains(["a"], "a")`, `true`}, {`distinct([1, 1, 2])`, `[1,2]`}, {`element(["a", "b"], 3)`, `"b"`},
		{`flatten([[1], [[2]]])`, `[1,2]`}, {`index(["a", "b"], "b")`, `1`}, {`keys({b = 1, a = 2})`, `["a","b"]`}, {`length("äöü")`, `3`}, {`length([1])`, `1`}, {`length({a = 1})`, `1`},
		{`lookup({a = 1}, "a", 2)`, `1`}, {`lookup({a = 1}, "b", 2)`, `2`}, {`lookup(tomap({a = 1}), "a")`, `1`}, {`matchkeys(["x", "y"], ["a", "b"], ["b"])`, `["y"]`},
		{`merge({a = 1}, {a = 2, b = 3})`, `{"a":2,"b":3}`}, {`one([])`, `null`}, {`one(["a"])`, `"a"`}, {`range(3)`, `[0,1,2]`}, {`reverse([1, 2])`, `[2,1]`},
		{`setintersection(["a", "b"], ["b"])`, `["b"]`}, {`setsubtract(["a", "b"], ["b"])`, `["a"]`}, {`setunion(["a"], ["b"])`, `["a","b"]`},
		{`length(setproduct(["a", "b"], [1, 2]))`, `4`}, {`slice([1, 2, 3], 1, 2)`, `[2]`}, {`sort(["b", "a"])`, `["a","b"]`},
		{`transpose({a = ["x", "y"], b = ["x"]})`, `{"x":["a","b"],"y":["a"]}`}, {`values({b = 1, a = 2})`, `[2,1]`}, {`zipmap(["a"], [1])`, `{"a":1}`},
		{`base64encode("ä")`, `"w6Q="`}, {`base64decode("w6Q=")`, `"ä"`}, {`csvdecode("a,b\n1,2")`, `[{"a":"1","b":"2"}]`},
		{`jsondecode("{\"a\":[1,null]}")`, `{"a":[1,null]}`}, {`jsonencode({a = [1, null]})`, `"{\"a\":[1,null]}"`}, {`yamldecode("a: [1, x]")`, `{"a":[1,"x"]}`}, {`yamlencode({a = 1})`, `"\"a\": 1\n"`},
		{`urlencode("a b+/&")`, `"a+b%2B%2F%26"`}, {`urldecode("a+b%2B")`, `"a b+"`},
		{`sha256("a")`, `"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"`}, {`md5("a")`, `"0cc175b9c0f1b6a831c399e269772661"`}, {`sha1("a")`, `"86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"`},
		{`length(sha512("a"))`, `128`}, {`base64sha256("a")`, `"ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs="`}, {`length(base64sha512("a"))`, `88`},
		{`formatdate("YYYY-MM-DD", "2026-11-21T10:00:00Z")`, `"2026-11-21"`}, {`timeadd("2026-11-21T10:00:00Z", "1h")`, `"2026-11-21T11:00:00Z"`}, {`timecmp("2026-11-21T10:00:00Z", "2026-11-21T12:00:00+02:00")`, `0`},
		{`base64gunzip(base64gzip("ä"))`, `"ä"`}, {`uuidv5("dns", "www.example.com")`, `"2ed6657d-e927-568b-95e1-2665a8aea6a2"`},
		{`uuidv5("6ba7b811-9dad-11d1-80b4-00c04fd430c8", "x") == uuidv5("url", "x")`, `true`},
		{`templatestring("$${upper(a)}-$${n}", { a = "x", n = 3 })`, `"X-3"`}, {`templatestring("%%{ for x in l }$${x},%%{ endfor }", { l = [1, 2] })`, `"1,2,"`},
		{`can(base64gunzip("AAAA"))`, `false`}, {`can(uuidv5("nope", "x"))`, `false`}, {`can(templatestring("$${", {}))`, `false`}, {`can(templatestring("$${b}", { a = 1 }))`, `false`},
		{`can(templatestring("$${templatestring(a, {})}", { a = "x" }))`, `false`}, {`can(templatestring("$${dirname(a)}", { a = "/x/y" }))`, `false`}, {`can(templatestring(1, 2))`, `false`},
		{`can(1 + 1)`, `true`}, {`can({}.a)`, `false`}, {`try({}.a, 2)`, `2`}, {`tostring(1)`, `"1"`}, {`tonumber("2")`, `2`}, {`tobool("true")`, `true`},
		{`tolist(["a"])`, `["a"]`}, {`toset(["a", "a"])`, `["a"]`}, {`tomap({a = 1})`, `{"a":1}`},
		{`jwt_claims("` + jwt + `").exp`, `1613662713`}, {`jwt_claims("` + jwt + `").n.m`, `null`}, {`jwt_claims(null)`, `null`},
		{`basename("/a/b")`, `"b"`}, {`dirname("/a/b")`, `"/a"`}, {`abspath("x")`, `"/conf/x"`},
		{`base64decode(base64encode("x"))`, `"x"`}, {`length(base64gzip("aaaa")) > 0`, `true`}, {`issensitive("a")`, `false`}, {`issensitive(sensitive("a"))`, `true`}, {`issensitive(nonsensitive(sensitive("a")))`, `false`},
	} {
		v, diags := evalText(t, c.expr, "/conf", nil, nil)
		if diags.HasErrors() {
			t.Errorf("%s: %v", c.expr, diags)
			continue
		}
		v, _ = v.UnmarkDeep()
		enc, diags := evalText(t, "jsonencode(v)", "/conf", nil, map[string]cty.Value{"v": v})
		if diags.HasErrors() || enc.AsString() != c.want {
			t.Errorf("%s = %s, want %s (%v)", c.expr, enc.AsString(), c.want, diags)
		}
	}
}

func TestEveryFunctionIsDocumented(t *testing.T) {
	docs := Functions()
	have := functions(newFiles("/", nil))
	have["jwt_sign"] = JWTSignFunction(nil) // which requests have beside these
	if len(docs) != len(have) {
		t.Errorf("%d documented, %d there", len(docs), len(have))
	}
	for i, d := range docs {
		if _, ok := have[d.Name]; !ok || d.Doc == "" || d.Group == "" || !strings.HasPrefix(d.Usage, d.Name+"(") {
			t.Errorf("%+v", d)
		}
		if i > 0 && docs[i-1].Name >= d.Name {
			t.Errorf("%s is out of order or there twice", d.Name)
		}
	}
	for name := range TypeFunctions() {
		if strings.HasPrefix(name, "file") || name == "templatefile" {
			t.Errorf("provider types may call %s", name)
		}
	}
}

func TestMarksThroughFunctions(t *testing.T) {
	vars := map[string]cty.Value{
		"s": Sensitive(cty.StringVal("canary")),
		"o": cty.ObjectVal(map[string]cty.Value{"a": Sensitive(cty.StringVal("canary")), "b": cty.StringVal("x")}),
		"u": Sensitive(cty.UnknownVal(cty.String)),
		"m": Sensitive(cty.MapVal(map[string]cty.Value{"k": cty.StringVal("canary")})),
	}
	for _, expr := range []string{
		`upper(s)`, `"x${s}"`, `try(s, "x")`, `try(u, "x")`, `can(s)`, `can(u)`, `can(m["nope"])`, `try(m["nope"], "public")`, `try(o.c, o.a)`,
		`try(parseint(s, 10), 0)`, `jsonencode(o)`, `length(s)`, `lookup(m, "k", "d")`, `lookup(m, "x", "d")`, `coalesce(s, "x")`, `merge(o, {c = 1}).a`,
		`join(",", [s])`, `templatestring("$${a}", { a = s })`, `templatestring(s, {})`, `uuidv5("dns", s)`, `base64gunzip(base64gzip(s))`, `tostring(s)`, `base64encode(u)`, `values(o)[0]`, `s == "x"`, `s == "x" ? 1 : 2`, `[for k, v in o : v if k == "a"][0]`, `sha256(s)`, `sensitive("x")`,
	} {
		v, diags := evalText(t, expr, "/", nil, vars)
		if diags.HasErrors() || !IsSensitive(v) {
			t.Errorf("%s: sensitive %v, %v", expr, IsSensitive(v), diags)
		}
	}
	for _, expr := range []string{`nonsensitive(s)`, `nonsensitive(o)`, `try(o.b, s)`, `can(o.b) && true`, `try(o.zzz, o.b)`, `keys(o)`} {
		v, diags := evalText(t, expr, "/", nil, vars)
		if diags.HasErrors() {
			t.Errorf("%s: %v", expr, diags)
		}
		if expr[0] == 'n' && IsSensitive(v) {
			t.Errorf("%s is sensitive", expr)
		}
	}
}

func TestErrorsQuoteNoSensitiveArgument(t *testing.T) {
	vars := map[string]cty.Value{"s": Sensitive(cty.StringVal("canary-4711")), "o": cty.ObjectVal(map[string]cty.Value{"a": Sensitive(cty.StringVal("canary-4711"))})}
	for _, expr := range []string{
		`parseint(s, 10)`, `tonumber(s)`, `tobool(s)`, `timeadd(s, "1h")`, `timecmp(s, s)`, `formatdate("YYYY", s)`, `formatdate(s, "2026-11-21T10:00:00Z")`, `jsondecode(s)`,
		`regex(s, "x")`, `regex("(", s)`, `base64decode(s)`, `csvdecode("a\n${s},b")`, `yamldecode("[${s}")`, `jwt_claims(s)`, `lookup({}, s)`, `file(s)`, `fileexists("/etc/${s}/\u0000")`,
		`templatefile(s, {})`, `templatefile("/dev/null", {"canary-4711 x" = s})`, `index([s], "x")`, `format(s, 1)`, `format("%d", s)`, `range(s)`, `element([], s)`, `try(parseint(s, 10), tonumber(s))`,
		`urldecode("%${s}%")`, `replace("x", "/(${s}/", "")`, `keys(s)`, `merge(s, {})`, `zipmap([s], [])`, `one([s, s])`, `coalesce(null)`, `fileset(s, "[")`, `substr(s, s, 1)`, `o.a.b`, `o[s]`, `{(s) = 1, (s) = 2}["x"]`,
	} {
		v, diags := evalText(t, expr, "/", nil, vars)
		if !diags.HasErrors() {
			if !strings.HasPrefix(expr, "fileexists") && !strings.HasPrefix(expr, "regex(s") && !strings.HasPrefix(expr, "format(s") {
				t.Errorf("%s: no error but %#v", expr, v.Type())
			}
			continue
		}
		for _, d := range diags {
			if strings.Contains(d.Summary+d.Detail, "4711") && !strings.Contains(expr, `"canary-4711 x"`) {
				t.Errorf("%s: %s: %s", expr, d.Summary, d.Detail)
			}
		}
	}
}

func TestFileFunctions(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.txt", "hello\n")
	write("t.tmpl", "name=${name}%{ for x in list } ${upper(x)}%{ endfor }\n")
	write("sub/b.txt", "b")
	write("sub/c.md", "c")
	write("bad.bin", "\xff")
	write("bad.tmpl", "${")
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	reads := &readLog{}
	vars := map[string]cty.Value{"s": Sensitive(cty.StringVal("v"))}
	for _, c := range []struct{ expr, want string }{
		{`file("a.txt")`, "hello\n"}, {`file("` + dir + `/a.txt")`, "hello\n"}, {`filebase64("bad.bin")`, "/w=="}, {`join(",", fileset(".", "**/*.txt"))`, "a.txt,sub/b.txt"},
		{`filesha256("a.txt")`, "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"}, {`filemd5("a.txt")`, "b1946ac92492d2347c6235b4d2611184"}, {`filesha1("a.txt") == sha1(file("a.txt")) ? "y" : "n"`, "y"},
		{`filesha512("a.txt") == sha512(file("a.txt")) && filebase64sha256("a.txt") == base64sha256(file("a.txt")) && filebase64sha512("a.txt") == base64sha512(file("a.txt")) ? "y" : "n"`, "y"},
		{`templatefile("t.tmpl", {name = "n", list = ["x"]})`, "name=n X\n"}, {`fileexists("nope") ? "y" : "n"`, "n"}, {`fileexists("a.txt") ? "y" : "n"`, "y"},
	} {
		v, diags := evalText(t, c.expr, dir, reads, vars)
		if diags.HasErrors() || v.IsMarked() || v.AsString() != c.want {
			t.Errorf("%s: %#v %v", c.expr, v, diags)
		}
	}
	v, diags := evalText(t, `templatefile("t.tmpl", {name = s, list = []})`, dir, reads, vars)
	if diags.HasErrors() || !IsSensitive(v) {
		t.Errorf("a template with a secret: %v", diags)
	}
	for _, c := range []struct{ expr, want string }{
		{`file("gone")`, "no such file"}, {`file("sub")`, "not a regular file"}, {`file("pipe")`, "not a regular file"}, {`file("bad.bin")`, "not UTF-8"},
		{`templatefile("t.tmpl", {list = []})`, `no value "name"`}, {`templatefile("bad.tmpl", {})`, "bad.tmpl:1"}, {`templatefile("t.tmpl", {name = [], list = []})`, "t.tmpl:1,"}, {`templatefile("t.tmpl", {"a b" = 1})`, "cannot be the name"},
		{`fileset(".", "[")`, "not valid"},
	} {
		_, diags := evalText(t, c.expr, dir, reads, vars)
		if !diags.HasErrors() || !strings.Contains(diags.Error(), c.want) {
			t.Errorf("%s: %v", c.expr, diags)
		}
	}
	got := map[string]bool{}
	for _, p := range reads.list() {
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			t.Fatal(err)
		}
		got[rel] = true
	}
	want := map[string]bool{"a.txt": true, "t.tmpl": true, "bad.bin": true, "nope": true, ".": true, "sub": true, "gone": true, "pipe": true, "bad.tmpl": true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files read:\n%s", diff)
	}
}

func TestOneContentForOneConfiguration(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.txt")
	put := func(s string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("one")
	fns := functions(newFiles(dir, nil))
	e, _ := hclsyntax.ParseExpression([]byte(`file("a.txt")`), "x.hcl", hcl.InitialPos)
	read := func() string {
		v, diags := e.Value(&hcl.EvalContext{Functions: fns})
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		return v.AsString()
	}
	first := read()
	put("two")
	if again := read(); first != "one" || again != "one" {
		t.Errorf("%q then %q", first, again)
	}
}

func FuzzDecodeJSON(f *testing.F) {
	f.Add([]byte(`{"a":[1,2.5e3,null,"x",{"b":true}],"a":1}`))
	f.Add([]byte(`1e999999999`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := DecodeJSON(b)
		if err == nil && !v.IsWhollyKnown() {
			t.Fatal("an unknown value from JSON")
		}
	})
}

// FuzzTemplateFile: whatever a template's text, rendering it neither panics nor
// shows what is put in, and what it gives is as sensitive as that.
func FuzzTemplateFile(f *testing.F) {
	for _, text := range []string{
		"name=${name}\n%{ for x in list ~} ${upper(x)}\n%{ endfor }", "%{ if secret == name }a%{ else }b%{ endif }", "$${not} %%{this} ${", "${parseint(secret, 10)}",
		"${secret.a} ${list[secret]}", "${try(tonumber(secret), secret)}", "${name}${jsonencode({ a = secret })[0]}", "%{ for k, v in map }${k}=${v}%{ endfor }", "${lookup(map, secret)}", "<<EOT", "\xff",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		const canary = "Xq7CANARYq7X"
		if strings.Contains(text, canary) || strings.Contains(text, "nonsensitive") {
			return
		}
		files := map[string][]byte{"main.hcl": []byte("variable \"secret\" { sensitive = true }\nlocals {\n  out = templatefile(\"t.tmpl\", { secret = var.secret, name = \"n\", list = [\"a\"], map = { k = var.secret } })\n}\n" +
			"sink \"file\" \"x\" {\n  path    = \"x\"\n  content = local.out\n}\n"), "/etc/tokend/t.tmpl": []byte(text)}
		o := testOptions()
		o.Environ = []string{"TOKEND_VAR_secret=" + canary}
		c, diags := LoadFiles("/etc/tokend", files, o)
		for _, d := range diags {
			if strings.Contains(describe(d)+Hint(d), canary) {
				t.Errorf("a sensitive value is shown: %s", describe(d))
			}
			if d.Summary == evaluatorFailed || d.Summary == parserFailed {
				t.Errorf("something panicked: %s", describe(d))
			}
		}
		if c == nil {
			return
		}
		args, err := c.SinkArgs("sink.file.x", Scope{})
		if err != nil {
			t.Fatalf("it fails after loading: %v", err)
		}
		v := args.Cty("content")
		if u, _ := v.UnmarkDeep(); u.IsKnown() && !u.IsNull() && strings.Contains(u.AsString(), canary) && !IsSensitive(v) {
			t.Error("what it gives is not sensitive")
		}
	})
}
