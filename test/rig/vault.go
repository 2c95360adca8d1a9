package rig

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tokend/test/parts"
)

// VaultServer is a real Vault server with file storage, unsealed. It can be
// sealed, stopped, killed and started again on the same address without losing
// what was written.
type VaultServer struct {
	// Addr is the URL of the server, http://127.0.0.1:PORT.
	Addr string
	// Token is the root token.
	Token string
	// CAFile is the certificate to trust where the server speaks TLS.
	CAFile string

	t      testing.TB
	client *http.Client
	binary string
	data   string
	tls    []string // flags
	key    string   // unseal key
	proc   *process
}

// Vault starts a Vault server for this test. No secrets engine is mounted; see
// [VaultServer.EnableKV] and its kin.
func Vault(t testing.TB) *VaultServer {
	t.Helper()
	return newVault(t, false)
}

// VaultTLS is [Vault] behind TLS, with a certificate for 127.0.0.1 and localhost
// that only CAFile vouches for.
func VaultTLS(t testing.TB) *VaultServer {
	t.Helper()
	return newVault(t, true)
}

func newVault(t testing.TB, secure bool) *VaultServer {
	t.Helper()
	v := &VaultServer{
		t:      t,
		binary: file(t, parts.Vault(), "vault"),
		data:   t.TempDir(),
		client: &http.Client{Timeout: startTimeout},
	}
	if secure {
		v.useTLS()
	}
	v.start("127.0.0.1:0")
	t.Cleanup(func() {
		if t.Failed() && v.proc != nil {
			t.Logf("Vault server said:\n%s", v.proc.said)
		}
		v.Stop()
		v.client.CloseIdleConnections()
	})

	reply := v.must(v.Call(http.MethodPut, "sys/init", map[string]any{"secret_shares": 1, "secret_threshold": 1}))
	v.key, _ = reply["keys"].([]any)[0].(string)
	v.Token, _ = reply["root_token"].(string)
	v.Unseal()
	return v
}

func (v *VaultServer) useTLS() {
	v.t.Helper()
	cert, key, err := selfSigned()
	if err != nil {
		v.t.Fatalf("making a certificate: %v", err)
	}
	dir := v.t.TempDir()
	v.CAFile = filepath.Join(dir, "ca.pem")
	keyFile := filepath.Join(dir, "key.pem")
	for path, content := range map[string][]byte{v.CAFile: cert, keyFile: key} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			v.t.Fatal(err)
		}
	}
	v.tls = []string{"-tls-cert", v.CAFile, "-tls-key", keyFile}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	v.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
}

func (v *VaultServer) start(listen string) {
	v.t.Helper()
	args := append([]string{"-listen", listen, "-data", v.data}, v.tls...)
	v.proc, v.Addr = start(v.t, exec.Command(v.binary, args...), "listening on ")
}

// Stop ends the server in an orderly way; its address then refuses connections.
// It is a no-op on a stopped server.
func (v *VaultServer) Stop() {
	v.t.Helper()
	if v.proc == nil {
		return
	}
	if err := v.proc.stop(); err != nil {
		v.t.Error(err)
	}
	v.proc = nil
}

// Kill ends the server as a power cut would.
func (v *VaultServer) Kill() {
	v.t.Helper()
	if v.proc == nil {
		return
	}
	v.proc.kill()
	v.proc = nil
}

// Start starts a stopped server again, on its old address and with its old data.
// It is sealed then, as any Vault is after a start.
func (v *VaultServer) Start() {
	v.t.Helper()
	if v.proc != nil {
		v.t.Fatal("starting Vault: it is running")
	}
	_, listen, _ := strings.Cut(v.Addr, "://")
	v.start(listen)
}

// Restart stops, starts and unseals the server.
func (v *VaultServer) Restart() {
	v.t.Helper()
	v.Stop()
	v.Start()
	v.Unseal()
}

// Seal seals the server: every request is then refused with 503.
func (v *VaultServer) Seal() {
	v.t.Helper()
	v.must(v.Call(http.MethodPut, "sys/seal", nil))
}

// Unseal unseals the server and waits until it serves requests.
func (v *VaultServer) Unseal() {
	v.t.Helper()
	v.must(v.Call(http.MethodPut, "sys/unseal", map[string]any{"key": v.key}))
	err := poll(startTimeout, func() (bool, string) {
		status, _, err := v.Call(http.MethodGet, "sys/health", nil)
		return err == nil && status == http.StatusOK, fmt.Sprintf("status %d, %v", status, err)
	})
	if err != nil {
		v.t.Fatalf("unsealing Vault: sys/health: %v", err)
	}
}

// Call makes one request as root, path being what follows /v1/, and returns the
// status and the whole reply. Every other method of VaultServer is made of it.
func (v *VaultServer) Call(method, path string, body map[string]any) (int, map[string]any, error) {
	return v.CallAs(v.Token, method, path, body)
}

// CallAs is [VaultServer.Call] with another token, or with none when it is "".
func (v *VaultServer) CallAs(token, method, path string, body map[string]any) (int, map[string]any, error) {
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, v.Addr+"/v1/"+path, content)
	if err != nil {
		return 0, nil, err
	}
	if token != "" {
		req.Header.Set("X-Vault-Token", token)
	}
	resp, err := v.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, nil, err
	}
	var reply map[string]any
	if len(bytes.TrimSpace(raw)) > 0 {
		if err := json.Unmarshal(raw, &reply); err != nil {
			return resp.StatusCode, nil, fmt.Errorf("reading Vault's reply %.200q: %w", raw, err)
		}
	}
	return resp.StatusCode, reply, nil
}

// must ends the test unless the call succeeded.
func (v *VaultServer) must(status int, reply map[string]any, err error) map[string]any {
	v.t.Helper()
	if err != nil {
		v.t.Fatalf("asking Vault: %v", err)
	}
	if status < 200 || status > 299 {
		v.t.Fatalf("asking Vault: status %d, %v", status, reply["errors"])
	}
	return reply
}

// Write writes to a path of the API, such as kv/data/NAME, and returns the reply's
// data.
func (v *VaultServer) Write(path string, data map[string]any) map[string]any {
	v.t.Helper()
	out, _ := v.must(v.Call(http.MethodPost, path, data))["data"].(map[string]any)
	return out
}

// Read returns the data at a path of the API; nil when there is none.
func (v *VaultServer) Read(path string) map[string]any {
	v.t.Helper()
	status, reply, err := v.Call(http.MethodGet, path, nil)
	if err == nil && status == http.StatusNotFound {
		return nil
	}
	out, _ := v.must(status, reply, err)["data"].(map[string]any)
	return out
}

// Delete deletes what is at a path of the API.
func (v *VaultServer) Delete(path string) {
	v.t.Helper()
	v.must(v.Call(http.MethodDelete, path, nil))
}

// EnableKV mounts a KV secrets engine of version 1 or 2, and waits until it can
// be written to (a new version 2 refuses writes for a moment).
func (v *VaultServer) EnableKV(mount string, version int) {
	v.t.Helper()
	v.must(v.Call(http.MethodPost, "sys/mounts/"+mount,
		map[string]any{"type": "kv", "options": map[string]any{"version": fmt.Sprint(version)}}))
	if version == 1 {
		return
	}
	err := poll(startTimeout, func() (bool, string) {
		status, reply, err := v.Call(http.MethodGet, mount+"/config", nil)
		return err == nil && status == http.StatusOK, fmt.Sprintf("status %d, %v, %v", status, reply["errors"], err)
	})
	if err != nil {
		v.t.Fatalf("mounting kv on %s: %v", mount, err)
	}
}

// PutKV writes a secret into a KV engine of version 2.
func (v *VaultServer) PutKV(mount, path string, data map[string]any) {
	v.t.Helper()
	v.Write(mount+"/data/"+path, map[string]any{"data": data})
}

// GetKV reads a secret out of a KV engine of version 2, with its version; nil and
// 0 when it is not there or its newest version is deleted.
func (v *VaultServer) GetKV(mount, path string) (map[string]any, int) {
	v.t.Helper()
	reply := v.Read(mount + "/data/" + path)
	data, _ := reply["data"].(map[string]any)
	meta, _ := reply["metadata"].(map[string]any)
	version, _ := meta["version"].(float64)
	if data == nil {
		return nil, 0
	}
	return data, int(version)
}

// EnableTransit mounts the transit engine and makes a key in it.
func (v *VaultServer) EnableTransit(mount, key string) {
	v.t.Helper()
	v.must(v.Call(http.MethodPost, "sys/mounts/"+mount, map[string]any{"type": "transit"}))
	v.Write(mount+"/keys/"+key, map[string]any{})
}

// EnableAuth mounts a way to log in: approle, jwt, cert or userpass.
func (v *VaultServer) EnableAuth(kind, mount string) {
	v.t.Helper()
	v.must(v.Call(http.MethodPost, "sys/auth/"+mount, map[string]any{"type": kind}))
}

// Policy writes a policy in Vault's own HCL.
func (v *VaultServer) Policy(name, rules string) {
	v.t.Helper()
	v.must(v.Call(http.MethodPut, "sys/policies/acl/"+name, map[string]any{"policy": rules}))
}

// AppRole makes a role on an approle mount and returns what it logs in with. The
// settings are those of auth/approle/role/NAME, such as token_policies and
// token_ttl.
func (v *VaultServer) AppRole(mount, name string, settings map[string]any) (roleID, secretID string) {
	v.t.Helper()
	role := "auth/" + mount + "/role/" + name
	v.Write(role, settings)
	roleID, _ = v.Read(role + "/role-id")["role_id"].(string)
	secretID, _ = v.Write(role+"/secret-id", map[string]any{})["secret_id"].(string)
	return roleID, secretID
}

// CreateToken makes a token; the settings are those of auth/token/create, such as
// policies, ttl, renewable and period.
func (v *VaultServer) CreateToken(settings map[string]any) string {
	v.t.Helper()
	auth, _ := v.must(v.Call(http.MethodPost, "auth/token/create", settings))["auth"].(map[string]any)
	token, _ := auth["client_token"].(string)
	return token
}
