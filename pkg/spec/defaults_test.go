package spec

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// defaultOf is the default that a schema says of an argument, by its path.
func defaultOf(t *testing.T, sc Schema, path string) string {
	t.Helper()
	parts := strings.Split(path, ".")
	for _, p := range parts[:len(parts)-1] {
		nb := sc.nested(p)
		if nb == nil {
			t.Fatalf("no block %s in %s", p, path)
		}
		sc = nb.Schema
	}
	a := sc.attr(parts[len(parts)-1])
	if a == nil {
		t.Fatalf("no argument %s", path)
	}
	return a.Default
}

// The defaults that the schema says, and with it the documentation, are those
// that hold when nothing is written. Every default of the schema is looked at.
func TestDefaultsHold(t *testing.T) {
	c := mustLoad(t, `
secret "file" "pw" { path = "pw" }
credential "apirone" "x" {
  grant    = "login"
  login    = "x"
  password = secret.file.pw.value
  verify { path = "/me" }
}
vault "main" {
  address = "https://vault.example"
  auth "token" { token = secret.file.pw.value }
}
tokend {
  state {
    transit { key = "k" }
  }
}
`)
	s := c.Settings()
	cr, err := c.Credential("credential.apirone.x")
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Provider("provider.apirone.default", Scope{})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []struct {
		name   string
		schema Schema
		holds  map[string]any
	}{
		{"tokend", SettingsSchema(), map[string]any{
			"state.path":          nil, // which the command applies, because the environment goes before it
			"state.transit.mount": s.State.Transit.Mount, "guard.max_revocations": s.Guard.MaxRevocations, "guard.max_revoked_percent": s.Guard.MaxRevokedPercent,
			"guard.settle": s.Guard.Settle, "defaults.refresh.at": s.Refresh.At, "defaults.refresh.jitter": s.Refresh.Jitter,
			"defaults.refresh.min_remaining": s.Refresh.MinRemaining, "defaults.retry.initial": s.Retry.Initial, "defaults.retry.max": s.Retry.Max,
		}},
		{"credential", CredentialSchema(), map[string]any{
			"expose_refresh_token": cr.ExposeRefreshToken, "refresh.at": cr.Refresh.At, "refresh.jitter": cr.Refresh.Jitter, "refresh.min_remaining": cr.Refresh.MinRemaining,
			"retry.initial": cr.Retry.Initial, "retry.max": cr.Retry.Max, "lifecycle.on_remove": cr.Lifecycle.OnRemove, "lifecycle.prevent_destroy": cr.Lifecycle.PreventDestroy,
			"lifecycle.overlap": cr.Lifecycle.Overlap, "lifecycle.max_overlap": cr.Lifecycle.MaxOverlap, "lifecycle.revoke_on_shutdown": cr.Lifecycle.RevokeOnShutdown,
			"verify.every": cr.Verify.Every,
		}},
		{"provider", ProviderSchema(), map[string]any{
			"allow_insecure_http": p.AllowInsecureHTTP, "http.timeout": p.HTTP.Timeout, "rate_limit.per": p.RateLimit.Per, "rate_limit.concurrency": p.RateLimit.Concurrency,
		}},
	} {
		for path, holds := range part.holds {
			want := defaultOf(t, part.schema, path)
			if d, ok := holds.(time.Duration); ok {
				said, err := time.ParseDuration(want)
				if err != nil || said != d {
					t.Errorf("%s %s: the schema says %q, what holds is %s", part.name, path, want, d)
				}
				continue
			}
			if holds != nil && fmt.Sprint(holds) != want {
				t.Errorf("%s %s: the schema says %q, what holds is %v", part.name, path, want, holds)
			}
		}
		for _, path := range defaultPaths(part.schema, "") {
			if _, ok := part.holds[path]; !ok {
				t.Errorf("%s %s has a default that nothing looks at", part.name, path)
			}
		}
	}
}

// defaultPaths lists the arguments of a schema that have a default.
func defaultPaths(sc Schema, prefix string) []string {
	var out []string
	for i := range sc.Attrs {
		if sc.Attrs[i].Default != "" {
			out = append(out, prefix+sc.Attrs[i].Name)
		}
	}
	for i := range sc.Blocks {
		out = append(out, defaultPaths(sc.Blocks[i].Schema, prefix+sc.Blocks[i].Name+".")...)
	}
	return out
}
