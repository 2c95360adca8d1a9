package vault_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"tokend/pkg/vault"
)

// A write that Vault itself has refused, or before which something else was, has
// changed nothing. What anybody else says proves nothing, nor does a failure.
func TestARefusedWriteHasWrittenNothing(t *testing.T) {
	const ours = `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`
	for name, c := range map[string]struct {
		first  string // method and path of the request that is answered so
		status int
		body   string
		there  bool // a secret is there, and its custom metadata is written before the data
		unsent bool
	}{
		"Vault denies it":             {"PUT kv/data/new", 403, ours, false, true},
		"Vault finds it malformed":    {"PUT kv/data/new", 400, `{"errors":["no data provided"]}`, false, true},
		"Vault has no such route":     {"PUT kv/data/new", 404, `{"errors":["no handler for route"]}`, false, true},
		"Vault does not support it":   {"PUT kv/data/new", 405, `{"errors":["1 error occurred:\n\t* unsupported operation\n\n"]}`, false, true},
		"what stands cannot be seen":  {"GET kv/metadata/new", 500, `{"errors":["internal error"]}`, false, true},
		"Vault denies it, afterwards": {"PUT kv/data/new", 403, ours, true, false},
		"somebody else came first":    {"PUT kv/data/new", 400, `{"errors":["check-and-set parameter did not match the current version"]}`, false, false},
		"Vault fails in the midst":    {"PUT kv/data/new", 500, `{"errors":["internal error"]}`, false, false},
		"a proxy's page":              {"PUT kv/data/new", 403, `<html>denied</html>`, false, false},
		"a gateway's JSON":            {"PUT kv/data/new", 403, `{"message":"denied"}`, false, false},
		"another gateway's JSON":      {"PUT kv/data/new", 403, `{"errors":[{"message":"denied"}]}`, false, false},
		"an empty list":               {"PUT kv/data/new", 403, `{"errors":[]}`, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			f, address := startFake(t)
			p, _, _ := newPool(t, byAppRole(address, "r", "s"))
			f.set(func(w http.ResponseWriter, method, path, _ string) bool {
				switch {
				case method+" "+path == c.first:
					w.WriteHeader(c.status)
					_, _ = io.WriteString(w, c.body)
				case c.there && strings.HasPrefix(path, "kv/metadata/"):
					reply(w, 200, map[string]any{"data": map[string]any{"current_version": 1, "versions": map[string]any{"1": map[string]any{"created_time": "2026-01-02T03:04:05Z"}}}})
				default:
					return false
				}
				return true
			})
			_, err := client(t, p).WriteKV(t.Context(), "kv", "new", map[string]any{"a": "b"}, vault.KVWrite{Custom: map[string]string{"managed-by": "tokend"}})
			if err == nil || errors.Is(err, vault.ErrUnsent) != c.unsent {
				t.Errorf("the error is %v; known to have written nothing: %v", err, errors.Is(err, vault.ErrUnsent))
			}
			if f.count(c.first) != 1 {
				t.Errorf("%s was sent %d times", c.first, f.count(c.first))
			}
		})
	}
}
