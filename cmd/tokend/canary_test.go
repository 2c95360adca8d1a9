package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// canaries are the secrets of canaryConfig, one of each way in which
// a secret comes to tokend. They hold characters that every encoding changes.
func canaries() map[string]string {
	out := map[string]string{}
	for i, name := range []string{"coinify", "apirone", "coinsph", "hopper", "oauth2", "user", "env", "exec", "variable", "offline", "transfer", "code", "pasted"} {
		out[name] = fmt.Sprintf(`cN4ry-%02d+%s/"q=x&%%y\\z-%s`, i, name, strings.Repeat(string(rune('a'+i)), 20))
	}
	return out
}

// canaryWatch collects everything that tokend says anywhere.
type canaryWatch struct {
	*host
	said    bytes.Buffer
	secrets map[string]string
}

// TestCanaries runs everything, at debug level and with providers that repeat
// what they were sent in their errors, and then looks for every secret and every
// token that was issued in all that came out: output, logs, pages, metrics, the
// state's files. Only sinks and what `get` prints may hold them.
func TestCanaries(t *testing.T) {
	w := newCanaryWatch(t)
	w.run("", "validate")
	w.mistakes()
	w.run("", "plan")
	w.run("", "plan", "--json")
	w.run("", "plan", "--no-secrets")
	for _, api := range standin.APIs() {
		w.api.Fail(standin.Fault{API: api, Kind: standin.FaultEcho, Method: http.MethodPost})
	}
	w.run("", "apply", "--auto-approve", "--log-level", "debug")
	w.run("", "status")
	w.api.ClearFaults()

	d := w.start("--log-level", "debug", "--log-format", "json")
	w.logins()
	w.settled()
	w.faults()
	w.orders()
	w.settled()
	w.pages()
	w.broken()
	w.removal()
	d.stop()
	w.said.WriteString(w.log.String())
	w.search()
}

func newCanaryWatch(t *testing.T) *canaryWatch {
	w := &canaryWatch{secrets: canaries()}
	w.host = newHost(t, "", standin.Options{AnyAccount: true, AutoApprove: true, Rules: standin.Rules{ExpiresIn: standin.ExpiryNumber, Rotate: standin.RotateSingleUse}})
	for _, name := range []string{"coinify", "apirone", "coinsph", "hopper", "oauth2", "exec", "offline", "transfer"} {
		w.write(name, w.secrets[name]+"\n")
	}
	w.extra = []string{"TOKEND_VAR_hidden=" + w.secrets["variable"], "CANARY_USER=" + w.secrets["user"]}
	w.write("main.hcl", canaryConfig)
	return w
}

// run keeps what a command says; it may fail.
func (w *canaryWatch) run(stdin string, args ...string) string {
	w.t.Helper()
	out, status := w.tokend(stdin, args...)
	fmt.Fprintf(&w.said, "$ tokend %s\n%s[%d]\n", strings.Join(args, " "), out, status)
	return out
}

func (w *canaryWatch) mistakes() {
	for i, m := range canaryMistakes {
		w.write("mistake.hcl", strings.ReplaceAll(m, "CANARY", strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`).Replace(w.secrets["pasted"]))+"\n")
		before := w.said.Len()
		w.run("", "validate")
		w.run("", "validate", "--json")
		w.run("", "plan")
		if i < 3 && !bytes.Contains(w.said.Bytes()[before:], []byte("error")) {
			w.t.Errorf("mistake %d is not found", i)
		}
	}
	if err := os.Remove(w.path("config", "mistake.hcl")); err != nil {
		w.t.Fatal(err)
	}
}

// login logs in as a person with a browser.
func (w *canaryWatch) login(addr string) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), w.binary, "login", "--paste", addr)
	cmd.Env = w.environ()
	in, err := cmd.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd.Stderr = w.log
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	lines := make([]byte, 4096)
	n, err := out.Read(lines)
	if err != nil {
		w.t.Fatal(err)
	}
	w.said.Write(lines[:n])
	fmt.Fprintln(in, w.approve(addr, strings.TrimSpace(string(lines[:n]))))
	_ = in.Close()
	rest := &bytes.Buffer{}
	_, _ = rest.ReadFrom(out)
	w.said.Write(rest.Bytes())
	if err := cmd.Wait(); err != nil {
		w.t.Fatalf("logging in to %s: %v", addr, err)
	}
}

// approve says yes at an authorization page, and gives what the browser is sent
// to.
func (w *canaryWatch) approve(addr, page string) string {
	w.t.Helper()
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: 10 * time.Second}
	res, err := c.Get(page)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = res.Body.Close()
	back := res.Header.Get("Location")
	if u, err := url.Parse(back); err == nil {
		for _, q := range []string{u.RawQuery, u.Fragment} {
			if v, err := url.ParseQuery(q); err == nil && v.Get("code") != "" {
				w.secrets["code of "+addr] = v.Get("code")
			}
		}
	}
	return back
}

func (w *canaryWatch) logins() {
	w.until("the daemon", func(ctx context.Context) string {
		_, err := w.ask().Status(ctx, noAddress)
		return errText(err)
	})
	code := url.QueryEscape(w.secrets["code"])
	for _, wrong := range []string{
		"http://127.0.0.1:8250/callback?code=" + code + "&state=forged",
		"http://127.0.0.1:8250/callback#code=" + code,
		"http://127.0.0.1:8250/callback?error=1&message=denied&code=" + code,
		w.secrets["pasted"], "http://%zz" + w.secrets["pasted"], "",
	} {
		w.run(wrong+"\n", "login", "--paste", "cryptohopper.bot")
		w.run(wrong+"\n", "login", "--paste", "coinsph.wallet")
	}
	for _, f := range []standin.FaultKind{standin.FaultEcho, standin.FaultGarbage} {
		w.api.Fail(standin.Fault{API: standin.Cryptohopper, Kind: f, Method: http.MethodPost})
		cmd := "cryptohopper.bot"
		w.failingLogin(cmd)
		w.api.ClearFaults()
	}
	w.login("coinsph.wallet")
	w.login("cryptohopper.bot")
}

// failingLogin is a login whose exchange fails.
func (w *canaryWatch) failingLogin(addr string) {
	out := w.run("http://127.0.0.1:8250/callback?code="+url.QueryEscape(w.secrets["code"])+"&state=x\n", "login", "--paste", addr)
	if !strings.Contains(out, "error: ") {
		w.t.Errorf("a login with a forged state succeeded:\n%s", out)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// settled waits until every credential has a token.
func (w *canaryWatch) settled() {
	w.t.Helper()
	w.until("tokens for all", func(ctx context.Context) string {
		s, err := w.ask().Status(ctx, "")
		if err != nil {
			return err.Error()
		}
		for _, l := range s.Credentials {
			if l.Generation == 0 {
				_, _ = w.ask().Order(ctx, orderRequest{Address: l.Address, Order: reconcile.Order{Kind: reconcile.OrderRetry}})
				return l.Address + " has no token: " + l.Why
			}
		}
		return ""
	})
}

// faults has every API fail in every way, once for a refresh.
func (w *canaryWatch) faults() {
	addrs := map[standin.API][2]string{
		standin.Coinify: {"coinify.trader", "coinify"}, standin.Apirone: {"apirone.account", "apirone"}, standin.CoinsPh: {"coinsph.wallet", "coinsph"},
		standin.Cryptohopper: {"cryptohopper.bot", "hopper"}, standin.OAuth2: {"oauth2.billing", "oauth2"},
	}
	for api, of := range addrs {
		addr, sent := of[0], w.secrets[of[1]]
		for _, f := range []standin.Fault{
			{Kind: standin.FaultEcho}, {Kind: standin.FaultEcho, Status: 500}, {Kind: standin.FaultEcho, Status: 200}, {Kind: standin.FaultHTML}, {Kind: standin.FaultGarbage},
			{Kind: standin.FaultOKError, Body: "it was " + sent}, {Kind: standin.FaultRedirect}, {Kind: standin.FaultWrongTypes}, {Kind: standin.FaultMissingToken},
		} {
			f.API, f.Method = api, http.MethodPost
			w.api.Fail(f)
			w.order(addr, reconcile.OrderRefresh)
			w.look(addr)
			w.api.ClearFaults()
			w.order(addr, reconcile.OrderRetry)
			w.recover(api, addr)
		}
	}
	w.run("", "state", "list")
	w.run("", "state", "list", "--json")
}

// order asks the daemon as the command line does, and keeps its answer.
func (w *canaryWatch) order(addr string, kind reconcile.OrderKind) {
	_, err := w.ask().Order(w.t.Context(), orderRequest{Address: "credential." + addr, Order: reconcile.Order{Kind: kind}})
	fmt.Fprintf(&w.said, "order %s of %s: %v (%s)\n", kind, addr, err, hintOf(err))
}

// look keeps what the daemon says of a credential.
func (w *canaryWatch) look(addr string) {
	w.t.Helper()
	s, err := w.ask().Status(w.t.Context(), "credential."+addr)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := w.ask().StateShow(w.t.Context(), "credential."+addr)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, v := range []any{s, r} {
		if err := json.NewEncoder(&w.said).Encode(v); err != nil {
			w.t.Fatal(err)
		}
	}
}

// recover gives a credential a new token after a fault, so that the next one
// meets a refresh again.
func (w *canaryWatch) recover(api standin.API, addr string) {
	w.t.Helper()
	if api == standin.CoinsPh || api == standin.Cryptohopper {
		r, err := w.ask().LoginStart(w.t.Context(), loginRequest{Address: "credential." + addr})
		if err != nil {
			w.t.Fatal(err)
		}
		fmt.Fprintln(&w.said, r.URL)
		if err := w.ask().LoginFinish(w.t.Context(), loginFinish{Address: "credential." + addr, ID: r.ID, Redirect: w.approve(addr, r.URL)}); err != nil {
			w.t.Fatal(err)
		}
		return
	}
	grants := w.api.Counts(api).Grants
	w.order(addr, reconcile.OrderTaint)
	w.until("a new token of "+addr, func(context.Context) string {
		if w.api.Counts(api).Grants == grants {
			w.look(addr)
			return "there is none"
		}
		return ""
	})
}

func (w *canaryWatch) orders() {
	w.run("", "status", "--json")
	w.run("", "get", "coinify.trader", "--field", "nonsense")
	w.run("", "get", "coinify.trader", "--field", "refresh_token")
	w.run("", "taint", "coinify.trader")
	w.run("", "revoke", "coinify.hidden")
	w.api.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultEcho, Method: http.MethodPost})
	w.run("", "revoke", "coinify.offline")
	w.run("", "action", "coinify.hidden", "deactivate")
	w.run("", "plan")
	w.run("", "provider", "show", "coinify")
	w.run("", "exec", "--env", "T=coinify.trader", "--", "true")
	for _, a := range []string{"coinify.trader", "apirone.key", "coinsph.wallet", "cryptohopper.bot", "oauth2.billing", "sink.file.trader", "sink.env.all"} {
		w.run("", "state", "show", a)
	}
}

// pages reads what the daemon serves.
func (w *canaryWatch) pages() {
	listen := w.host.pages(1)
	for _, p := range []string{"/", "/readyz", "/livez", "/metrics", "/callback?code=x", "/status"} {
		res, err := http.Get("http://" + listen + p)
		if err != nil {
			w.t.Fatal(err)
		}
		fmt.Fprintf(&w.said, "GET %s: %s\n", p, res.Status)
		_, _ = w.said.ReadFrom(res.Body)
		_ = res.Body.Close()
	}
}

// broken has the daemon meet a broken configuration.
func (w *canaryWatch) broken() {
	w.write("mistake.hcl", strings.ReplaceAll(canaryMistakes[1], "CANARY", "x"+strings.ReplaceAll(w.secrets["pasted"], `"`, `'`)))
	w.until("the broken configuration", func(context.Context) string {
		if out := w.run("", "status"); !strings.Contains(out, "broken since") {
			return out
		}
		return ""
	})
	w.pages()
	if err := os.Remove(w.path("config", "mistake.hcl")); err != nil {
		w.t.Fatal(err)
	}
}

// removal gives things up while the API repeats what it was sent.
func (w *canaryWatch) removal() {
	w.api.Fail(standin.Fault{Kind: standin.FaultEcho, Method: http.MethodPost, Times: 3})
	w.write("main.hcl", canaryConfig[:strings.Index(canaryConfig, `sink "file" "trader"`)])
	w.until("the removal of the sinks", func(ctx context.Context) string {
		out := w.run("", "status")
		s, err := w.ask().Status(ctx, "")
		if err != nil {
			return err.Error()
		}
		if len(s.Sinks) > 0 { // what a failing hook printed may name a sink for long
			return out
		}
		return ""
	})
}

// search looks for every secret in all that was said and in the state.
func (w *canaryWatch) search() {
	w.t.Helper()
	places := map[string][]byte{"what was said": w.said.Bytes()}
	err := filepath.WalkDir(w.path("state"), func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		places[p] = b
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	values := map[string]string{}
	for name, v := range w.secrets {
		values["secret "+name] = v
	}
	issued := 0
	for api, l := range w.api.Books() {
		for _, tok := range l.Tokens {
			values[fmt.Sprintf("%s token of %s (%s)", tok.Kind, api, tok.ID)] = tok.Value
			issued++
		}
	}
	if issued < 30 {
		w.t.Errorf("only %d tokens were issued: this run proves little", issued)
	}
	for place, text := range places {
		for what, v := range values {
			for form, needle := range leaks(v) {
				if i := bytes.Index(text, []byte(needle)); i >= 0 {
					w.t.Errorf("%s is in %s, %s:\n…%s…", what, place, form, text[max(0, i-300):min(len(text), i+200)])
				}
			}
		}
	}
}

// leaks are the ways in which a value may show: whole or in part, and encoded.
func leaks(v string) map[string]string {
	quoted, _ := json.Marshal(v)
	out := map[string]string{
		"in JSON": string(quoted[1 : len(quoted)-1]), "URL encoded": url.QueryEscape(v), "path escaped": url.PathEscape(v),
		"in hex": hex.EncodeToString([]byte(v)), "in upper hex": strings.ToUpper(hex.EncodeToString([]byte(v))),
	}
	// A part of it is a leak too: a text that was cut, say. JWTs begin alike.
	const part = 16
	for _, at := range []int{len(v) / 2, len(v) - part} {
		if at >= 0 && at+part <= len(v) {
			out[fmt.Sprintf("in clear, from byte %d", at)] = v[at : at+part]
		}
	}
	for shift := range 3 {
		for name, enc := range map[string]*base64.Encoding{"base64": base64.StdEncoding, "base64url": base64.URLEncoding} {
			s := enc.EncodeToString(append(make([]byte, shift), v...))
			// What the neighbours' bytes share is cut off at both ends.
			out[fmt.Sprintf("in %s, shifted by %d", name, shift)] = s[4 : len(s)-4]
		}
	}
	return out
}

// TestLeaksAreFound holds the search of TestCanaries against every encoding.
func TestLeaksAreFound(t *testing.T) {
	for name, v := range canaries() {
		texts := map[string]string{
			"clear": "a " + v + " b", "cut": "…" + v[20:], "URL": "?x=" + url.QueryEscape(v) + "&y", "hex": fmt.Sprintf("<%x>", v), "HEX": fmt.Sprintf("<%X>", v),
		}
		for _, before := range []string{"", "x", "xy", "xyz:"} {
			for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
				texts[fmt.Sprintf("base64 %q %p", before, enc)] = enc.EncodeToString([]byte(before + v + ":z"))
			}
		}
		for form, text := range texts {
			found := false
			for _, needle := range leaks(v) {
				found = found || strings.Contains(text, needle)
			}
			if !found {
				t.Errorf("%s in %s is not found", name, form)
			}
		}
	}
}
