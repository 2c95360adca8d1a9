package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The process as a test uses it: it says where it is, serves over TLS by its own authority, takes faults over
// HTTP, and ends with its standard input.
func TestRun(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	stdin, hold := io.Pipe()
	said, stdout := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run([]string{
			"-with-stdin", "-any=false", "-tls", "-ca", ca, "-rules", `{"access_lifetime":"90s"}`, "-rules", `coinify={"rotate":"single_use"}`,
			"-accounts", `[{"api":"coinify","login":"a@example.com","password":"x"}]`, "-clients", `[{"api":"oauth2","id":"c","secret":"s"}]`,
		}, stdin, stdout, io.Discard)
	}()
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var where map[string]string
	if err := json.Unmarshal([]byte(line), &where); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	pem, err := os.ReadFile(where["ca_file"])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	client := &http.Client{Transport: transport}
	post := func(url, body string) (int, string) {
		reply, err := client.Post(url, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = reply.Body.Close() }()
		text, err := io.ReadAll(reply.Body)
		if err != nil {
			t.Fatal(err)
		}
		return reply.StatusCode, string(text)
	}
	const login = `{"grant_type":"password","email":"a@example.com","partnerId":"p","password":"x"}`
	if status, text := post(where["coinify"]+"/auth", login); status != 200 || !strings.Contains(text, `"expires_in":90`) {
		t.Errorf("login: %d %s", status, text)
	}
	if status, _ := post(where["coinify"]+"/auth", strings.Replace(login, "a@", "b@", 1)); status != 400 {
		t.Errorf("an unregistered account: %d", status)
	}
	post(where["control"]+"/faults", `{"kind":"status","status":502}`)
	if status, _ := post(where["coinify"]+"/auth", login); status != 502 {
		t.Errorf("the fault: %d", status)
	}
	transport.CloseIdleConnections()
	_ = hold.Close()
	if err := <-ended; err != nil {
		t.Errorf("it ended with: %v", err)
	}
}

func TestRunRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"-tls"}, {"-host", "0.0.0.0"}, {"-rules", `{"rotat":"keep"}`}, {"-rules", `nobody={}`}, {"-rules", `{"rotate":"x"}`}, {"-accounts", "{"}, {"-unknown"},
	} {
		if err := run(args, strings.NewReader(""), io.Discard, io.Discard); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}
