package main

import (
	"tokend/pkg/atomicfile"
	"tokend/pkg/hooks"
	"tokend/pkg/sinks"
	"tokend/pkg/sinks/envsink"
	"tokend/pkg/sinks/filesink"
	"tokend/pkg/sinks/kvsink"
	"tokend/pkg/sources"
	"tokend/pkg/spec"
	"tokend/pkg/vault"
)

// The kinds of sink, secret and hook that this binary has. A new kind is a line
// here and a package of its own.

func sinkSchemas() map[string]spec.Schema {
	return map[string]spec.Schema{
		"file":     filesink.Schema(),
		"env":      envsink.Schema(),
		"vault_kv": kvsink.Schema(),
	}
}

// checkSink says what is wrong with a sink as far as its arguments are known
// while the configuration is read.
func checkSink(kind string, args spec.Values) error {
	switch kind {
	case "file":
		return filesink.Check(args)
	case "env":
		return envsink.Check(args)
	case "vault_kv":
		return kvsink.Check(args)
	}
	return nil
}

func sinkKinds(w *atomicfile.Writer, pool *vault.Pool, dir string) map[string]sinks.Sink {
	return map[string]sinks.Sink{
		"file":     filesink.New(w, dir),
		"env":      envsink.New(w, dir),
		"vault_kv": kvsink.New(pool),
	}
}

func sourceKinds(p process, pool *vault.Pool, dir string) map[string]sources.Source {
	return map[string]sources.Source{
		"file":     sources.File(),
		"env":      sources.Env(p.lookupenv),
		"systemd":  sources.Systemd(p.lookupenv),
		"exec":     sources.Exec(dir, p.environ),
		"vault_kv": sources.VaultKV(pool),
	}
}

func hookKinds(p process, dir string, scrub func(string) string) map[string]hooks.Hook {
	o := hooks.Options{Dir: dir, Environ: p.environ, Scrub: scrub}
	return map[string]hooks.Hook{
		"exec":    hooks.Exec(o),
		"signal":  hooks.Signal(o),
		"systemd": hooks.Systemd(o),
	}
}

// specOptions are what a directory is loaded with.
func (g *globals) specOptions() spec.Options {
	vars := map[string]string{}
	for _, v := range g.vars {
		name, value, _ := cut(v)
		vars[name] = value
	}
	return spec.Options{
		Catalog: g.catalog, Vars: vars, VarFiles: g.varFiles, VarContents: g.varContents, Environ: g.environ, HostName: hostName(), Version: version,
		CheckRead: g.limit.allowRead, Sinks: sinkSchemas(), CheckSink: checkSink, CheckContents: g.contents, Own: g.ownPaths, Secrets: sources.Schemas(), Hooks: hooks.Schemas(), Auths: vault.AuthSchemas(), Vault: vault.Schema(),
	}
}
