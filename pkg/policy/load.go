package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// DefaultFile is where a policy is looked for.
const DefaultFile = "/etc/tokend-policy.hcl"

// Policy is a list of rules. It is immutable and safe for concurrent use.
type Policy struct {
	file   string
	bytes  []byte
	dir    string // of the configuration
	path   string // in which commands are found
	rules  map[string][]*rule
	parsed *hcl.File
}

// Options say for which process a policy is read.
type Options struct {
	Dir  string // of the configuration; relative paths are relative to it
	Path string // $PATH, in which commands are found
}

// rule is one block.
type rule struct {
	at       hcl.Range
	lists    map[string][]string
	commands [][]string
	modes    map[string]uint32
	where    map[string]hcl.Range
}

// form is what a value of a rule looks like.
type form int

const (
	paths    form = iota // patterns of absolute paths
	names                // patterns of words
	places               // patterns of paths in Vault, mount first
	origins              // patterns of scheme://host:port
	commands             // patterns of argument lists
	mode                 // permission bits
)

// language says which blocks there are and what they may say: by kind of block,
// and by its label where it has one. "*" is any label.
func language() map[string]map[string]map[string]form {
	file := map[string]form{"paths": paths, "owners": names, "groups": names, "max_mode": mode, "max_dir_mode": mode}
	return map[string]map[string]map[string]form{
		"sink":          {"file": file, "env": file, "vault_kv": {"paths": places}},
		"secret":        {"file": {"paths": paths}, "env": {"names": names}, "systemd": {"names": names}, "exec": {"commands": commands, "env": names}, "vault_kv": {"paths": places}},
		"hook":          {"exec": {"commands": commands}, "signal": {"pid_files": paths, "signals": names}, "systemd": {"units": names, "actions": names}},
		"provider":      {"*": {"origins": origins, "proxies": origins}},
		"provider_type": {"*": {}},
		"vault":         {"": {"addresses": origins, "mounts": names, "namespaces": names, "server_names": names}},
		"read":          {"": {"paths": paths}},
		"state":         {"": {"paths": paths, "systemd_credentials": names}},
	}
}

// Trusted says why a policy file is not to be trusted: it, or the directory that
// it is in, belongs to somebody else than root and this process's user, or
// others may change it.
func Trusted(file string) error {
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return fmt.Errorf("reading the policy %s: %w", file, reason(err))
	}
	for _, p := range []string{real, filepath.Dir(real)} {
		info, err := os.Stat(p)
		if err != nil {
			return fmt.Errorf("reading the policy %s: %w", file, reason(err))
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return fmt.Errorf("reading the policy %s: its owner cannot be told", file)
		}
		if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
			return fmt.Errorf("reading the policy %s: %s belongs to user %d, who could change what is allowed; give it to root", file, p, st.Uid)
		}
		if info.Mode()&0o022 != 0 && (!info.IsDir() || info.Mode()&fs.ModeSticky == 0) {
			return fmt.Errorf("reading the policy %s: %s has mode %04o, so that others could change what is allowed; chmod go-w %s", file, p, info.Mode().Perm(), p)
		}
	}
	return nil
}

func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// Load reads a policy. Diagnostics have the places of what is wrong with it; the
// error says why the file could not be read.
func Load(file string, o Options) (*Policy, hcl.Diagnostics, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the policy %s: %w", file, reason(err))
	}
	p, diags := Parse(file, b, o)
	return p, diags, nil
}

// Parse is [Load] of a policy that was read already.
func Parse(file string, b []byte, o Options) (*Policy, hcl.Diagnostics) {
	parsed, diags := hclsyntax.ParseConfig(b, file, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	p := &Policy{file: file, bytes: b, dir: o.Dir, path: o.Path, rules: map[string][]*rule{}, parsed: parsed}
	known := language()
	schema := &hcl.BodySchema{}
	for _, typ := range sorted(known) {
		h := hcl.BlockHeaderSchema{Type: typ}
		if _, plain := known[typ][""]; !plain {
			h.LabelNames = []string{"type"}
		}
		schema.Blocks = append(schema.Blocks, h)
	}
	content, diags := parsed.Body.Content(schema)
	for _, b := range content.Blocks {
		label := strings.Join(b.Labels, "")
		attrs, ok := known[b.Type][label]
		if !ok {
			if attrs, ok = known[b.Type]["*"]; !ok {
				diags = append(diags, problem(b.LabelRanges[0], "Unknown kind", "There is no %s of kind %q; the kinds are %s.", b.Type, label, strings.Join(sorted(known[b.Type]), ", ")))
				continue
			}
		}
		r, more := readRule(b, attrs)
		diags = append(diags, more...)
		p.rules[key(b.Type, label)] = append(p.rules[key(b.Type, label)], r)
	}
	if diags.HasErrors() {
		return nil, diags
	}
	return p, nil
}

func key(typ, label string) string { return typ + "\x00" + label }

func sorted[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

func problem(at hcl.Range, summary, detail string, args ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(detail, args...), Subject: &at}
}

func readRule(b *hcl.Block, attrs map[string]form) (*rule, hcl.Diagnostics) {
	r := &rule{at: b.DefRange, lists: map[string][]string{}, modes: map[string]uint32{}, where: map[string]hcl.Range{}}
	schema := &hcl.BodySchema{}
	for _, n := range sorted(attrs) {
		schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: n})
	}
	content, diags := b.Body.Content(schema)
	for _, n := range sorted(content.Attributes) {
		a := content.Attributes[n]
		v, more := a.Expr.Value(nil)
		diags = append(diags, more...)
		if more.HasErrors() {
			continue
		}
		r.where[n] = a.Range
		if err := r.set(n, attrs[n], v); err != nil {
			diags = append(diags, problem(a.Expr.Range(), "Invalid value", "%s: %v.", n, err))
		}
	}
	return r, diags
}

func (r *rule) set(n string, f form, v cty.Value) error {
	switch f {
	case mode:
		if v.IsNull() || v.Type() != cty.String {
			return errors.New(`permission bits are written in quotes, octal, such as "0640"`)
		}
		bits, err := strconv.ParseUint(v.AsString(), 8, 32)
		if err != nil || bits > 0o7777 {
			return errors.New(`permission bits are written in quotes, octal, such as "0640"`)
		}
		r.modes[n] = uint32(bits)
	case commands:
		lists, err := listOf(v)
		if err != nil {
			return errors.New("a list of commands is needed, each a list of words: the program's absolute path first")
		}
		for _, l := range lists {
			words, err := words(l)
			if err != nil || len(words) == 0 {
				return errors.New("a command is a list of words, the program's absolute path first")
			}
			if err := checkPattern(paths, words[0]); err != nil {
				return err
			}
			r.commands = append(r.commands, words)
		}
	default:
		list, err := words(v)
		if err != nil {
			return err
		}
		for i, s := range list {
			if err := checkPattern(f, s); err != nil {
				return err
			}
			if f == origins {
				list[i] = fullOrigin(s)
			}
		}
		r.lists[n] = list
	}
	return nil
}

func listOf(v cty.Value) ([]cty.Value, error) {
	if v.IsNull() || !v.Type().IsTupleType() && !v.Type().IsListType() {
		return nil, errors.New("a list is needed")
	}
	return v.AsValueSlice(), nil
}

func words(v cty.Value) ([]string, error) {
	list, err := listOf(v)
	if err != nil {
		return nil, errors.New("a list of texts is needed")
	}
	out := make([]string, 0, len(list))
	for _, x := range list {
		if x.IsNull() || x.Type() != cty.String {
			return nil, errors.New("a list of texts is needed")
		}
		out = append(out, x.AsString())
	}
	return out, nil
}

// File is where the policy was read from.
func (p *Policy) File() string { return p.file }

// Same reports whether another policy says the same, byte for byte.
func (p *Policy) Same(o *Policy) bool {
	if p == nil || o == nil {
		return p == o
	}
	return string(p.bytes) == string(o.bytes) && p.file == o.file && p.dir == o.dir
}
