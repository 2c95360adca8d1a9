package standin

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Everything at once: logins, refreshes with the same single-use token, revocations, faults, rules and books.
// Of many that spend one refresh token, exactly one gets through.
func TestConcurrency(t *testing.T) {
	s := New(Options{AnyAccount: true, TokenLog: 500, Rules: Rules{Rotate: RotateSingleUse, DetectReuse: true}})
	h, apirone := s.Handler(Coinify), s.Handler(Apirone)
	var all sync.WaitGroup
	var won atomic.Int64
	const rounds = 40
	for i := range rounds {
		all.Go(func() {
			login := fmt.Sprintf(`{"grant_type":"password","email":"u%d@example.com","partnerId":"p","password":"x"}`, i%4)
			_, refresh := pairOf(good(t, h, jsonPost("/auth", login)))
			var spend sync.WaitGroup
			for range 8 {
				spend.Go(func() {
					if out := send(t, h, jsonPost("/auth", `{"grant_type":"refresh_token","refresh_token":"`+refresh+`"}`)); out.status == 200 {
						won.Add(1)
					}
				})
			}
			spend.Wait()
		})
		all.Go(func() {
			pair := good(t, apirone, jsonPost("/api/v2/auth/login", apironeBody))
			send(t, apirone, withBearer("POST", "/api/v2/auth/logout", pair.text("access-token")))
		})
		all.Go(func() {
			armed := s.Fail(Fault{Kind: FaultStatus, API: CoinsPh})
			s.Change(Apirone, func(r *Rules) { r.DetectReuse = !r.DetectReuse })
			s.Books()
			s.Live(Coinify, "u1@example.com")
			armed.Clear()
		})
	}
	all.Wait()
	counts := s.Counts(Coinify)
	if won.Load() != rounds || counts.Refreshes != rounds || counts.Reuses != 7*rounds || counts.Grants != rounds {
		t.Errorf("%d refreshes got through, the books say %+v", won.Load(), counts)
	}
	// in each family all but one spender came too late, and killed it
	if counts.LiveAccess != 0 || counts.LiveRefresh != 0 {
		t.Errorf("tokens of killed families live: %+v", counts)
	}
	if got := s.Counts(Apirone); got.Revocations != rounds || got.LiveAccess != 0 {
		t.Errorf("Apirone's books say %+v", got)
	}
}

// discard is a reply that nobody reads.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkLogin is the own cost of a login, without HTTP.
func BenchmarkLogin(b *testing.B) {
	for _, row := range []struct {
		api        API
		path, body string
	}{{Coinify, "/auth", coinifyLogin}, {Apirone, "/api/v2/auth/login", apironeBody}} {
		b.Run(string(row.api), func(b *testing.B) {
			h := New(Options{AnyAccount: true}).Handler(row.api)
			r := httptest.NewRequest("POST", row.path, nil)
			r.Header.Set("Content-Type", jsonType)
			r.ContentLength = int64(len(row.body))
			w := &discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				r.Body = body{strings.NewReader(row.body)}
				h.ServeHTTP(w, r)
			}
		})
	}
}

type body struct{ *strings.Reader }

func (body) Close() error { return nil }

// BenchmarkServed is logins over loopback TLS, client included, with 64 in flight.
func BenchmarkServed(b *testing.B) {
	web := httptest.NewTLSServer(New(Options{AnyAccount: true}).Handler(Coinify))
	defer web.Close()
	client := web.Client()
	transport := client.Transport.(*http.Transport)
	transport.MaxIdleConnsPerHost, transport.MaxConnsPerHost = 64, 64
	b.SetParallelism(32)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			reply, err := client.Post(web.URL+"/auth", jsonType, strings.NewReader(coinifyLogin))
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, reply.Body)
			_ = reply.Body.Close()
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
}
