package gitsource_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tokend/pkg/gitsource"
)

// git http-backend behind basic authentication, as hosting services have it.
func TestPasswordOfTheURLOpensTheDoor(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.push("main.hcl", "one")
	where, err := exec.Command("git", "--exec-path").Output()
	check(t, err)
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(where)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + filepath.Dir(u.dir), "GIT_HTTP_EXPORT_ALL=1", "PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, pass, ok := r.BasicAuth(); !ok || user != "robot" || pass != "p@ss:word" {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	open1 := func(userinfo string) *follower {
		return open(t, gitsource.Options{URL: strings.Replace(server.URL, "//", "//"+userinfo+"@", 1) + "/repo", Ref: "main"})
	}
	f := open1("robot:p%40ss%3Aword")
	f.start()
	f.wantFile("main.hcl", "one")
	if err := open1("robot:wrong").Start(t.Context()); err == nil || strings.Contains(err.Error(), "wrong") {
		t.Errorf("a wrong password: %v", err)
	}
	if err := open(t, gitsource.Options{URL: server.URL + "/repo"}).Start(t.Context()); err == nil || !strings.Contains(err.Error(), "terminal prompts disabled") {
		t.Errorf("no password: %v", err)
	}
}

// A server that repeats what it was sent does not bring it into the log.
func TestAnEchoOfTheURLsUserIsTakenOut(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, pass, ok := r.BasicAuth()
		if !ok {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, "no entry for %s, %s, %s", user, pass, r.Header.Get("Authorization"))
	}))
	t.Cleanup(server.Close)
	for _, userinfo := range []string{"ghp_canarycanary1234:x-oauth-basic", "ghp_canarycanary1234", "robot:ghp_canarycanary1234"} {
		err := open(t, gitsource.Options{URL: strings.Replace(server.URL, "//", "//"+userinfo+"@", 1) + "/repo", Ref: "main"}).Start(t.Context())
		if err == nil || !strings.Contains(err.Error(), "no entry for") {
			t.Errorf("%s: %v, want what the server says", userinfo, err)
		}
		user, pass, _ := strings.Cut(userinfo, ":")
		for _, hidden := range []string{"ghp_", base64.StdEncoding.EncodeToString([]byte(user + ":" + pass))} {
			if strings.Contains(err.Error(), hidden) {
				t.Errorf("%s: %v shows %s", userinfo, err, hidden)
			}
		}
	}
}
