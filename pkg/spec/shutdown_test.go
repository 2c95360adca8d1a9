package spec

import "testing"

func TestWhoMayRevokeOnShutdown(t *testing.T) {
	const open = "secret \"env\" \"p\" { name = \"P\" }\ncredential \"apirone\" \"a\" {\n  grant = \"login\"\n  login = \"a\"\n  password = secret.env.p.value\n"
	const inJSON = `{"credential": {"apirone": {"a": {"grant": "login", "login": "a", "password": "${secret.env.p.value}"`
	for _, c := range []struct {
		name, file, text string
		says, may        bool
	}{
		{"nobody", "main.hcl", open + "}\n", false, false},
		{"one", "main.hcl", open + "  lifecycle { revoke_on_shutdown = true }\n}\n", true, true},
		{"by a dynamic block", "main.hcl", open + "  dynamic \"lifecycle\" {\n    for_each = [1]\n    content { revoke_on_shutdown = true }\n  }\n}\n", true, true},
		{"nobody in JSON", "main.hcl.json", inJSON + `}}}, "secret": {"env": {"p": {"name": "P"}}}}`, false, false},
		{"one in JSON", "main.hcl.json", inJSON + `, "lifecycle": {"revoke_on_shutdown": true}}}}, "secret": {"env": {"p": {"name": "P"}}}}`, true, true},
		{"with an escape", "main.hcl.json", inJSON + `, "lifecycle": {"revoke_on_shutd\u006fwn": true}}}}, "secret": {"env": {"p": {"name": "P"}}}}`, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, diags := LoadFiles("/etc/tokend", map[string][]byte{c.file: []byte(c.text)}, testOptions())
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			x, err := cfg.Credential("credential.apirone.a")
			if err != nil {
				t.Fatal(err)
			}
			if says, may := x.Lifecycle.RevokeOnShutdown, cfg.MayRevokeOnShutdown(); says != c.says || may != c.may {
				t.Errorf("it says %v, and may be so: %v", says, may)
			}
		})
	}
}
