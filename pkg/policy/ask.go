package policy

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"tokend/pkg/spec"
)

// Violation is something that the policy forbids.
type Violation struct {
	Arg  string // of the block; "" for the block itself
	Why  string // a sentence without an end, with the rule in it
	past int    // how much of the block that came nearest it satisfied
}

// Error says what is forbidden, and by which rule.
func (v *Violation) Error() string { return "forbidden by the host's policy: " + v.Why }

func (p *Policy) place(r hcl.Range) string {
	return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line)
}

// allowed asks the blocks of a kind in turn; an answer of nil is a yes. Of the
// others, the one that got farthest is told.
func (p *Policy) allowed(typ, label, what string, ask func(*rule) *Violation) error {
	list := p.rules[key(typ, label)]
	if any := p.rules[key(typ, "*")]; typ == "provider" || typ == "provider_type" {
		list = append(slices.Clone(list), any...)
	}
	var nearest *Violation
	for _, r := range list {
		v := ask(r)
		if v == nil {
			return nil
		}
		if nearest == nil || v.past >= nearest.past {
			nearest = v
		}
	}
	if nearest == nil {
		nearest = &Violation{Why: fmt.Sprintf("%s has no block that allows %s", p.file, what)}
	}
	return nearest
}

// no is a refusal by an attribute of a rule, or by its absence.
func (p *Policy) no(r *rule, attr, arg string, past int, got string) *Violation {
	if at, ok := r.where[attr]; ok {
		return &Violation{Arg: arg, past: past, Why: fmt.Sprintf("%s is not among the %s of %s", got, attr, p.place(at))}
	}
	return &Violation{Arg: arg, past: past, Why: fmt.Sprintf("%s is not allowed, since %s has no %s", got, p.place(r.at), attr)}
}

// text is an argument that is a known text; absent ones are "".
func text(args spec.Values, n string) (string, bool) {
	if v, _ := args.Cty(n).Unmark(); !v.IsKnown() {
		return "", false
	}
	s, err := args.String(n)
	return s, err == nil
}

func unknown(arg string) *Violation {
	return &Violation{Arg: arg, Why: arg + " cannot be told"}
}

// Sink says whether a sink may be as its arguments say. They may be those that
// are known without tokens.
func (p *Policy) Sink(kind string, args spec.Values) error {
	what := fmt.Sprintf("sink %q", kind)
	return p.allowed("sink", kind, what, func(r *rule) *Violation {
		switch kind {
		case "file", "env":
			return p.file1(r, kind, args)
		case "vault_kv":
			return p.kv(r, args)
		}
		return &Violation{Why: what + " is a kind that no policy knows"}
	})
}

// Modes that a rule allows which does not say, the harmless defaults.
const (
	defaultMode    = 0o600
	defaultDirMode = 0o750
)

func (p *Policy) file1(r *rule, kind string, args spec.Values) *Violation {
	where, ok := text(args, "path")
	if !ok || where == "" {
		return unknown("path")
	}
	if full := p.abs(where); !allowsPath(r.lists["paths"], full) {
		return p.no(r, "paths", "path", 0, led(full))
	}
	for i, a := range []struct {
		arg, attr string
		same      func(a, b string) bool
	}{{"owner", "owners", sameUser}, {"group", "groups", sameGroup}} {
		v, ok := text(args, a.arg)
		if !ok {
			return unknown(a.arg)
		}
		if v != "" && !slices.ContainsFunc(r.lists[a.attr], func(x string) bool { return x == "*" || a.same(x, v) }) {
			return p.no(r, a.attr, a.arg, 1+i, a.arg+" "+strconv.Quote(v))
		}
	}
	for i, a := range []struct {
		arg, attr string
		most      uint32
	}{{"mode", "max_mode", defaultMode}, {"dir_mode", "max_dir_mode", defaultDirMode}} {
		v, ok := text(args, a.arg)
		if !ok {
			return unknown(a.arg)
		}
		if v == "" {
			continue // its own default
		}
		most := a.most
		if m, ok := r.modes[a.attr]; ok {
			most = m
		}
		bits, err := strconv.ParseUint(v, 8, 32)
		if err != nil || uint32(bits)&^most != 0 {
			at := r.at
			if w, ok := r.where[a.attr]; ok {
				at = w
			}
			return &Violation{Arg: a.arg, past: 3 + i, Why: fmt.Sprintf("%s %s is more than %s of %s, %04o", a.arg, v, a.attr, p.place(at), most)}
		}
	}
	if t, ok := text(args, "template"); kind == "env" && ok && t != "" {
		if err := p.Read(p.abs(t)); err != nil {
			return &Violation{Arg: "template", past: 5, Why: why(err)}
		}
	}
	return nil
}

// led is a path with what it leads to, where that is another.
func led(full string) string {
	if real := resolve(full); real != full {
		return full + " (which leads to " + real + ")"
	}
	return full
}

func why(err error) string {
	var v *Violation
	if errors.As(err, &v) {
		return v.Why
	}
	return err.Error()
}

func (p *Policy) kv(r *rule, args spec.Values) *Violation {
	mount, ok1 := text(args, "mount")
	at, ok2 := text(args, "path")
	if !ok1 || !ok2 {
		return unknown("path")
	}
	full := path.Join(mount, at)
	if !matchesPath(r.lists["paths"], full) {
		return p.no(r, "paths", "path", 0, full)
	}
	if err := p.Mount(mount); err != nil {
		return &Violation{Arg: "mount", past: 1, Why: why(err)}
	}
	return nil
}

// Secret says whether a secret may be read as its arguments say.
func (p *Policy) Secret(kind string, args spec.Values) error {
	what := fmt.Sprintf("secret %q", kind)
	return p.allowed("secret", kind, what, func(r *rule) *Violation {
		switch kind {
		case "file":
			return p.path1(r, "paths", "path", args)
		case "env", "systemd":
			n, ok := text(args, "name")
			if !ok || !anyWild(r.lists["names"], n, "") {
				return p.no(r, "names", "name", 0, strconv.Quote(n))
			}
			return nil
		case "vault_kv":
			return p.kv(r, args)
		case "exec":
			if v := p.command(r, "command", args); v != nil {
				return v
			}
			return p.environment(r, args)
		}
		return &Violation{Why: what + " is a kind that no policy knows"}
	})
}

func (p *Policy) path1(r *rule, attr, arg string, args spec.Values) *Violation {
	v, ok := text(args, arg)
	if !ok || v == "" {
		return unknown(arg)
	}
	if full := p.abs(v); !allowsPath(r.lists[attr], full) {
		return p.no(r, attr, arg, 0, led(full))
	}
	return nil
}

func (p *Policy) command(r *rule, arg string, args spec.Values) *Violation {
	argv, err := args.Strings(arg)
	if err != nil || len(argv) == 0 || argv[0] == "" {
		return unknown(arg)
	}
	program, err := p.program(argv[0])
	if err != nil {
		return &Violation{Arg: arg, Why: err.Error()}
	}
	// Where /bin is a link to /usr/bin, a program has two names. One by another
	// name may be another program (busybox).
	real := resolve(program)
	twin := filepath.Base(real) == filepath.Base(program) && !p.shifts(program)
	for _, pattern := range r.commands {
		if matchesCommand(pattern, program, argv[1:]) && leadsInto(pattern[:1], program) || twin && matchesCommand(pattern, real, argv[1:]) {
			return nil
		}
	}
	return p.no(r, "commands", arg, 0, strings.Join(append([]string{led(program)}, argv[1:]...), " "))
}

// environment: variables such as PATH and LD_PRELOAD decide what a program is.
func (p *Policy) environment(r *rule, args spec.Values) *Violation {
	env, _ := args.Cty("env").Unmark()
	if env.IsNull() {
		return nil
	}
	if !env.IsKnown() {
		if slices.Contains(r.lists["env"], "*") {
			return nil
		}
		return unknown("env")
	}
	for n := range env.AsValueMap() {
		if !anyWild(r.lists["env"], n, "") {
			return p.no(r, "env", "env", 1, "the variable "+n)
		}
	}
	return nil
}

// Hook says whether a hook may be run as its arguments say.
func (p *Policy) Hook(kind string, args spec.Values) error {
	what := fmt.Sprintf("hook %q", kind)
	return p.allowed("hook", kind, what, func(r *rule) *Violation {
		switch kind {
		case "exec":
			if v := p.command(r, "command", args); v != nil {
				return v
			}
			if check, err := args.Strings("check"); err == nil && len(check) == 0 {
				return nil
			}
			return p.command(r, "check", args)
		case "signal":
			if v := p.path1(r, "pid_files", "pid_file", args); v != nil {
				return v
			}
			return p.word(r, "signals", "signal", "HUP", args)
		case "systemd":
			if v := p.word(r, "units", "unit", "", args); v != nil {
				return v
			}
			return p.word(r, "actions", "action", "reload-or-restart", args)
		}
		return &Violation{Why: what + " is a kind that no policy knows"}
	})
}

// word asks for one word; actions and signals are free where a rule is silent.
func (p *Policy) word(r *rule, attr, arg, def string, args spec.Values) *Violation {
	v, ok := text(args, arg)
	if !ok {
		return unknown(arg)
	}
	if v == "" {
		v = def
	}
	if _, said := r.where[attr]; !said && def != "" {
		return nil
	}
	name := v
	if arg == "unit" && !strings.Contains(v, ".") {
		name = v + ".service"
	}
	if !anyWild(r.lists[attr], v, "") && !anyWild(r.lists[attr], name, "") {
		return p.no(r, attr, arg, 1, strconv.Quote(name))
	}
	return nil
}

// Origin says whether a provider of a type may be asked at scheme://host:port.
func (p *Policy) Origin(typ, origin string) error {
	return p.allowed("provider", typ, fmt.Sprintf("provider %q", typ), func(r *rule) *Violation {
		if anyWild(r.lists["origins"], fullOrigin(origin), "/:@") {
			return nil
		}
		return p.no(r, "origins", "", 0, origin)
	})
}

// Proxy says whether a provider of a type may be reached through a proxy.
func (p *Policy) Proxy(typ, proxy string) error {
	return p.allowed("provider", typ, fmt.Sprintf("provider %q", typ), func(r *rule) *Violation {
		if anyWild(r.lists["proxies"], originOf(proxy), "/:@") {
			return nil
		}
		return p.no(r, "proxies", "http", 0, originOf(proxy))
	})
}

// Vault says whether a Vault server may be asked in a namespace, and with another
// name in its certificate than that of its host. In each namespace the same paths
// mean other secrets.
func (p *Policy) Vault(address, namespace, name string) error {
	return p.allowed("vault", "", "a Vault server", func(r *rule) *Violation {
		if o := originOf(address); o == "" || !anyWild(r.lists["addresses"], o, "/:@") {
			return p.no(r, "addresses", "address", 0, address)
		}
		if n := strings.Trim(namespace, "/"); n != "" && !anyWild(r.lists["namespaces"], n, "") {
			return p.no(r, "namespaces", "namespace", 1, "namespace "+strconv.Quote(n))
		}
		if name != "" && !anyWild(r.lists["server_names"], name, "") {
			return p.no(r, "server_names", "tls_server_name", 2, "tls_server_name "+strconv.Quote(name))
		}
		return nil
	})
}

// Mount says whether a mount of Vault's may be used: of secrets, to log in, or
// of keys. Vault takes the first part of a request's path for a namespace where there
// is one by that name, so that a pattern does not step over a slash.
func (p *Policy) Mount(mount string) error {
	return p.allowed("vault", "", "a Vault server", func(r *rule) *Violation {
		if anyWild(r.lists["mounts"], strings.Trim(mount, "/"), "/") {
			return nil
		}
		return p.no(r, "mounts", "mount", 0, "mount "+strconv.Quote(mount))
	})
}

// Read says whether a file may be read by a function, as a template, or for a
// client's settings. What is in the configuration's directory may.
func (p *Policy) Read(path string) error {
	full := p.abs(path)
	if within(full, p.dir, resolve(p.dir)) {
		return nil
	}
	return p.ReadOutside(full)
}

// ReadOutside is [Policy.Read] of what must not come with the configuration,
// such as the certificates that a server is trusted by.
func (p *Policy) ReadOutside(path string) error {
	full := p.abs(path)
	return p.allowed("read", "", "reading "+led(full), func(r *rule) *Violation {
		if allowsPath(r.lists["paths"], full) {
			return nil
		}
		return p.no(r, "paths", "", 0, led(full))
	})
}

// State says whether the state may be, and its key be read, at a path.
func (p *Policy) State(path string) error {
	full := p.abs(path)
	return p.allowed("state", "", "the configuration to say where the state is", func(r *rule) *Violation {
		if allowsPath(r.lists["paths"], full) {
			return nil
		}
		return p.no(r, "paths", "", 0, led(full))
	})
}

// StateKey says whether the state's key may be a systemd credential of this name.
func (p *Policy) StateKey(credential string) error {
	return p.allowed("state", "", "the configuration to say what the state is sealed by", func(r *rule) *Violation {
		if anyWild(r.lists["systemd_credentials"], credential, "") {
			return nil
		}
		return p.no(r, "systemd_credentials", "", 0, strconv.Quote(credential))
	})
}

// Type says whether the configuration may declare a provider type.
func (p *Policy) Type(name string) error {
	return p.allowed("provider_type", name, fmt.Sprintf("provider_type %q", name), func(*rule) *Violation { return nil })
}
