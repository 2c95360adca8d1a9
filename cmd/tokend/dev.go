package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tokend/examples"
	"tokend/pkg/providers/catalog"
	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

const devHelp = `Runs everything on this machine: stand-ins of the built-in APIs whose tokens live
for half a minute, a state that is thrown away at the end, and the daemon on DIR
(default: a copy of a built-in quickstart). The built-in provider types point at
the stand-ins, and logins that need a person are approved by the stand-ins
themselves.

Types of your own and oauth2 have no stand-in: their credentials are shown, and
fail. Try those against a sandbox of their API, by "tokend apply" with a --state of
its own.

With a DIR of your own nobody but the stand-ins is asked (a base_url that points
elsewhere is refused, and so is a Vault server), files are written below a
temporary directory instead of where they would go, hooks are not run, and the
status page has a port of its own. Secrets are read as the directory says, and
shown to the stand-ins; one that cannot be read here is made up, since the
stand-ins take any. The key that the directory names for its state is not needed.

On a terminal it shows a live table, otherwise log lines. Ctrl-C ends it.`

func devCommand(g *globals) *cobra.Command {
	var lifetime time.Duration
	c := &cobra.Command{Use: "dev [DIR]", Short: "try it: everything on this machine", Long: devHelp, Args: cobra.MaximumNArgs(1), RunE: func(c *cobra.Command, args []string) error {
		dir := ""
		if len(args) > 0 {
			dir = args[0]
		}
		return g.dev(c.Context(), dir, lifetime)
	}}
	c.Flags().DurationVar(&lifetime, "lifetime", 30*time.Second, "how long the stand-ins' tokens live")
	return c
}

// playground is where dev puts what it makes.
type playground struct {
	root   string // removed at the end
	config string
	own    bool // the configuration is a directory of the user's
	urls   standin.URLs
	// untried are credentials of whose APIs there is no stand-in.
	untried []string
	// vaults are the Vault servers, which are not asked.
	vaults []string
}

func (g *globals) dev(ctx context.Context, dir string, lifetime time.Duration) error {
	if err := devDirectory(dir); err != nil {
		return err
	}
	run, err := startStandins(ctx, lifetime)
	if err != nil {
		return err
	}
	defer run.Close()
	p, err := g.playground(dir, run.URLs)
	if err != nil {
		return err
	}
	defer os.RemoveAll(p.root)
	g.config, g.configSet = p.config, true
	g.state = filepath.Join(p.root, "state")
	g.control, g.controlSet, g.served = filepath.Join(p.root, "tokend.sock"), true, true
	g.catalog = os.DirFS(filepath.Join(p.root, "catalog"))
	files := ""
	if dir != "" {
		files = filepath.Join(p.root, "files")
	}
	g.guard = newDevGuard(run.URLs, files)
	if cfg, err := g.load(nil); err != nil {
		return err
	} else if p.untried, p.vaults = untried(cfg), vaultsOf(cfg); len(cfg.Credentials()) == 0 {
		return withHint(fmt.Errorf("%s declares no credential", p.config), "declare one in it, or try the built-in quickstart: tokend dev")
	}
	if isTerminal(g.out) {
		return g.devTerminal(ctx, p)
	}
	fmt.Fprint(g.out, p.words(g.control))
	defer func() { fmt.Fprintf(g.out, "Stopped; %s is removed.\n", p.root) }()
	if g.logFormat == "auto" {
		g.logFormat = "text"
	}
	log, err := g.logger()
	if err != nil {
		return err
	}
	return g.devDaemon(ctx, log, nil)
}

// devDirectory refuses what is no directory of a configuration.
func devDirectory(dir string) error {
	if dir == "" {
		return nil
	}
	const hint = "give a directory with *.hcl files, or none to try the built-in quickstart: tokend dev"
	st, err := os.Stat(dir)
	switch {
	case err != nil:
		return withHint(fmt.Errorf("trying %s: %w", dir, errors.Unwrap(err)), hint)
	case !st.IsDir():
		return withHint(fmt.Errorf("trying %s: it is a file, not a directory", dir), hint)
	}
	return nil
}

func startStandins(ctx context.Context, lifetime time.Duration) (*standin.Running, error) {
	s := standin.New(standin.Options{
		AnyAccount: true, AutoApprove: true,
		Rules: standin.Rules{AccessLifetime: lifetime, RefreshLifetime: time.Hour, Rotate: standin.RotateSingleUse, ExpiresIn: standin.ExpiryNumber},
	})
	run, err := standin.Start(ctx, s, standin.Listen{})
	if err != nil {
		return nil, fmt.Errorf("starting the stand-ins: %w", err)
	}
	return run, nil
}

// playground lays out what dev needs: a copy of the quickstart where no
// directory is given, and the built-in provider types with the stand-ins'
// addresses.
func (g *globals) playground(dir string, urls standin.URLs) (*playground, error) {
	root, err := os.MkdirTemp("", "tokend-dev-")
	if err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	p := &playground{root: root, config: dir, own: dir != "", urls: urls}
	if err := p.fill(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(root))
	}
	return p, nil
}

func (p *playground) fill() error {
	if p.config == "" {
		p.config = filepath.Join(p.root, "config")
		quickstart, err := fs.Sub(examples.Quickstart, "quickstart")
		if err != nil {
			return err
		}
		if err := copyTree(p.config, quickstart, func(b []byte) []byte { return b }); err != nil {
			return fmt.Errorf("laying out the quickstart: %w", err)
		}
	}
	abs, err := filepath.Abs(p.config)
	if err != nil {
		return err
	}
	p.config = abs
	if err := copyTree(filepath.Join(p.root, "catalog"), catalog.FS, p.pointAtStandins); err != nil {
		return fmt.Errorf("laying out the provider types: %w", err)
	}
	return nil
}

// pointAtStandins replaces the real APIs' addresses in a provider type.
func (p *playground) pointAtStandins(b []byte) []byte {
	return []byte(strings.NewReplacer(
		`"https://app-api.coinify.com"`, quote(p.urls.Coinify), `"https://user.coinify.com"`, quote(p.urls.CoinifyUser),
		`"https://coins.ph"`, quote(p.urls.CoinsPh), `"https://www.cryptohopper.com"`, quote(p.urls.Cryptohopper),
		`"https://apirone.com"`, quote(p.urls.Apirone),
	).Replace(string(b)))
}

func quote(s string) string { return `"` + s + `"` }

func copyTree(to string, from fs.FS, change func([]byte) []byte) error {
	return fs.WalkDir(from, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, filepath.FromSlash(path))
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		b, err := fs.ReadFile(from, path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, change(b), 0o600)
	})
}

// words says what there is and what to try.
func (p *playground) words(socket string) string {
	out := filepath.Join(p.config, "out")
	self, err := os.Executable()
	if err != nil {
		self = "tokend"
	}
	if onPath, err := exec.LookPath("tokend"); err == nil && same(onPath, self) {
		self = "tokend"
	}
	head := fmt.Sprintf(`tokend dev: stand-ins of Coinify, Coins.ph, Cryptohopper and Apirone run on this
machine, and tokend keeps their tokens fresh.

  configuration  %s
`, p.config)
	try := fmt.Sprintf("  %s status --control %s\n", self, socket)
	if p.own {
		head += fmt.Sprintf("  files          %s (instead of where they would go)\n", filepath.Join(p.root, "files"))
	} else {
		head += fmt.Sprintf("  tokens         %s\n", out)
		try = fmt.Sprintf(`  cat %s/bot.env              again after a refresh: another token
  rm %s/apirone.token         it comes back within a second
  $EDITOR %s/main.hcl   take "bob" out: ten seconds later his token is revoked
`, out, out, p.config) + try
	}
	return head + p.untriedWords() + p.vaultWords() + "\nTry, in another terminal:\n" + try + "\nCtrl-C ends it and removes what it made.\n\n"
}

// devDaemon is the daemon, with somebody who approves logins.
func (g *globals) devDaemon(ctx context.Context, log *slog.Logger, started func(*engine)) error {
	return g.daemon(ctx, log, daemonOptions{dev: true, started: func(e *engine) {
		go e.approveLogins(ctx)
		if started != nil {
			started(e)
		}
	}})
}

// approveLogins does what a person would do at a browser, against stand-ins
// that approve by themselves. Why one cannot be approved is said once.
func (e *engine) approveLogins(ctx context.Context) {
	said := map[string]string{}
	for pause(ctx, 300*time.Millisecond) == nil {
		v, err := e.loop.Status(ctx, "")
		if err != nil {
			return
		}
		for _, l := range v.Credentials {
			if l.State != reconcile.NeedsLogin {
				continue
			}
			switch err := e.approveLogin(ctx, l.Address); {
			case err == nil:
				delete(said, l.Address)
			case ctx.Err() == nil && said[l.Address] != err.Error():
				said[l.Address] = err.Error()
				e.log.Warn("approving a login at the stand-in failed", "address", l.Address, "error", err)
			}
		}
	}
}

func (e *engine) approveLogin(ctx context.Context, addr string) error {
	if _, _, want, err := e.loop.LoginCall(ctx, addr); err == nil && want.Grant.Device != nil {
		return nil // there is no stand-in of such an API
	}
	r, err := e.LoginStart(ctx, loginRequest{Address: addr, Paste: true})
	if err != nil {
		return err
	}
	// By the guard: the page of an API without a stand-in is the real one.
	client := &http.Client{Transport: &http.Transport{DialContext: e.g.guard.dial, DisableKeepAlives: true}, Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("asking the authorization page: %w", dialError(err))
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
	to := res.Header.Get("Location")
	if to == "" {
		return fmt.Errorf("the authorization page answered %s and no redirect", res.Status)
	}
	return e.exchangeLogin(ctx, loginFinish{Address: addr, ID: r.ID, Redirect: to})
}
