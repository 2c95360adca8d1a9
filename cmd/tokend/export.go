package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tokend/pkg/atomicfile"
	"tokend/pkg/reconcile"
	"tokend/pkg/sources"
	"tokend/pkg/spec"
)

// exportFormat is what an export says it is, exportVersion the version of that.
const (
	exportFormat  = "tokend state export"
	exportVersion = 1
)

// stateExport is the file that `state export` writes and `plan --against` reads.
type stateExport struct {
	Format        string `json:"format"`
	FormatVersion int    `json:"format_version"`
	TokendVersion string `json:"tokend_version"`
	reconcile.Export
}

const exportHelp = `Writes what a plan needs of the state, to be planned against away from the host:

    tokend state export --out state.json     on the host
    tokend plan --against state.json         in a checkout, in CI

There is nothing secret in it: no token, no sensitive input, neither in clear nor
hashed. It has addresses, generations, expiries, lifecycle settings, where sinks
are, and, hashed under a key of its own, the inputs that are not sensitive and what
sinks hold but for what is hidden there.`

func stateExportCommand(g *globals) *cobra.Command {
	var out string
	c := &cobra.Command{Use: "export", Short: "write what a plan away from the host needs", Long: exportHelp, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		t, err := g.target(c.Context(), targetOptions{state: true})
		if err != nil {
			return err
		}
		defer t.Close()
		x, err := t.StateExport(c.Context())
		if err != nil {
			return err
		}
		text, err := indentJSON(x)
		if err != nil {
			return fmt.Errorf("encoding the export: %w", err)
		}
		if out == "" {
			_, err = fmt.Fprintln(g.out, text)
			return err
		}
		path, err := filepath.Abs(out)
		if err == nil {
			err = atomicfile.WriteFile(path, []byte(text+"\n"), atomicfile.Attr{Mode: 0o600})
		}
		if err != nil {
			return fmt.Errorf("writing the export: %w", err)
		}
		return nil
	}}
	c.Flags().StringVar(&out, "out", "", "`file` to write it to, readable by its owner alone (default: standard output)")
	return c
}

// StateExport is what a plan needs of the state.
func (e *engine) StateExport(ctx context.Context) (stateExport, error) {
	x, err := e.loop.Export(ctx)
	if err != nil {
		return stateExport{}, err
	}
	return stateExport{Format: exportFormat, FormatVersion: exportVersion, TokendVersion: version, Export: *x}, nil
}

// readExport reads what `state export` wrote.
func readExport(path string) (*stateExport, error) {
	again := func(err error) error {
		return withHint(err, "write it anew on the host: tokend state export --out FILE")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, again(fmt.Errorf("reading the export: %w", err))
	}
	var x stateExport
	if err := json.Unmarshal(b, &x); err != nil {
		return nil, again(fmt.Errorf("reading the export %s: it is cut off, or is no export of tokend's: %w", path, err))
	}
	switch {
	case x.Format != exportFormat:
		return nil, again(fmt.Errorf("reading the export %s: it is not what tokend state export writes", path))
	case x.FormatVersion != exportVersion:
		return nil, again(fmt.Errorf("reading the export %s: its format has version %d, and this tokend (%s) reads %d", path, x.FormatVersion, version, exportVersion))
	case len(x.Key) == 0 || x.Credentials == nil || x.Sinks == nil:
		return nil, again(fmt.Errorf("reading the export %s: it is not whole", path))
	}
	return &x, nil
}

// against plans the directory against an export: without the state, a daemon, a
// secret or the network.
func (g *globals) against(ctx context.Context, path string) (planReply, error) {
	x, err := readExport(path)
	if err != nil {
		return planReply{}, err
	}
	by := &planAgainst{Host: x.Host, Directory: x.Directory, MadeAt: x.MadeAt.UTC().Truncate(time.Second), TokendVersion: x.TokendVersion}
	cfg, err := g.loadAs(x)
	if err != nil {
		r := brokenPlan(err)
		r.Against = by
		return r, err
	}
	store, err := x.Store(ctx)
	if err != nil {
		return planReply{}, err
	}
	defer store.Close()
	log, err := g.quietLogger()
	if err != nil {
		return planReply{}, err
	}
	files := &atomicfile.Writer{}
	defer files.Close()
	loop, err := reconcile.New(ctx, reconcile.Options{
		Store: store, Providers: endpointOpener{log, g.guard, g.limit}, Sources: map[string]sources.Source{}, Sinks: g.sinks(files, nil, x.Directory),
		Snapshot: g.packSnapshot, LoadSnapshot: func([]byte) (*spec.Config, error) { return nil, errors.New("an export has no configuration") },
		Host: x.Host, Away: true, Now: x.Clock(),
	})
	if err != nil {
		return planReply{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- loop.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	held, err := loop.Set(ctx, cfg, reconcile.SetOptions{NoSettle: true, Dry: true})
	if err != nil {
		return planReply{}, err
	}
	p, err := loop.Plan(ctx, reconcile.PlanOptions{NoSecrets: true, NoSettle: true})
	if err != nil {
		return planReply{}, err
	}
	r := planned(p)
	r.Held, r.Configuration = heldIn(held), planConfiguration{Directory: g.config, Valid: true}
	r.Against = by
	return r, nil
}

// loadAs reads the checkout as if it were the host's directory, on that host:
// what the host's state says of a block is compared with what the checkout says,
// and path.config and host.name are part of that.
func (g *globals) loadAs(x *stateExport) (*spec.Config, error) {
	here, err := filepath.Abs(g.config)
	if err != nil {
		here = g.config
	}
	o := g.specOptions()
	o.HostName, o.CheckSink = x.Host, nil
	cfg, diags := spec.Load(here, o)
	if isEmpty(diags) {
		cfg = nil
	}
	if !diags.HasErrors() && cfg != nil && x.Directory != "" && x.Directory != here {
		sources := map[string][]byte{}
		for name, b := range cfg.Sources() {
			sources[strings.ReplaceAll(name, here, x.Directory)] = b
		}
		cfg, diags = spec.LoadFiles(x.Directory, sources, o)
	}
	g.printDiagnostics(diags)
	if diags.HasErrors() || cfg == nil {
		return nil, withHint(g.unusable(g.config, diags), "mend what is marked above and try again")
	}
	return cfg, nil
}

// planAgainst is the export that a plan was made against.
type planAgainst struct {
	Host          string    `json:"host"`
	Directory     string    `json:"directory"`
	MadeAt        time.Time `json:"made_at"`
	TokendVersion string    `json:"tokend_version"`
}

// againstOld is how old an export is of which a plan says so.
const againstOld = time.Hour

func (g *globals) printAgainst(a *planAgainst, now time.Time) {
	if a == nil {
		return
	}
	fmt.Fprintf(g.out, "Planned against the state of %s as of %s; what others changed there since is not seen.\n", a.Host, a.MadeAt.Format(time.RFC3339))
	if age := now.Sub(a.MadeAt); !a.MadeAt.IsZero() && age >= againstOld {
		fmt.Fprintf(g.out, "That is %s ago: tokens that are due since are its host's work and no step here. A newer one: tokend state export\n", short(age))
	}
	if a.TokendVersion != version {
		fmt.Fprintf(g.out, "It was written by tokend %s, and this is %s: more sinks than will be written may be named.\n", a.TokendVersion, version)
	}
	fmt.Fprintln(g.out)
}
