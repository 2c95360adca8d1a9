package vault_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/spec"
	"tokend/pkg/vault"
)

func TestCallersShareOneLogin(t *testing.T) {
	inBubble(t, 3600, false, func(t *testing.T, b *bubble) {
		b.set(func(_ http.ResponseWriter, _, path, _ string) bool {
			if strings.HasSuffix(path, "/login") {
				time.Sleep(3 * time.Second)
			}
			return false
		})
		first, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := b.pool.Client(first, main); !errors.Is(err, context.Canceled) {
				t.Errorf("the caller that gave up: %v", err)
			}
		})
		synctest.Wait()
		for range 50 {
			all.Go(func() {
				if err := b.use(t); err != nil {
					t.Errorf("a caller that waited: %v", err)
				}
			})
		}
		synctest.Wait()
		cancel() // the login goes on for the others
		all.Wait()
		if diff := cmp.Diff(seconds(0), b.after(login)); diff != "" {
			t.Errorf("logins (-want +got):\n%s", diff)
		}
	})
}

func TestARefusedLoginIsNotRepeatedAtOnce(t *testing.T) {
	inBubble(t, 3600, false, func(t *testing.T, b *bubble) {
		b.set(func(w http.ResponseWriter, _, path, _ string) bool {
			return strings.HasSuffix(path, "/login") && refuse(w, 400, "invalid role or secret ID")
		})
		every := func(pause, total time.Duration) {
			for end := time.Now().Add(total); time.Now().Before(end); time.Sleep(pause) {
				if err := b.use(t); !errors.Is(err, vault.ErrDenied) || !errors.Is(err, vault.ErrLogin) {
					t.Fatalf("error = %v", err)
				}
			}
		}
		every(500*time.Millisecond, 1000*time.Second)
		want := seconds(0, 5, 25, 105, 405, 705)
		if diff := cmp.Diff(want, b.after(login)); diff != "" {
			t.Errorf("logins (-want +got):\n%s", diff)
		}
		var e *vault.Error
		if err := b.use(t); !errors.As(err, &e) || e.RetryAfter != 5*time.Second {
			t.Errorf("error = %v, want one that says to wait 5 s", err)
		}
		b.pool.Changed("vault.other")
		every(500*time.Millisecond, time.Second)
		b.pool.Changed(main)
		every(500*time.Millisecond, 4*time.Second)
		want = append(want, seconds(1001, 1005)[0])
		if diff := cmp.Diff(want, b.after(login)); diff != "" {
			t.Errorf("logins after Changed (-want +got):\n%s", diff)
		}
		b.blocks.set(byAppRole("http://vault.test", "canary-role", "canary-other"))
		b.pool.Changed()
		every(500*time.Millisecond, 6*time.Second)
		if diff := cmp.Diff(append(want, seconds(1005, 1010)...), b.after(login)); diff != "" {
			t.Errorf("logins with another secret id (-want +got):\n%s", diff)
		}
		b.set(nil)
		b.pool.Changed()
		if err := b.use(t); err != nil {
			t.Errorf("once it is right: %v", err)
		}
	})
}

func TestOneLoginASecondAtMost(t *testing.T) {
	inBubble(t, 3600, false, func(t *testing.T, b *bubble) {
		b.set(func(w http.ResponseWriter, _, path, _ string) bool {
			return strings.HasSuffix(path, "/login") && refuse(w, 503, "Vault is sealed")
		})
		for range 50 {
			if err := b.use(t); !errors.Is(err, vault.ErrSealed) {
				t.Fatalf("error = %v", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if diff := cmp.Diff(seconds(0, 1, 2, 3, 4), b.after(login)); diff != "" {
			t.Errorf("logins at a sealed Vault (-want +got):\n%s", diff)
		}
		// Logins that succeed, with tokens that are dead at once.
		b.set(func(w http.ResponseWriter, _, path, _ string) bool {
			return strings.HasPrefix(path, "kv/") && refuse(w, 403, "permission denied", "invalid token")
		})
		for range 3 {
			if err := b.use(t); !errors.Is(err, vault.ErrDenied) {
				t.Fatalf("error = %v", err)
			}
		}
		at := b.after(login)
		for i := 1; i < len(at); i++ {
			if at[i]-at[i-1] < time.Second {
				t.Errorf("logins at %v and %v", at[i-1], at[i])
			}
		}
	})
}

func TestRenewalAtTwoThirds(t *testing.T) {
	inBubble(t, 3600, true, func(t *testing.T, b *bubble) {
		if err := b.use(t); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if diff := cmp.Diff(seconds(2400, 4800, 7200, 9600), b.after(renew)); diff != "" {
			t.Errorf("renewals (-want +got):\n%s", diff)
		}
		if b.count(login) != 1 || b.blocks.resolved() != 1 {
			t.Errorf("%d logins, settings read %d times, want one each", b.count(login), b.blocks.resolved())
		}
	})
}

func TestRenewalSurvivesASealedVault(t *testing.T) {
	inBubble(t, 300, true, func(t *testing.T, b *bubble) {
		if err := b.use(t); err != nil {
			t.Fatal(err)
		}
		b.set(func(w http.ResponseWriter, _, _, _ string) bool { return refuse(w, 503, "Vault is sealed") })
		time.Sleep(290 * time.Second)
		b.set(nil)
		time.Sleep(9 * time.Second)
		synctest.Wait()
		got := b.after(renew)
		if len(got) < 8 || got[0] != 200*time.Second || got[len(got)-1] < 290*time.Second {
			t.Errorf("renewals at %v, want several from 200 s on, and one after 290 s", got)
		}
		for i := 1; i < len(got); i++ {
			if got[i]-got[i-1] < time.Second {
				t.Errorf("renewals at %v and %v", got[i-1], got[i])
			}
		}
		if b.count(login) != 1 || !strings.Contains(b.log.String(), "renewing the Vault token failed, it is tried again") {
			t.Errorf("%d logins, log:\n%s", b.count(login), b.log)
		}
		// One that outlasts the token: the next use logs in.
		b.set(func(w http.ResponseWriter, _, _, _ string) bool { return refuse(w, 503, "Vault is sealed") })
		time.Sleep(time.Hour)
		b.set(nil)
		if err := b.use(t); err != nil {
			t.Errorf("after the token's end: %v", err)
		}
		if b.count(login) < 2 {
			t.Error("no new login")
		}
	})
}

func TestATokenThatIsNotRenewedIsReplacedInTime(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter, path string) bool{
		"refused by policy": func(w http.ResponseWriter, path string) bool {
			return path == "auth/token/renew-self" && refuse(w, 403, "permission denied")
		},
		"not renewable": func(w http.ResponseWriter, path string) bool {
			return path == "auth/token/renew-self" && refuse(w, 400, "lease is not renewable")
		},
		"past its maximum": func(w http.ResponseWriter, path string) bool {
			return path == "auth/token/renew-self" && refuse(w, 500, "past the max TTL, cannot renew")
		},
		"renewed by less": func(w http.ResponseWriter, path string) bool {
			if path == "auth/token/renew-self" {
				reply(w, 200, map[string]any{"auth": map[string]any{"client_token": "x", "lease_duration": 120, "renewable": true}})
			}
			return path == "auth/token/renew-self"
		},
		"batch token": func(w http.ResponseWriter, path string) bool {
			if strings.HasSuffix(path, "/login") {
				reply(w, 200, map[string]any{"auth": map[string]any{"client_token": "canary-batch", "lease_duration": 300, "renewable": false}})
			}
			return strings.HasSuffix(path, "/login")
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 300, true, func(t *testing.T, b *bubble) {
				b.set(func(w http.ResponseWriter, _, path, _ string) bool { return answer(w, path) })
				if err := b.use(t); err != nil {
					t.Fatal(err)
				}
				time.Sleep(590 * time.Second)
				synctest.Wait()
				if diff := cmp.Diff(seconds(0, 200, 400), b.after(login)); diff != "" {
					t.Errorf("logins (-want +got):\n%s", diff)
				}
				if n := b.count(revoke); n != 2 {
					t.Errorf("%d replaced tokens were revoked, want 2", n)
				}
			})
		})
	}
}

func TestAFailedReplacementIsTriedAgainWhileTheTokenLives(t *testing.T) {
	inBubble(t, 300, true, func(t *testing.T, b *bubble) {
		var broken atomic.Bool
		b.set(func(w http.ResponseWriter, _, path, _ string) bool {
			switch {
			case path == "auth/token/renew-self":
				return refuse(w, 403, "permission denied")
			case strings.HasSuffix(path, "/login") && broken.Load():
				return refuse(w, 503, "Vault is sealed")
			}
			return false
		})
		if err := b.use(t); err != nil {
			t.Fatal(err)
		}
		broken.Store(true)
		for range 28 {
			time.Sleep(10 * time.Second)
			if err := b.use(t); err != nil {
				t.Fatalf("while the token lives, after %s: %v", time.Since(b.start), err)
			}
		}
		if b.pool.Status()[0].Err == nil || b.count(login) < 4 {
			t.Errorf("status %+v after %d logins, want the failure of several", b.pool.Status()[0], b.count(login))
		}
		broken.Store(false)
		time.Sleep(15 * time.Second)
		if st := b.pool.Status()[0]; st.Err != nil || st.Since.Equal(b.start) {
			t.Errorf("status %+v, want a new session", st)
		}
	})
}

func TestASuspendedMachineCannotHideTheEnd(t *testing.T) {
	inBubble(t, 3600, true, func(t *testing.T, b *bubble) {
		if err := b.use(t); err != nil {
			t.Fatal(err)
		}
		b.skew.Store(int64(50 * time.Minute)) // it slept
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if n := b.count(renew); n != 1 {
			t.Errorf("%d renewals within 31 s of waking, want 1", n)
		}
		b.skew.Store(int64(5 * time.Hour))
		if err := b.use(t); err != nil || b.count(login) != 2 {
			t.Errorf("the first use after the token's end: %v, %d logins", err, b.count(login))
		}
	})
}

func TestAReplacedTokenLivesUntilItsLastCallEnds(t *testing.T) {
	inBubble(t, 3600, false, func(t *testing.T, b *bubble) {
		if err := b.use(t); err != nil {
			t.Fatal(err)
		}
		b.set(func(_ http.ResponseWriter, _, path, _ string) bool {
			if path == "kv/data/x" {
				time.Sleep(4 * time.Second)
			}
			return false
		})
		var slow sync.WaitGroup
		slow.Go(func() {
			if err := b.use(t); err != nil {
				t.Errorf("the slow call: %v", err)
			}
		})
		synctest.Wait()
		b.blocks.set(byAppRole("http://vault.test", "canary-role", "canary-other"))
		b.pool.Changed(main)
		if _, err := b.pool.Client(t.Context(), main); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if b.count(login) != 2 || b.count(revoke) != 0 {
			t.Errorf("%d logins, %d revocations during the call, want 2 and 0", b.count(login), b.count(revoke))
		}
		slow.Wait()
		synctest.Wait()
		if n := b.count(revoke); n != 1 {
			t.Errorf("%d revocations after it, want 1", n)
		}
	})
}

func TestSettingsThatCannotBeReadAreNoChange(t *testing.T) {
	inBubble(t, 3600, false, func(t *testing.T, b *bubble) {
		if err := b.use(t); err != nil {
			t.Fatal(err)
		}
		b.blocks.mu.Lock()
		b.blocks.err = errors.New("secret.file.secret_id: permission denied")
		b.blocks.mu.Unlock()
		b.pool.Changed()
		for range 3 {
			if err := b.use(t); err != nil {
				t.Errorf("with a living session: %v", err)
			}
		}
		if err := b.pool.Status()[0].Err; err == nil {
			t.Error("status does not say it")
		}
	})
}

// A block that is no longer declared leaves a session behind that nobody needs:
// it ends with its token, and is not mourned every second ever after.
func TestASessionWithoutABlockEndsWithItsToken(t *testing.T) {
	inBubble(t, 300, true, func(t *testing.T, b *bubble) {
		b.set(func(w http.ResponseWriter, _, path, _ string) bool {
			return path == "auth/token/renew-self" && refuse(w, 403, "permission denied")
		})
		if err := b.use(t); err != nil {
			t.Fatal(err)
		}
		b.blocks.mu.Lock()
		b.blocks.err = errors.New("the configuration does not declare it")
		b.blocks.mu.Unlock()
		b.pool.Changed()
		time.Sleep(10 * time.Minute)
		before := b.blocks.resolved()
		time.Sleep(24 * time.Hour)
		if n := b.blocks.resolved() - before; n > 0 {
			t.Errorf("its settings were read %d times within a day", n)
		}
		b.blocks.mu.Lock()
		b.blocks.err = nil
		b.blocks.mu.Unlock()
		if err := b.use(t); err != nil {
			t.Errorf("once it is declared again: %v", err)
		}
	})
}

func TestUnchangedSettingsKeepTheSession(t *testing.T) {
	inBubble(t, 3600, false, func(t *testing.T, b *bubble) {
		for range 3 {
			b.pool.Changed()
			if err := b.use(t); err != nil {
				t.Fatal(err)
			}
		}
		if b.count(login) != 1 || b.blocks.resolved() != 3 {
			t.Errorf("%d logins, settings read %d times, want 1 and 3", b.count(login), b.blocks.resolved())
		}
	})
}

func TestWrongNewSettingsDoNotEndALivingSession(t *testing.T) {
	inBubble(t, 3600, true, func(t *testing.T, b *bubble) {
		if err := b.use(t); err != nil {
			t.Fatal(err)
		}
		b.set(func(w http.ResponseWriter, _, path, _ string) bool {
			return strings.HasSuffix(path, "/login") && refuse(w, 400, "invalid role or secret ID")
		})
		b.blocks.set(byAppRole("http://vault.test", "canary-role", "canary-wrong"))
		b.pool.Changed(main)
		for range 10 {
			if err := b.use(t); err != nil {
				t.Fatalf("with a living token: %v", err)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff(seconds(1, 6, 36), b.after(login)[1:]); diff != "" {
			t.Errorf("logins with the wrong secret id (-want +got):\n%s", diff)
		}
		if err := b.pool.Status()[0].Err; !errors.Is(err, vault.ErrDenied) {
			t.Errorf("status = %v, want the refusal", err)
		}
		// Another server is another matter.
		b.blocks.set(byAppRole("http://other.test", "canary-role", "canary-wrong"))
		b.pool.Changed(main)
		if err := b.use(t); !errors.Is(err, vault.ErrLogin) {
			t.Errorf("at another server: %v, want ErrLogin", err)
		}
	})
}

func TestALostServerIsNotUsedBecauseTheNewOneIsWrong(t *testing.T) {
	inBubble(t, 3600, false, func(t *testing.T, b *bubble) {
		if err := b.use(t); err != nil {
			t.Fatal(err)
		}
		broken := byAppRole("https://new.test", "canary-role", "canary-secret")
		broken.CAFile = "/no/such/ca.pem"
		b.blocks.set(broken)
		b.pool.Changed(main)
		before := b.count("GET kv/data/x")
		for range 5 {
			if err := b.use(t); !errors.Is(err, vault.ErrInvalid) || !strings.Contains(err.Error(), "ca_file") {
				t.Errorf("error = %v, want one about ca_file", err)
			}
			time.Sleep(700 * time.Millisecond)
		}
		if n := b.count("GET kv/data/x"); n != before {
			t.Error("the old server was asked")
		}
	})
}

func TestUnreadableSettingsAreSaid(t *testing.T) {
	boom := errors.New("secret.file.secret_id: no such file")
	p := vault.NewPool(func(context.Context, spec.Address) (vault.Settings, error) { return vault.Settings{}, boom }, vault.Options{})
	if _, err := p.Client(t.Context(), main); !errors.Is(err, boom) || !strings.Contains(err.Error(), "reading the settings of vault.main") {
		t.Errorf("error = %v", err)
	}
}
