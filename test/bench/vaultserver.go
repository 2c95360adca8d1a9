package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// vaultServer is a Vault server with secrets in it.
type vaultServer struct {
	b         *bench
	cmd       *exec.Cmd
	hold      io.Closer // its standard input: it ends with it
	address   string
	token     string
	tokenFile string
	names     []string
	client    *http.Client
}

// serveVault starts the tests' Vault server, which is Vault's own, opens it, and
// mounts a KV engine of version 2.
func (b *bench) serveVault(ctx context.Context, binary string) (*vaultServer, error) {
	const inFlight = 8
	v := &vaultServer{b: b, names: names("s", b.o.secrets), tokenFile: filepath.Join(b.dir, "vault.token"),
		cmd: exec.Command(binary, "-data", filepath.Join(b.dir, "vault.data")), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: inFlight}}}
	v.cmd.Stderr = os.Stderr
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := v.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := v.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting Vault: %w", err)
	}
	v.hold = in
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		v.address = strings.TrimSpace(strings.TrimPrefix(line, "listening on "))
		err = v.open(ctx)
	}
	if err != nil {
		v.stop()
		return nil, fmt.Errorf("starting Vault: %w", err)
	}
	return v, nil
}

func (v *vaultServer) open(ctx context.Context) error {
	var keys struct {
		Keys []string `json:"keys"`
		Root string   `json:"root_token"`
	}
	if err := v.call(ctx, http.MethodPut, "sys/init", map[string]any{"secret_shares": 1, "secret_threshold": 1}, &keys); err != nil {
		return err
	}
	v.token = keys.Root
	if err := os.WriteFile(v.tokenFile, []byte(v.token), 0o600); err != nil {
		return err
	}
	if err := v.call(ctx, http.MethodPut, "sys/unseal", map[string]string{"key": keys.Keys[0]}, nil); err != nil {
		return err
	}
	if err := v.insist(ctx, http.MethodGet, "sys/health", nil); err != nil {
		return err
	}
	if err := v.call(ctx, http.MethodPost, "sys/mounts/"+kvMount, map[string]any{"type": "kv", "options": map[string]string{"version": "2"}}, nil); err != nil {
		return err
	}
	// A new engine of version 2 refuses everything for a moment.
	return v.insist(ctx, http.MethodGet, kvMount+"/config", nil)
}

// insist asks until it is answered.
func (v *vaultServer) insist(ctx context.Context, method, path string, body any) error {
	for began := time.Now(); ; {
		err := v.call(ctx, method, path, body, nil)
		if err == nil || time.Since(began) > time.Minute {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

func (v *vaultServer) stop() {
	v.client.CloseIdleConnections()
	v.hold.Close()
	_ = v.cmd.Wait()
}

// fill writes the secrets, a few at a time.
func (v *vaultServer) fill(ctx context.Context) error {
	const writers = 8
	var next atomic.Int64
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for errs[w] == nil {
				i := int(next.Add(1)) - 1
				if i >= len(v.names) {
					return
				}
				n := v.names[i]
				errs[w] = v.call(ctx, http.MethodPost, kvMount+"/data/"+n, map[string]any{"data": map[string]string{"value": valueOf(n)}}, nil)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// call asks Vault as root; path is what follows /v1/.
func (v *vaultServer) call(ctx context.Context, method, path string, body, reply any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, v.address+"/v1/"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("X-Vault-Token", v.token)
	resp, err := v.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("asking Vault %s %s: %s: %s", method, path, resp.Status, bytes.TrimSpace(got))
	}
	if reply == nil {
		return nil
	}
	return json.Unmarshal(got, reply)
}
