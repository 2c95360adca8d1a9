package policy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/policy"
	"tokend/pkg/spec"
)

// parse reads a policy for the configuration in dir.
func parse(t *testing.T, dir, text string) *policy.Policy {
	t.Helper()
	p, diags := policy.Parse("/etc/tokend-policy.hcl", []byte(text), policy.Options{Dir: dir, Path: "/usr/local/bin:/usr/bin:/bin"})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return p
}

func args(pairs ...string) spec.Values {
	m := map[string]cty.Value{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = cty.StringVal(pairs[i+1])
	}
	return spec.NewValues(m)
}

func argv(name string, words ...string) spec.Values {
	var list []cty.Value
	for _, w := range words {
		list = append(list, cty.StringVal(w))
	}
	return spec.NewValues(map[string]cty.Value{name: cty.ListVal(list)})
}

// want looks at an answer: "" is a yes, anything else has to be in the refusal.
func want(t *testing.T, what string, err error, refusal string) {
	t.Helper()
	switch {
	case refusal == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case refusal != "" && (err == nil || !strings.Contains(err.Error(), refusal)):
		t.Errorf("%s: %v, want %q", what, err, refusal)
	}
}

func TestFileSinks(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	run := filepath.Join(root, "run")
	for _, dir := range []string{run, filepath.Join(root, "etc"), filepath.Join(root, "var")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"run/out": "../etc", "run/file": "../etc/shadow", "var/run": "../run"} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	p := parse(t, filepath.Join(root, "conf"), `
sink "file" {
  paths    = ["`+run+`/**"]
}
sink "file" {
  paths        = ["`+run+`/trader/*.token", "`+root+`/var/run/old/**"]
  owners       = ["root"]
  groups       = ["*"]
  max_mode     = "0640"
  max_dir_mode = "0755"
}
`)
	for _, c := range []struct {
		args    []string
		refusal string
	}{
		{[]string{"path", run + "/a/b"}, ""},
		{[]string{"path", run + "/"}, ""}, // the directory itself, which the kind refuses
		{[]string{"path", run + "/a/../b/"}, ""},
		{[]string{"path", run + "/../etc/passwd"}, "/etc/passwd is not among the paths of /etc/tokend-policy.hcl:6"},
		{[]string{"path", run + "/a/../../etc/passwd/"}, "/etc/passwd is not among the paths"},
		{[]string{"path", run + "//..//etc/passwd"}, "/etc/passwd is not among the paths"},
		{[]string{"path", run + "x/a"}, "is not among the paths"},
		{[]string{"path", "../run/relative"}, ""},
		{[]string{"path", "relative"}, "conf/relative is not among the paths"},
		{[]string{"path", run + "/out/passwd"}, "run/out/passwd (which leads to " + root + "/etc/passwd) is not among the paths"},
		{[]string{"path", run + "/out/new/deeper"}, "which leads to"},
		{[]string{"path", run + "/file"}, "which leads to " + root + "/etc/shadow"},
		{[]string{"path", root + "/var/run/old/x"}, ""},
		{[]string{"path", root + "/var/run/new/x"}, "is not among the paths"},
		{[]string{}, "path cannot be told"},
		{[]string{"path", run + "/a", "mode", "0600", "dir_mode", "0700"}, ""},
		{[]string{"path", run + "/a", "mode", "0640"}, "mode 0640 is more than max_mode of /etc/tokend-policy.hcl:2, 0600"},
		{[]string{"path", run + "/trader/a.token", "mode", "0640", "dir_mode", "0755"}, ""},
		{[]string{"path", run + "/trader/a.token", "mode", "0644"}, "mode 0644 is more than max_mode of /etc/tokend-policy.hcl:9, 0640"},
		{[]string{"path", run + "/trader/a.token", "mode", "4600"}, "is more than"},
		{[]string{"path", run + "/trader/a.token", "mode", "x"}, "is more than"},
		{[]string{"path", run + "/a", "dir_mode", "0755"}, "dir_mode 0755 is more than"},
		{[]string{"path", run + "/a", "owner", "root"}, `owner "root" is not allowed, since /etc/tokend-policy.hcl:2 has no owners`},
		{[]string{"path", run + "/trader/a.token", "owner", "root", "group", "anybody"}, ""},
		{[]string{"path", run + "/trader/a.token", "owner", "0"}, ""},
		{[]string{"path", run + "/trader/a.token", "owner", "00"}, ""},
		{[]string{"path", run + "/trader/a.token", "owner", "nobody"}, `owner "nobody" is not among the owners of /etc/tokend-policy.hcl:7`},
		{[]string{"path", run + "/trader/a/b.token", "owner", "root"}, "owners"}, // no block allows both
	} {
		want(t, strings.Join(c.args, " "), p.Sink("file", args(c.args...)), c.refusal)
	}
	want(t, "another kind", p.Sink("env", args("path", run+"/a")), `/etc/tokend-policy.hcl has no block that allows sink "env"`)
	want(t, "an unknown kind", p.Sink("kubernetes_secret", args()), "has no block that allows")
}

func TestCommands(t *testing.T) {
	bin := t.TempDir()
	program := filepath.Join(bin, "pass")
	for _, f := range []string{program, filepath.Join(bin, "busy")} {
		if err := os.WriteFile(f, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(bin, "busy"), filepath.Join(bin, "rm")); err != nil {
		t.Fatal(err)
	}
	p, diags := policy.Parse("p", []byte(`
secret "exec" {
  commands = [["`+program+`", "show", "team/*"], ["`+bin+`/busy"]]
  env      = ["PASSWORD_STORE_*"]
}
hook "exec" {
  commands = [["/usr/sbin/nginx", "-t"], ["/usr/sbin/nginx", "-s", "..."]]
}
`), policy.Options{Dir: "/etc/tokend", Path: bin})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for _, c := range []struct {
		argv    []string
		refusal string
	}{
		{[]string{program, "show", "team/a/b"}, ""},
		{[]string{"pass", "show", "team/a"}, ""},
		{[]string{"pass", "show", "team/"}, ""},
		{[]string{"pass", "show", "mine"}, "pass show mine is not among the commands of p:3"},
		{[]string{"pass", "show", "team/a", "--more"}, "is not among the commands"},
		{[]string{"pass", "show"}, "is not among the commands"},
		{[]string{"pass", "rm", "team/a"}, "is not among the commands"},
		{[]string{"./pass", "show", "team/a"}, "/etc/tokend/pass show team/a is not among"},
		{[]string{bin + "/../" + filepath.Base(bin) + "/pass", "show", "team/a"}, ""},
		{[]string{"nothere"}, "is not in PATH"},
		{[]string{bin + "/rm"}, "is not among the commands"},
		{[]string{"busy"}, ""},
		{[]string{""}, "command cannot be told"},
	} {
		want(t, strings.Join(c.argv, " "), p.Secret("exec", argv("command", c.argv...)), c.refusal)
	}
	with := func(env ...string) spec.Values {
		m := map[string]cty.Value{}
		for _, n := range env {
			m[n] = cty.StringVal("x")
		}
		return argv("command", "busy").With("env", cty.MapVal(m))
	}
	want(t, "env", p.Secret("exec", with("PASSWORD_STORE_DIR")), "")
	want(t, "env", p.Secret("exec", with("PASSWORD_STORE_DIR", "LD_PRELOAD")), "the variable LD_PRELOAD is not among the env of p:4")
	want(t, "env", p.Secret("exec", with("PATH")), "the variable PATH")
	want(t, "env", p.Secret("exec", argv("command", "busy").With("env", cty.UnknownVal(cty.Map(cty.String)))), "env cannot be told")

	want(t, "hook", p.Hook("exec", argv("command", "/usr/sbin/nginx", "-s", "reload", "-q")), "")
	want(t, "hook", p.Hook("exec", argv("command", "/usr/sbin/nginx", "-s")), "")
	want(t, "hook", p.Hook("exec", argv("command", "/usr/sbin/nginx", "-c", "/tmp/x")), "is not among the commands")
	want(t, "hook's check", p.Hook("exec", argv("command", "/usr/sbin/nginx", "-t").With("check", cty.ListVal([]cty.Value{cty.StringVal("/bin/sh")}))), "/bin/sh")
}

func TestOthers(t *testing.T) {
	p := parse(t, "/etc/tokend", `
secret "file" { paths = ["/etc/tokend-secrets/*"] }
secret "env" { names = ["TOKEND_*"] }
secret "vault_kv" { paths = ["kv/trading/**"] }
sink "vault_kv" { paths = ["kv/delivered/**", "other/**"] }
vault {
  addresses = ["https://vault.example.com:8200", "https://*.vault.example.com"]
  mounts    = ["kv", "approle"]
}
provider "coinify" { origins = ["https://app-api.coinify.com"] }
provider "*" {
  origins = ["https://id.example.com"]
  proxies = ["http://proxy.example.com:3128"]
}
provider_type "acme" {}
hook "systemd" { units = ["trader@*.service"] }
hook "signal" {
  pid_files = ["/run/*.pid"]
  signals   = ["HUP"]
}
read { paths = ["/usr/share/tokend/**"] }
state {
  paths               = ["/var/lib/tokend"]
  systemd_credentials = ["state.*"]
}
`)
	for _, c := range []struct {
		what    string
		err     error
		refusal string
	}{
		{"secret file", p.Secret("file", args("path", "/etc/tokend-secrets/a")), ""},
		{"secret file", p.Secret("file", args("path", "/etc/shadow")), "/etc/shadow is not among the paths of /etc/tokend-policy.hcl:2"},
		{"secret env", p.Secret("env", args("name", "TOKEND_X")), ""},
		{"secret env", p.Secret("env", args("name", "AWS_SECRET")), "names"},
		{"secret systemd", p.Secret("systemd", args("name", "x")), `no block that allows secret "systemd"`},
		{"kv", p.Secret("vault_kv", args("mount", "kv", "path", "trading/a")), ""},
		{"kv", p.Secret("vault_kv", args("mount", "kv", "path", "trading/../root")), "kv/root"},
		{"kv", p.Secret("vault_kv", args("mount", "kv/", "path", "/trading/a")), ""},
		{"kv", p.Sink("vault_kv", args("mount", "kv", "path", "trading/a")), "kv/trading/a is not among the paths"},
		{"kv", p.Sink("vault_kv", args("mount", "other", "path", "x")), `mount "other" is not among the mounts of /etc/tokend-policy.hcl:8`},
		{"vault", p.Vault("https://vault.example.com:8200/", "", ""), ""},
		{"vault", p.Vault("https://eu.vault.example.com", "", ""), ""},
		{"vault", p.Vault("https://evil.example/x.vault.example.com", "", ""), "addresses"},
		{"vault", p.Vault("https://evil.example@vault.example.com:8201", "", ""), "addresses"},
		{"vault", p.Vault("http://vault.example.com:8200", "", ""), "addresses"},
		{"origin", p.Origin("coinify", "https://app-api.coinify.com"), ""},
		{"origin", p.Origin("coinify", "https://APP-api.coinify.com:443"), ""},
		{"origin", p.Origin("coinify", "https://app-api.coinify.com:8443"), "is not among the origins"},
		{"origin", p.Origin("coinify", "https://app-api.coinify.com.evil.example"), "is not among the origins"},
		{"origin", p.Origin("coinify", "https://app-apİ.coinify.com"), "is not among the origins"}, // which DNS does not take for an i
		{"origin", p.Origin("oauth2", "https://id.example.com:443"), ""},
		{"origin", p.Origin("oauth2", "https://app-api.coinify.com"), "is not among the origins"},
		{"proxy", p.Proxy("oauth2", "http://proxy.example.com:3128"), ""},
		{"proxy", p.Proxy("oauth2", "http://evil.example:3128"), "is not among the proxies"},
		{"type", p.Type("acme"), ""},
		{"type", p.Type("coinify"), `no block that allows provider_type "coinify"`},
		{"unit", p.Hook("systemd", args("unit", "trader@alice")), ""},
		{"unit", p.Hook("systemd", args("unit", "sshd", "action", "stop")), `"sshd.service" is not among the units`},
		{"signal", p.Hook("signal", args("pid_file", "/run/x.pid")), ""},
		{"signal", p.Hook("signal", args("pid_file", "/run/x.pid", "signal", "KILL")), `"KILL" is not among the signals`},
		{"signal", p.Hook("signal", args("pid_file", "/tmp/x.pid")), "is not among the pid_files"},
		{"read", p.Read("/usr/share/tokend/a/b"), ""},
		{"read", p.Read("/etc/tokend/a.tmpl"), ""},
		{"read", p.Read("a.tmpl"), ""},
		{"read", p.Read("../shadow"), "/etc/shadow is not among the paths"},
		{"read", p.Read("/etc/tokend-secrets/a"), "is not among the paths"},
		{"read outside", p.ReadOutside("/etc/tokend/ca.pem"), "is not among the paths"},
		{"state", p.State("/var/lib/tokend"), ""},
		{"state", p.State("/tmp/state"), "is not among the paths"},
		{"state's key", p.StateKey("state.key"), ""},
		{"state's key", p.StateKey("other.key"), `"other.key" is not among the systemd_credentials`},
		{"mount", p.Mount("approle/"), ""},
		{"mount", p.Mount("transit"), "mounts"},
	} {
		want(t, c.what, c.err, c.refusal)
	}
	empty := parse(t, "/etc/tokend", "")
	for what, err := range map[string]error{
		"secret": empty.Secret("file", args("path", "/x")), "sink": empty.Sink("file", args("path", "/x")), "hook": empty.Hook("exec", argv("command", "/x")),
		"origin": empty.Origin("coinify", "https://x"), "vault": empty.Vault("https://x", "", ""), "mount": empty.Mount("kv"), "type": empty.Type("x"), "read": empty.Read("/x"), "state": empty.State("/x"),
		"state's key": empty.StateKey("state.key"),
	} {
		want(t, what, err, "/etc/tokend-policy.hcl has no block that allows")
	}
}

// A link in the configuration's directory is not the directory.
func TestReadFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "innocent.tmpl")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir, dir+"-link"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.tmpl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := parse(t, dir+"-link", "")
	want(t, "a link out of it", p.Read("innocent.tmpl"), "reading "+dir+"-link/innocent.tmpl (which leads to /etc/passwd)")
	want(t, "a file behind the link to it", p.Read("a.tmpl"), "")
}

func TestBadPolicies(t *testing.T) {
	for text, wanted := range map[string]string{
		`sink "file" {`:                                       "Unclosed",
		`sinks "file" {}`:                                     "Unsupported block type",
		`sink "files" {}`:                                     `There is no sink of kind "files"; the kinds are env, file, vault_kv`,
		`sink "file" { path = ["/x"] }`:                       "Unsupported argument",
		`sink "file" { paths = "/x" }`:                        "a list of texts is needed",
		`sink "file" { paths = [1] }`:                         "a list of texts is needed",
		`sink "file" { paths = ["x"] }`:                       "not an absolute path",
		`sink "file" { paths = ["/run/../etc/*"] }`:           "not an absolute path",
		`sink "file" { paths = ["/x[" ] }`:                    "not an absolute path",
		`sink "file" { max_mode = 640 }`:                      "octal",
		`sink "file" { max_mode = "0999" }`:                   "octal",
		`hook "exec" { commands = ["nginx"] }`:                "a list of words",
		`hook "exec" { commands = [["nginx"]] }`:              "not an absolute path",
		`hook "exec" { commands = [[]] }`:                     "a list of words",
		`provider "x" { origins = ["https://a/b"] }`:          "not of the form",
		`provider "x" { origins = ["a.example.com"] }`:        "not of the form",
		`vault { addresses = ["https://u:p@a.example.com"] }`: "not of the form",
		`secret "vault_kv" { paths = ["/kv/x"] }`:             "not a mount and a path",
		`secret "env" { names = [""] }`:                       "allows nothing",
		`read { paths = [var.x] }`:                            "Variables not allowed",
	} {
		_, diags := policy.Parse("p", []byte(text), policy.Options{Dir: "/"})
		if !diags.HasErrors() || !strings.Contains(diags.Error(), wanted) {
			t.Errorf("%s: %v, want %q", text, diags, wanted)
		}
		for _, d := range diags {
			if d.Severity == hcl.DiagError && d.Subject == nil {
				t.Errorf("%s: %q has no place", text, d.Summary)
			}
		}
	}
}

func TestTrusted(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "policy.hcl")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	chmod := func(path string, m os.FileMode) {
		if err := os.Chmod(path, m); err != nil {
			t.Fatal(err)
		}
	}
	chmod(dir, 0o755)
	want(t, "ours", policy.Trusted(file), "")
	chmod(file, 0o620)
	want(t, "group may write", policy.Trusted(file), "mode 0620")
	chmod(file, 0o602)
	want(t, "others may write", policy.Trusted(file), "mode 0602")
	chmod(file, 0o644)
	chmod(dir, 0o777)
	want(t, "others may replace it", policy.Trusted(file), "mode 0777")
	chmod(dir, 0o777|os.ModeSticky)
	want(t, "sticky", policy.Trusted(file), "")
	want(t, "not there", policy.Trusted(file+"x"), "no such file")
	if os.Geteuid() == 0 {
		if err := os.Chown(file, 12345, 0); err != nil {
			t.Fatal(err)
		}
		want(t, "another's", policy.Trusted(file), "belongs to user 12345")
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(file, link); err != nil {
			t.Fatal(err)
		}
		want(t, "a link to another's", policy.Trusted(link), "belongs to user 12345")
	}
}
