package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// refusingVault is a Vault that refuses every login, and notes when each came.
type refusingVault struct {
	mu     sync.Mutex
	logins []time.Time
}

func (v *refusingVault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	if strings.HasPrefix(r.URL.Path, "/v1/auth/") {
		v.mu.Lock()
		v.logins = append(v.logins, time.Now())
		v.mu.Unlock()
		_, _ = io.WriteString(w, `{"errors":["invalid role or secret ID"]}`)
		return
	}
	_, _ = io.WriteString(w, `{"errors":["no such route"]}`)
}

func (v *refusingVault) said() []time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]time.Time(nil), v.logins...)
}

// A login that Vault refused is sent again after five seconds at the earliest, whatever
// plans, orders and applies are asked for meanwhile; `tokend retry` sends it at once.
func TestVaultLoginThatWasRefusedIsSentAgainByRetryAlone(t *testing.T) {
	t.Parallel()
	const notBefore = 5 * time.Second
	v := &refusingVault{}
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	l := newLab(t, standin.Rules{})
	l.write("main.hcl", apironeFromVault)
	l.write("vault.hcl", `
vault "main" {
  address = "`+server.URL+`"
  auth "approle" {
    role_id   = "a-role"
    secret_id = secret.file.secret_id.value
  }
}
secret "file" "secret_id" { path = "secret_id" }
`)
	l.write("secret_id", "a-wrong-one\n")
	l.start()
	l.untilState("credential.apirone.account", reconcile.Failing)
	seen := len(v.said())
	if seen == 0 {
		t.Fatal("it fails, and nobody has logged in")
	}
	for _, order := range []string{"plan", "refresh apirone.account", "taint apirone.account", "revoke apirone.account", "apply --auto-approve"} {
		said, _ := l.tokend(strings.Fields(order)...)
		logins := v.said()
		for ; seen < len(logins); seen++ {
			if after := logins[seen].Sub(logins[seen-1]); after < notBefore {
				t.Errorf("tokend %s: the refused login was sent again after %v\n%s", order, after, said)
			}
		}
	}
	for range 10 { // by chance a login may have been due just then
		before := len(v.said())
		l.tokend("retry", "apirone.account")
		if logins := v.said(); len(logins) > before && logins[before].Sub(logins[before-1]) < notBefore {
			return
		}
	}
	t.Error("tokend retry did not send the login at once")
}
