package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/hooks"
	"tokend/pkg/sinks"
	"tokend/pkg/sources"
	"tokend/pkg/spec"
	"tokend/pkg/standin"
)

// devGuard keeps `tokend dev DIR` on this machine and out of everybody's way,
// so that it can be run on the directory of a real host: only the stand-ins are
// asked, files go below the playground, hooks are named and not run.
type devGuard struct {
	hosts map[string]bool // host:port of the stand-ins
	files string          // where files go; "": where the configuration says
	said  sync.Map        // what was made up because it could not be read, once said
}

func newDevGuard(urls standin.URLs, files string) *devGuard {
	g := &devGuard{hosts: map[string]bool{}, files: files}
	for _, u := range []string{urls.Coinify, urls.CoinifyUser, urls.CoinsPh, urls.Cryptohopper, urls.Apirone, urls.OAuth2} {
		if parsed, err := url.Parse(u); err == nil {
			g.hosts[parsed.Host] = true
		}
	}
	return g
}

// dial connects to the stand-ins and to nobody else.
func (g *devGuard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if !g.hosts[address] {
		return nil, fmt.Errorf("dev asks nobody but its own stand-ins, and %s is none: to be tried here, a built-in type needs no base_url; any other, and Vault, is tried against a sandbox of its own, by tokend apply with a --state of its own", address)
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	return d.DialContext(ctx, network, address)
}

// sources are the kinds of secrets that dev reads. Those of Vault, which dev does
// not ask, stay unread.
func (g *devGuard) sources(kinds map[string]sources.Source, log *slog.Logger) map[string]sources.Source {
	if g.files == "" {
		return kinds
	}
	for name, kind := range kinds {
		if name != "vault_kv" {
			kinds[name] = invented{kind, g, log}
		}
	}
	return kinds
}

// inventedSecret stands for a secret that this machine does not have.
const inventedSecret = "made-up-by-tokend-dev"

// invented is a kind of secret that is made up where it cannot be read.
type invented struct {
	sources.Source
	guard *devGuard
	log   *slog.Logger
}

// Read is the kind's own, or what is made up in its place.
func (m invented) Read(ctx context.Context, args spec.Values) (cty.Value, error) {
	v, err := m.Source.Read(ctx, args)
	if err == nil || ctx.Err() != nil {
		return v, err
	}
	if _, known := m.guard.said.LoadOrStore(err.Error(), true); !known {
		m.log.Warn("a secret cannot be read here; dev makes one up, which the stand-ins take", "error", err)
	}
	return cty.StringVal(inventedSecret), nil
}

// listens is where the pages are served: in dev on a free port, since the one
// that the directory names may be the real daemon's.
func (g *globals) listens(addr string) string {
	if g.guard == nil || g.guard.files == "" || addr == "" {
		return addr
	}
	return "127.0.0.1:0"
}

// kinds are the sinks that dev writes with.
func (g *devGuard) kinds(kinds map[string]sinks.Sink) map[string]sinks.Sink {
	if g.files == "" {
		return kinds
	}
	for _, name := range []string{"file", "env"} {
		kinds[name] = moved{kinds[name], g.files}
	}
	return kinds
}

// moved is a kind of sink whose files are below another root.
type moved struct {
	sinks.Sink
	root string
}

// Becomes implements [sinks.Overtaker].
func (m moved) Becomes(d sinks.Desired) string { return sinks.Becomes(m.Sink, d) }

// Render is the kind's own, for the path below the root. Who may read a file
// there is not tried: its owner may not exist on this machine.
func (m moved) Render(args spec.Values) (sinks.Desired, error) {
	path, err := args.String("path")
	if err != nil {
		return sinks.Desired{}, err
	}
	null := cty.NullVal(cty.String)
	return m.Sink.Render(args.With("path", cty.StringVal(filepath.Join(m.root, path))).With("owner", null).With("group", null))
}

// named is a hook that only says what it would do.
type named struct{ log *slog.Logger }

func (n named) Run(_ context.Context, _ spec.Values, changed []spec.Address) error {
	n.log.Info("dev runs no hooks; it would run now", "sinks", len(changed))
	return nil
}

// hooks are the hooks that dev has.
func (g *devGuard) hooks(kinds map[string]hooks.Hook, log *slog.Logger) map[string]hooks.Hook {
	if g.files == "" {
		return kinds
	}
	for name := range kinds {
		kinds[name] = named{log}
	}
	return kinds
}

// dialError is what the guard said, without the URL around it: an authorization
// page's holds the state of a login.
func dialError(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// untried are the credentials that dev cannot obtain, since it has no stand-in
// of their API: those of oauth2 and of types that are no built-in ones.
func untried(cfg *spec.Config) []string {
	var out []string
	for _, a := range cfg.Credentials() {
		c, err := cfg.Credential(a)
		if err == nil && !c.Grant.Static && (!c.Type.Builtin || c.Type.Name == "oauth2") {
			out = append(out, a.Short())
		}
	}
	return out
}

// vaultsOf are the Vault servers that a directory names.
func vaultsOf(cfg *spec.Config) []string {
	var out []string
	for _, a := range cfg.Vaults() {
		out = append(out, string(a))
	}
	return out
}

// vaultWords say that none of them is asked.
func (p *playground) vaultWords() string {
	if len(p.vaults) == 0 {
		return ""
	}
	return fmt.Sprintf(`
dev asks no Vault, so whatever reads from %s or writes to it
fails here. "vault server -dev" is one to try it with, by tokend apply with a
--state of its own.
`, strings.Join(p.vaults, ", "))
}

// untriedWords say so, and what to do instead.
func (p *playground) untriedWords() string {
	if len(p.untried) == 0 {
		return ""
	}
	const most = 5
	names := p.untried
	if len(names) > most {
		names = append(slices.Clone(names[:most]), fmt.Sprintf("%d more", len(names)-most))
	}
	return fmt.Sprintf(`
There is no stand-in for %s: they fail here.
"tokend provider test ADDRESS" shows their requests. To make them, against a
sandbox of their API, on a machine where their sinks may be written:
  tokend apply --config %s --state DIR
`, strings.Join(names, ", "), shellWord(p.config))
}
