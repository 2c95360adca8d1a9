package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/hooks"
	"tokend/pkg/sinks"
	"tokend/pkg/spec"
	"tokend/pkg/standin"
)

// devGuard keeps `tokend dev DIR` on this machine and out of everybody's way,
// so that it can be run on the directory of a real host: only the stand-ins are
// asked, files go below the playground, hooks are named and not run.
type devGuard struct {
	hosts map[string]bool // host:port of the stand-ins
	files string          // where files go; "": where the configuration says
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
		return nil, fmt.Errorf("dev asks nobody but its own stand-ins, and %s is none: leave base_url (and vault blocks) out to try the directory here", address)
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	return d.DialContext(ctx, network, address)
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

// Reads is the kind's own, where it has one.
func (m moved) Reads(args spec.Values) []string {
	if t, ok := m.Sink.(interface{ Reads(spec.Values) []string }); ok {
		return t.Reads(args)
	}
	return nil
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
