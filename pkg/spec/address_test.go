package spec

import (
	"testing"

	"pgregory.net/rapid"
)

func TestParseAddress(t *testing.T) {
	for in, want := range map[string]Address{
		"coinify.trader":                            "credential.coinify.trader",
		"credential.coinify.trader":                 "credential.coinify.trader",
		` coinify.trader["alice"] `:                 `credential.coinify.trader["alice"]`,
		`credential.coinify.trader[ "al\u0069ce" ]`: `credential.coinify.trader["alice"]`,
		"coinify.trader[0]":                         "credential.coinify.trader[0]",
		`sink.file.x["a.b"]`:                        `sink.file.x["a.b"]`,
		`sink.file.x["a\"b"]`:                       `sink.file.x["a\"b"]`,
		`sink.file.x["$${a}"]`:                      `sink.file.x["$${a}"]`,
		`sink.file.x["$5"]`:                         `sink.file.x["$5"]`,
		"secret.file.pw":                            "secret.file.pw",
		"provider.coinify.default":                  "provider.coinify.default",
		"vault.main":                                "vault.main",
		"hook.exec.nginx":                           "hook.exec.nginx",
	} {
		got, err := ParseAddress(in)
		if err != nil || got != want {
			t.Errorf("ParseAddress(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "trader", "a.b.c.d", "sink.file", "vault", "vault.a.b", `hook.exec.x["a"]`, `coinify.trader[`,
		`coinify.trader["${x}"]`, "coinify.trader[-1]", "coinify.trader[1.5]", `coinify.trader["a"].access_token`, "coinify trader", "coinify.trader[*]"} {
		if got, err := ParseAddress(in); err == nil {
			t.Errorf("ParseAddress(%q) = %q, want an error", in, got)
		}
	}
}

// TestAddressRoundTrip: what is written is read back as the same thing, and as
// the same text.
func TestAddressRoundTrip(t *testing.T) {
	ident := rapid.StringMatching(`[a-zA-Z_][a-zA-Z0-9_-]{0,8}`)
	rapid.Check(t, func(t *rapid.T) {
		p := parsed{kind: rapid.SampledFrom([]string{kindCredential, kindSink, kindSecret, kindProvider, kindVault, kindHook}).Draw(t, "kind")}
		p.label = ident.Draw(t, "label")
		if addressParts(p.kind) == 2 {
			p.typ = ident.Draw(t, "type")
		}
		if expands(p.kind) {
			switch rapid.IntRange(0, 2).Draw(t, "key") {
			case 1:
				// Keys are values of expressions, whose strings are normalized.
				v, ok := keyOf(instKey{kind: strKey, str: rapid.String().Draw(t, "string")}.value())
				if ok {
					p.key = v
				}
			case 2:
				p.key = instKey{kind: numKey, num: rapid.IntRange(0, 1<<30).Draw(t, "number")}
			}
		}
		a := p.address()
		back, err := ParseAddress(string(a))
		if err != nil || back != a {
			t.Fatalf("ParseAddress(%q) = %q, %v", a, back, err)
		}
		q, err := parseAddress(string(a))
		if err != nil || q != p {
			t.Fatalf("parseAddress(%q) = %+v, %v; want %+v", a, q, err, p)
		}
		if a.Kind() != p.kind {
			t.Fatalf("Kind() = %q", a.Kind())
		}
		short, err := ParseAddress(a.Short())
		if err != nil || short != a {
			t.Fatalf("ParseAddress(%q) = %q, %v", a.Short(), short, err)
		}
	})
}
