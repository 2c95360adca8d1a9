package vault_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
	"tokend/pkg/vault"
)

// fake is a Vault that answers as a test says. Its own answers are those of a
// Vault with one approle and tokens of a given life.
type fake struct {
	mu     sync.Mutex
	calls  []string // "PUT auth/approle/login"
	at     []time.Time
	tokens int
	ttl    int
	// answer may answer a request; false leaves it to the fake.
	answer func(w http.ResponseWriter, method, path, body string) bool
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	f.mu.Lock()
	f.calls, f.at = append(f.calls, r.Method+" "+path), append(f.at, time.Now())
	answer, ttl := f.answer, f.ttl
	f.mu.Unlock()
	if answer != nil && answer(w, r.Method, path, string(b)) {
		return
	}
	switch {
	case strings.HasSuffix(path, "/login"):
		f.mu.Lock()
		f.tokens++
		n := f.tokens
		f.mu.Unlock()
		reply(w, 200, map[string]any{"auth": map[string]any{"client_token": fmt.Sprintf("canary-token-%d", n), "lease_duration": ttl, "renewable": true}})
	case path == "auth/token/renew-self":
		reply(w, 200, map[string]any{"auth": map[string]any{"client_token": "same", "lease_duration": ttl, "renewable": true}})
	case path == "auth/token/lookup-self":
		reply(w, 200, map[string]any{"data": map[string]any{"ttl": ttl, "creation_ttl": ttl, "renewable": true}})
	case strings.HasPrefix(path, "sys/internal/ui/mounts/"):
		reply(w, 200, map[string]any{"data": map[string]any{"type": "kv", "path": "kv/", "options": map[string]any{"version": "2"}}})
	case path == "kv/data/x" && r.Method == http.MethodGet:
		reply(w, 200, map[string]any{"data": map[string]any{"data": map[string]any{"a": "b"}, "metadata": map[string]any{"version": 1, "created_time": "2026-01-02T03:04:05Z"}}})
	default:
		reply(w, 404, map[string]any{"errors": []string{}})
	}
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, status int, texts ...string) bool {
	reply(w, status, map[string]any{"errors": texts})
	return true
}

func (f *fake) set(answer func(w http.ResponseWriter, method, path, body string) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

// count says how often a call was made.
func (f *fake) count(call string) int { return len(f.times(call)) }

// times says when a call was made.
func (f *fake) times(call string) []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []time.Time
	for i, c := range f.calls {
		if c == call {
			out = append(out, f.at[i])
		}
	}
	return out
}

const login = "PUT auth/approle/login"

// startFake serves a fake on a port of its own.
func startFake(t *testing.T) (*fake, string) {
	t.Helper()
	f := &fake{ttl: 3600}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return f, s.URL
}

func TestAnswersAreClassified(t *testing.T) {
	tests := map[string]struct {
		status int
		body   string
		class  error
		says   string
	}{
		"sealed":             {503, `{"errors":["Vault is sealed"]}`, vault.ErrSealed, "vault operator unseal"},
		"sealed as 500":      {500, `{"errors":["error performing token check: Vault is sealed"]}`, vault.ErrSealed, "vault operator unseal"},
		"not initialized":    {501, `{"errors":["Vault is not initialized"]}`, vault.ErrSealed, "vault operator unseal"},
		"standby":            {500, `{"errors":["local node not active but active cluster node not found"]}`, vault.ErrStandby, "active node or a load balancer"},
		"standby of another": {473, `{}`, vault.ErrStandby, "active node or a load balancer"},
		"denied":             {403, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`, vault.ErrDenied, `"read" on "kv/data/x"`},
		"not found":          {404, `{"errors":[]}`, vault.ErrNotFound, "there is no such secret"},
		"check and set":      {400, `{"errors":["check-and-set parameter did not match the current version"]}`, vault.ErrCASMismatch, "check-and-set"},
		"malformed":          {400, `{"errors":["missing \u0007 thing","and another"]}`, vault.ErrInvalid, "missing   thing; and another"},
		"unsupported":        {405, `{"errors":["1 error occurred:\n\t* unsupported operation\n\n"]}`, vault.ErrInvalid, "unsupported operation"},
		"upgrading":          {400, `{"errors":["Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period and will resume service shortly."]}`, vault.ErrUnreachable, "in a moment"},
		"quota":              {429, `{"errors":["request path \"kv\": rate limit quota exceeded"]}`, vault.ErrThrottled, "quota exceeded"},
		"behind":             {412, `{"errors":["required index state not present"]}`, vault.ErrUnreachable, "status 412"},
		"internal":           {500, `{"errors":["1 error occurred:\n\t* internal error\n\n"]}`, vault.ErrUnreachable, "see Vault's own log"},
		"maintenance":        {503, `<html>canary is down for maintenance</html>`, vault.ErrUnreachable, "see whether a proxy"},
		"gateway":            {502, `<html>canary</html>`, vault.ErrUnreachable, "status 502"},
		"gateway timeout":    {504, ``, vault.ErrUnreachable, "status 504"},
		"login page":         {200, `<html>canary, please log in</html>`, vault.ErrUnreadable, "check that address is a Vault server's"},
		"foreign refusal":    {418, `canary`, vault.ErrUnreadable, "status 418"},
		"cut":                {200, `{"data":{"data":{"a":"can`, vault.ErrUnreadable, "not the JSON"},
		"empty":              {200, ``, vault.ErrNotFound, ""},
		"wrong types":        {200, `{"data":"canary"}`, vault.ErrUnreadable, "not the JSON"},
		"no metadata":        {200, `{"data":{"data":{"a":"canary"}}}`, vault.ErrUnreadable, "no metadata"},
		"very large":         {200, `{"data":{"data":{"a":"` + strings.Repeat("x", 17<<20), vault.ErrUnreadable, "larger than 16 MiB"},
		"long":               {400, `{"errors":["` + strings.Repeat("y", 5000) + `"]}`, vault.ErrInvalid, "yyy…"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f, address := startFake(t)
			p, _, j := newPool(t, byAppRole(address, "canary-role", "canary-secret"))
			c := client(t, p)
			f.set(func(w http.ResponseWriter, method, path, _ string) bool {
				if !strings.HasPrefix(path, "kv/") {
					return false
				}
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
				return true
			})
			_, _, err := c.ReadKV(t.Context(), "kv", "x", 0)
			if !errors.Is(err, tt.class) || errors.Is(err, vault.ErrLogin) {
				t.Fatalf("error = %v, want %v", err, tt.class)
			}
			for _, want := range []string{"reading kv/x at vault.main", address, tt.says} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error()+j.String(), "canary") || len(err.Error()) > 700 {
				t.Errorf("the error shows too much: %v", err)
			}
			if n := f.count("GET kv/data/x"); n != 1 {
				t.Errorf("it was sent %d times, want once", n)
			}
		})
	}
}

func TestAQuotaSaysHowLong(t *testing.T) {
	f, address := startFake(t)
	p, _, _ := newPool(t, byAppRole(address, "r", "s"))
	c := client(t, p)
	after := "7"
	f.set(func(w http.ResponseWriter, _, path, _ string) bool {
		w.Header().Set("Retry-After", after)
		return strings.HasPrefix(path, "kv/") && refuse(w, 429, "quota exceeded")
	})
	for given, want := range map[string]time.Duration{"7": 7 * time.Second, "": time.Second, "canary": time.Second, "9999999": time.Hour} {
		after = given
		_, _, err := c.ReadKV(t.Context(), "kv", "x", 0)
		var e *vault.Error
		if !errors.As(err, &e) || e.RetryAfter != want {
			t.Errorf("Retry-After %q: %v, want %s", given, err, want)
		}
	}
}

func TestWhatCannotBeReached(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	hang := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	t.Cleanup(func() { close(hang); slow.Close() })
	plain := httptest.NewServer(&fake{})
	t.Cleanup(plain.Close)

	late := byAppRole(slow.URL, "r", "s")
	late.Timeout = 30 * time.Millisecond
	for name, tt := range map[string]struct {
		settings vault.Settings
		says     string
	}{
		"closed port":   {byAppRole("http://"+closed.Addr().String(), "r", "s"), "connection refused"},
		"no such host":  {byAppRole("http://no-such-host.invalid:8200", "r", "s"), "check the host name"},
		"self-signed":   {byAppRole(secure.URL, "r", "s"), "set ca_file"},
		"https to http": {byAppRole(strings.Replace(plain.URL, "http", "https", 1), "r", "s"), "should begin with http://"},
		"no answer":     {late, "no answer within 30ms"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _, _ := newPool(t, tt.settings)
			_, err := p.Client(t.Context(), main)
			if !errors.Is(err, vault.ErrUnreachable) || !errors.Is(err, vault.ErrLogin) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error = %v, want ErrUnreachable with %q", err, tt.says)
			}
		})
	}
}

func TestSettingsAreChecked(t *testing.T) {
	block := func(kind string, args map[string]cty.Value) *spec.Block {
		return &spec.Block{Addr: main, Kind: kind, Args: spec.NewValues(args)}
	}
	str := cty.StringVal
	for name, tt := range map[string]struct {
		block *spec.Block
		says  string
	}{
		"no address":     {block("token", nil), "address is missing"},
		"no scheme":      {block("token", map[string]cty.Value{"address": str("vault:8200")}), "must be a URL"},
		"other scheme":   {block("token", map[string]cty.Value{"address": str("unix:///run/vault")}), "must be a URL"},
		"password":       {block("token", map[string]cty.Value{"address": str("https://u:canary@vault:8200")}), "must not contain a user"},
		"query":          {block("token", map[string]cty.Value{"address": str("https://vault:8200/?x=canary")}), "must not contain ?"},
		"half a pair":    {block("token", map[string]cty.Value{"address": str("https://vault"), "client_key_file": str("/k")}), "go together"},
		"no auth":        {block("", map[string]cty.Value{"address": str("https://vault")}), "an auth block is missing"},
		"unknown auth":   {block("ldap", map[string]cty.Value{"address": str("https://vault")}), `no auth kind "ldap"`},
		"timeout":        {block("token", map[string]cty.Value{"address": str("https://vault"), "timeout": str("soon")}), "is not a duration"},
		"secret address": {block("token", map[string]cty.Value{"address": hidden("https://canary")}), "is sensitive"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := vault.SettingsFrom(tt.block)
			if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "vault.main") || strings.Contains(err.Error(), "canary") {
				t.Errorf("error = %v, want %q and no secret", err, tt.says)
			}
		})
	}
	got, err := vault.SettingsFrom(block("approle", map[string]cty.Value{
		"address": str("https://vault:8200"), "namespace": str("ns"), "ca_file": str("/ca"), "timeout": str("3s"),
		"auth": cty.ObjectVal(map[string]cty.Value{"role_id": hidden("r")}),
	}))
	if err != nil || got.Address != "https://vault:8200" || got.Namespace != "ns" || got.CAFile != "/ca" || got.Timeout != 3*time.Second || got.AuthKind != "approle" || !got.Auth.Has("role_id") {
		t.Errorf("SettingsFrom = %+v, %v", got, err)
	}
}

func TestTheEnvironmentIsNotUsed(t *testing.T) {
	var mu sync.Mutex
	var seen []http.Header
	f := &fake{ttl: 3600}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.Header.Clone())
		mu.Unlock()
		f.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	for name, value := range map[string]string{
		"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_AGENT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": "canary-env", "VAULT_NAMESPACE": "canary-env",
		"VAULT_HEADERS": `{"X-Canary":"canary-env"}`, "VAULT_WRAP_TTL": "60", "VAULT_SKIP_VERIFY": "true", "VAULT_MAX_RETRIES": "9",
		"VAULT_PROXY_ADDR": "http://127.0.0.1:1", "VAULT_HTTP_PROXY": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1", "VAULT_RATE_LIMIT": "0.001:1", "VAULT_CLIENT_TIMEOUT": "1",
	} {
		t.Setenv(name, value)
	}
	settings := byAppRole(s.URL, "r", "s")
	settings.Namespace = "own/ns"
	p, _, _ := newPool(t, settings)
	if _, _, err := client(t, p).ReadKV(t.Context(), "kv", "x", 0); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	for _, h := range seen {
		if text := fmt.Sprint(h); strings.Contains(text, "canary-env") || h.Get("X-Vault-Wrap-Ttl") != "" || h.Get("X-Vault-Namespace") != "own/ns" {
			t.Errorf("a request has the headers %v", h)
		}
	}
	mu.Unlock()
	secure := httptest.NewTLSServer(f)
	t.Cleanup(secure.Close)
	other, _, _ := newPool(t, byAppRole(secure.URL, "r", "s"))
	if _, err := other.Client(t.Context(), main); !errors.Is(err, vault.ErrUnreachable) || !strings.Contains(err.Error(), "set ca_file") {
		t.Errorf("VAULT_SKIP_VERIFY was heeded: %v", err)
	}
	t.Setenv("VAULT_CACERT", "/no/such/file")
	broken, _, _ := newPool(t, byAppRole(s.URL, "r", "s"))
	if _, err := broken.Client(t.Context(), main); err == nil || !strings.Contains(err.Error(), "unset it") {
		t.Errorf("a variable that Vault's library stops at: %v", err)
	}
}

func TestARedirectOfAStandbyIsFollowedOnce(t *testing.T) {
	active, activeURL := startFake(t)
	standby := startStandby(t, activeURL, namesLeader(activeURL))
	p, _, _ := newPool(t, byAppRole(standby.URL, "r", "s"))
	if _, _, err := client(t, p).ReadKV(t.Context(), "kv", "x", 0); err != nil || active.count(login) != 1 {
		t.Errorf("through a standby: %v, %d logins", err, active.count(login))
	}
	secure := httptest.NewTLSServer(standbyOf(activeURL, namesLeader(activeURL)))
	secure.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	t.Cleanup(secure.Close)
	settings := byAppRole(secure.URL, "r", "s")
	settings.CAFile = pemOf(t, secure)
	down, _, _ := newPool(t, settings)
	if _, err := down.Client(t.Context(), main); err == nil || !strings.Contains(err.Error(), "downgrade") || active.count(login) != 1 {
		t.Errorf("from https to http: %v", err)
	}
}

func TestNoErrorEchoesASecret(t *testing.T) {
	f, address := startFake(t)
	p, _, j := newPool(t, byAppRole(address, "canary-role-id", "canary-secret-id\nsecond line"))
	// What was sent, as it was and decoded, alone and where the text is cut.
	echo := func(w http.ResponseWriter, method, _, body string) bool {
		if method == http.MethodGet {
			return false
		}
		var sent map[string]any
		_ = json.Unmarshal([]byte(body), &sent)
		secretID, _ := sent["secret_id"].(string)
		return refuse(w, 400, body, fmt.Sprint(sent), secretID, "invalid role or secret ID")
	}
	var said []string
	note := func(err error) {
		t.Helper()
		if err == nil {
			t.Error("no error")
			return
		}
		said = append(said, err.Error(), fmt.Sprintf("%+v %#v", err, err))
	}
	f.set(echo)
	_, err := p.Client(t.Context(), main)
	note(err)
	f.set(nil)
	p.Changed()
	c := client(t, p)

	f.set(echo)
	data := map[string]any{"access_token": "canary-value", "nested": map[string]any{"list": []any{"canary-nested", 1}}}
	_, err = c.WriteKV(t.Context(), "kv", "new", data, vault.KVWrite{})
	note(err)
	_, err = vault.NewTransit(c, "transit", "k").Encrypt(t.Context(), []byte("canary-plain"))
	note(err)
	_, err = vault.NewTransit(c, "transit", "k").Decrypt(t.Context(), []byte("vault:v1:canary"))
	note(err)
	f.set(func(w http.ResponseWriter, _, path, _ string) bool {
		// The token straddles the end of what is shown.
		return strings.HasPrefix(path, "kv/") && refuse(w, 500, strings.Repeat("-", 295)+"canary-token-1")
	})
	_, _, err = c.ReadKV(t.Context(), "kv", "x", 0)
	note(err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = c.ReadKV(ctx, "kv", "x", 0)
	note(err)
	all := strings.Join(said, "\n") + j.String() + fmt.Sprintf("%+v", p.Status())
	for _, form := range []string{"cana", "second line", "Y2FuYXJ5", "NhbmFye", "jYW5hcn"} {
		if strings.Contains(all, form) {
			t.Errorf("%q is shown:\n%s", form, all)
		}
	}
}
