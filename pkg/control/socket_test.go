package control_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tokend/pkg/control"
)

// sendRaw sends what our client would not.
func sendRaw(t *testing.T, path, version, body string) (status int, answer string) {
	t.Helper()
	hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://x/v1/do", strings.NewReader(body))
	check(t, err)
	if version != "" {
		req.Header.Set("Tokend-Control", version)
	}
	resp, err := hc.Do(req)
	check(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	check(t, err)
	return resp.StatusCode, string(b)
}

func ok(t *testing.T) *http.ServeMux {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("POST /v1/do", control.Handle(func(context.Context, struct{}) (string, error) { return "done", nil }))
	return mux
}

func TestOtherVersionsAreToldApart(t *testing.T) {
	c, _ := serve(t, ok(t))
	for _, version := range []string{"2", ""} {
		status, body := sendRaw(t, c.Path(), version, "{}")
		if status != http.StatusUpgradeRequired || !strings.Contains(body, `"kind":"protocol"`) || strings.Contains(body, "done") {
			t.Errorf("a request of version %q got status %d: %s", version, status, body)
		}
	}
	if status, body := sendRaw(t, c.Path(), "1", "{}"); status != http.StatusOK || body != "\"done\"\n" {
		t.Errorf("a request of version 1 got status %d: %s", status, body)
	}

	for version, want := range map[string]string{"2": `version "2"`, "": "is not tokend"} {
		path := socket(t)
		ln, err := net.Listen("unix", path)
		check(t, err)
		other := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if version != "" {
				w.Header().Set("Tokend-Control", version)
			}
			fmt.Fprintln(w, `"done"`)
		})}
		go func() { _ = other.Serve(ln) }()
		t.Cleanup(func() { _ = other.Close() })
		wantError(t, control.Dial(path).Do(t.Context(), "POST", "/v1/do", nil, nil), control.KindProtocol, want)
	}
}

func TestAnswerThatBreaksOffIsNotAnAnswer(t *testing.T) {
	for name, sent := range map[string]string{
		"nothing":          "",
		"half a header":    "HTTP/1.1 200 OK\r\nTokend-Con",
		"half an answer":   "HTTP/1.1 200 OK\r\nTokend-Control: 1\r\nContent-Length: 100\r\n\r\n{\"te",
		"half a line":      "HTTP/1.1 200 OK\r\nTokend-Control: 1\r\n\r\n{\"item\":1}\n{\"it",
		"no end of stream": "HTTP/1.1 200 OK\r\nTokend-Control: 1\r\n\r\n{\"item\":1}\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := socket(t)
			ln, err := net.Listen("unix", path)
			check(t, err)
			defer ln.Close()
			go func() {
				for {
					conn, err := ln.Accept()
					if err != nil {
						return
					}
					buf := make([]byte, 4096)
					_, _ = conn.Read(buf)
					_, _ = io.WriteString(conn, sent)
					_ = conn.Close()
				}
			}()
			c := control.Dial(path)
			wantError(t, c.Stream(t.Context(), "/v1/watch", nil, noItems), control.KindInterrupted, "not known")
			if name != "no end of stream" && name != "half a line" {
				var out answer
				wantError(t, c.Do(t.Context(), "POST", "/v1/do", nil, &out), control.KindInterrupted, "not known")
			}
		})
	}
}

func TestSocketIsForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(filepath.Dir(socket(t)), "run", "tokend", "tokend.sock")
	old := syscall.Umask(0)
	ln, err := control.Listen(path)
	syscall.Umask(old)
	check(t, err)
	defer ln.Close()
	fi, err := os.Lstat(path)
	check(t, err)
	if fi.Mode() != os.ModeSocket|0o600 {
		t.Errorf("the socket has mode %v, want a socket of 0600", fi.Mode())
	}
}

func TestStaleSocketIsReplacedAndALiveOneIsNot(t *testing.T) {
	path := socket(t)
	crashed, err := net.Listen("unix", path)
	check(t, err)
	crashed.(*net.UnixListener).SetUnlinkOnClose(false)
	check(t, crashed.Close())
	err = control.Dial(path).Do(t.Context(), "GET", "/", nil, nil)
	if !errors.Is(err, control.ErrNoDaemon) {
		t.Errorf("a stale socket gives %v, want ErrNoDaemon", err)
	}

	ln, err := control.Listen(path)
	check(t, err)
	if _, err := control.Listen(path); !errors.Is(err, control.ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Errorf("a second listener gave %v, want ErrInUse with the path", err)
	}
	// Somebody moved it away and put another one there: that is not ours to remove.
	check(t, os.Rename(path, path+".moved"))
	other, err := control.Listen(path)
	check(t, err)
	check(t, ln.Close())
	if _, err := os.Lstat(path); err != nil {
		t.Error("closing the first listener removed the second one's socket")
	}
	check(t, other.Close())
	if _, err := os.Lstat(path); err == nil {
		t.Error("closing the listener left its socket")
	}
}

func TestWhatIsNoSocketIsNotTouched(t *testing.T) {
	path := socket(t)
	check(t, os.WriteFile(path, []byte("precious"), 0o600))
	if _, err := control.Listen(path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("listening on a file gave %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("the file was touched: %q, %v", b, err)
	}
	wantError(t, control.Dial(path).Do(t.Context(), "GET", "/", nil, nil), control.KindUnavailable, path)
	wantError(t, control.Dial(path+"/below").Do(t.Context(), "GET", "/", nil, nil), control.KindUnavailable, path)
	if _, err := control.Listen(filepath.Join(path, "tokend.sock")); err == nil {
		t.Error("listening below a file worked")
	}
}

func TestLongPathsAreRefusedInWords(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("x", 120), "tokend.sock")
	if _, err := control.Listen(path); err == nil || !strings.Contains(err.Error(), "107") || !strings.Contains(err.Error(), "--control") {
		t.Errorf("listening gave %v", err)
	}
	if err := control.Dial(path).Do(t.Context(), "GET", "/", nil, nil); err == nil || !strings.Contains(err.Error(), "107") {
		t.Errorf("asking gave %v", err)
	}
}

// Another user is another process: the test binary runs itself in that user's
// name, to ask, or to listen where a daemon should.
const (
	askEnv      = "TOKEND_CONTROL_TEST_ASK"
	impostorEnv = "TOKEND_CONTROL_TEST_IMPOSTOR"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(askEnv); path != "" {
		var got string
		err := control.Dial(path).Do(context.Background(), "POST", "/v1/do", nil, &got)
		fmt.Printf("%s|%s|%v", control.KindOf(err), got, err)
		return
	}
	if path := os.Getenv(impostorEnv); path != "" {
		listenAsImpostor(path)
		return
	}
	os.Exit(m.Run())
}

// listenAsImpostor reports all that it is sent.
func listenAsImpostor(path string) {
	ln, err := net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0o666)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("listening")
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		b, _ := io.ReadAll(c)
		fmt.Printf("heard %q\n", b)
	}
}

func impostor(t *testing.T, path string, uid uint32) <-chan string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), impostorEnv+"="+path)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := make(chan string, 10)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines
}

func askAs(t *testing.T, path string, uid uint32) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), askEnv+"="+path)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("asking as user %d: %v\n%s", uid, err, out)
	}
	return string(out)
}

func TestOtherUsersAreNotServed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("control: only root can ask in another user's name")
	}
	c, _ := serve(t, ok(t))
	check(t, os.Chmod(filepath.Dir(c.Path()), 0o755))
	const nobody = 65534
	if got := askAs(t, c.Path(), nobody); !strings.HasPrefix(got, "denied||") || !strings.Contains(got, "closed to this user") {
		t.Errorf("with mode 0600 another user gets %q", got)
	}
	// Even if somebody opened the socket's mode.
	check(t, os.Chmod(c.Path(), 0o666))
	if got := askAs(t, c.Path(), nobody); !strings.HasPrefix(got, "denied||") || !strings.Contains(got, "user 65534 may not control") {
		t.Errorf("with mode 0666 another user gets %q", got)
	}
	if got := askAs(t, c.Path(), 0); !strings.HasPrefix(got, "failed|done|<nil>") {
		t.Errorf("root gets %q", got)
	}
}

func TestClientDoesNotTrustAnotherUsersDaemon(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("control: only root can ask in another user's name")
	}
	path := socket(t)
	check(t, os.Chmod(filepath.Dir(path), 0o755))
	// Everybody trusts root's daemon, so it takes a third user to be mistrusted.
	const one, nobody = 1, 65534
	check(t, os.Chown(filepath.Dir(path), one, one))
	lines := impostor(t, path, one)
	if l := receive(t, lines, "the impostor listens"); l != "listening" {
		t.Fatalf("the impostor said %q", l)
	}
	if got := askAs(t, path, nobody); !strings.HasPrefix(got, "denied||") || !strings.Contains(got, "served by user 1") {
		t.Errorf("a client gets %q from another user's daemon", got)
	}
	if l := receive(t, lines, "the impostor reports what it heard"); l != `heard ""` {
		t.Errorf("the impostor %s", l)
	}
}
