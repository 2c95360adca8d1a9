package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	partner  = "5f51bfe2-d08a-4b43-9d5c-405fd2f2ede6"
	password = "correct horse battery staple"
)

// login is the body of a request for a new token, as tokend writes it.
func login(name string) string {
	return fmt.Sprintf(`{"email":"%s@example.com","grant_type":"password","partnerId":"%s","password":"%s"}`, name, partner, password)
}

// renewal is the body of a refresh.
func renewal(token string) string {
	t, err := json.Marshal(token)
	if err != nil {
		panic(err) // a string always has a JSON form
	}
	return `{"grant_type":"refresh_token","refresh_token":` + string(t) + `}`
}

// pace is how fast something went.
type pace struct {
	took time.Duration
	cpu  time.Duration // of the client's own process
	n    int
}

func (p pace) rate() float64       { return float64(p.n) / p.took.Seconds() }
func (p pace) each() time.Duration { return p.cpu / time.Duration(p.n) }

// bare is what there is to compare with: a Go client that sends the bodies,
// inFlight at a time over HTTP/1.1 and TLS, reads the replies and throws them
// away (but for what keep does with them, for a baseline that is not timed).
func (b *bench) bare(ctx context.Context, inFlight int, bodies []string, keep func(i int, reply []byte) error) (pace, error) {
	client, err := b.bareClient(inFlight)
	if err != nil {
		return pace{}, err
	}
	defer client.CloseIdleConnections()
	began, used := time.Now(), ownCPU()
	var next atomic.Int64
	errs := make([]error, inFlight)
	var wg sync.WaitGroup
	for w := range inFlight {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(bodies) {
					return
				}
				reply, err := post(ctx, client, b.urls.Coinify+"/auth", bodies[i], keep != nil)
				if err == nil && keep != nil {
					err = keep(i, reply)
				}
				if err != nil {
					errs[w] = err
					return
				}
			}
		})
	}
	wg.Wait()
	return pace{time.Since(began), ownCPU() - used, len(bodies)}, errors.Join(errs...)
}

func (b *bench) bareClient(inFlight int) (*http.Client, error) {
	pem, err := os.ReadFile(b.urls.CAFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("the stand-in's authority is not a certificate")
	}
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots},
		TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{},
		MaxIdleConnsPerHost: inFlight,
	}}, nil
}

func post(ctx context.Context, c *http.Client, url, body string, keep bool) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return nil, fmt.Errorf("the stand-in answered %s: %s", resp.Status, text)
	}
	if keep {
		return io.ReadAll(resp.Body)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return nil, err
}

// ownCPU is what this process has used of the processor.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
