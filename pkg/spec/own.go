package spec

import (
	"hash/maphash"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// OwnPath is a path that tokend itself works with, whatever the directory says.
type OwnPath struct {
	Path string // relative to where the process works, unless it is absolute
	// Below says that it is a directory which is tokend's with all that is in it.
	Below bool
	// What completes a sentence about the path: "belongs to tokend's state".
	What string
}

// reading is one file that a block names in order to read it.
type reading struct {
	path string
	by   Address
}

// noteReadings notes the files that the arguments of a block name: all that
// are paths, but of a sink those alone that it reads.
func (c *Config) noteReadings(sc *Schema, by Address, m map[string]cty.Value, out []reading) []reading {
	for i := range sc.Attrs {
		at := &sc.Attrs[i]
		if !at.Content && (!at.Path || by.Kind() == kindSink) {
			continue
		}
		if v, ok := m[at.Name]; ok {
			u, _ := v.Unmark()
			if u.Type() == cty.String && u.IsKnown() && !u.IsNull() && u.AsString() != "" {
				out = append(out, reading{c.abs(u.AsString()), by})
			}
		}
	}
	for i := range sc.Blocks {
		b := &sc.Blocks[i]
		v, ok := m[b.Name]
		if !ok || !v.Type().IsObjectType() || v.IsMarked() || !v.IsKnown() || v.IsNull() {
			continue
		}
		inner, vals := &b.Schema, v.AsValueMap()
		if b.Name == authBlock {
			if l, labelled := vals[labelKey("type")]; labelled {
				inner = c.auths[l.AsString()]
			}
		}
		if inner != nil {
			out = c.noteReadings(inner, by, vals, out)
		}
	}
	return out
}

// ownFiles knows what tokend itself reads and writes, so that no sink is
// written there: its state, its configuration, and every file that the
// configuration names as an input. Links to directories are followed, so that a
// directory is the same by all of its names.
type ownFiles struct {
	below  map[string]string            // directories that are tokend's with all that is in them, and what they are
	files  map[string]map[string]string // by directory and name: what is said of a file
	rows   []uint64                     // in place of files, where only the hashes of these are known
	seed   maphash.Seed
	config string
	dirs   map[string]*ownDir // that were looked at, by the name that was used
}

// ownDir is what is known of a directory.
type ownDir struct {
	path    string // with links followed
	missing bool
	what    string // why all that is in it is tokend's; "" when it is not
	config  bool   // it is that of the configuration
}

// newOwnFiles knows what is tokend's in any case: the directories and files of
// the options, the key of the state, and the configuration's directory.
func (l *loader) newOwnFiles() *ownFiles {
	o := &ownFiles{below: map[string]string{}, files: map[string]map[string]string{}, seed: l.c.seed, dirs: map[string]*ownDir{}}
	var own []OwnPath
	if l.o.Own != nil {
		own = l.o.Own(l.c.settings.State)
	}
	for _, p := range own {
		abs, err := filepath.Abs(p.Path)
		if err != nil || p.Path == "" {
			continue
		}
		o.add(abs, p.What)
		if p.Below {
			if real := o.real(abs); o.below[real] == "" {
				o.below[real] = p.What
			}
		}
	}
	o.config = o.real(l.c.dir)
	clear(o.dirs) // they were looked at before below and config were known
	if key := l.c.settings.State.KeyFile; key != "" {
		o.add(l.c.abs(key), "has the key of tokend's state")
	}
	return o
}

// learn adds what the configuration reads.
func (o *ownFiles) learn(l *loader, readings []reading) {
	for _, s := range l.c.sources {
		path := filepath.Join(l.c.dir, s.name)
		if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSymlink != 0 {
			o.add(path, "is a file of this configuration")
		}
	}
	for _, r := range readings {
		o.add(r.path, "is read by "+string(r.by))
	}
	for _, file := range l.o.VarFiles {
		if abs, err := filepath.Abs(file); err == nil {
			o.add(abs, "has values of variables")
		}
	}
	for _, path := range l.c.reads.list() {
		o.add(path, "is read by this configuration, by a function such as file or templatefile")
	}
}

// add notes a file, and where it is a link, the one that it leads to. What was
// said of it first stays.
func (o *ownFiles) add(path, what string) {
	o.put(path, what)
	if real, err := filepath.EvalSymlinks(path); err == nil && real != path {
		o.put(real, what)
	}
}

func (o *ownFiles) put(path, what string) {
	dir, base := split(path)
	real := o.dir(dir).path
	in := o.files[real]
	if in == nil {
		in = map[string]string{}
		o.files[real] = in
	}
	if _, said := in[base]; !said {
		in[base] = what
	}
}

// find says what a clean absolute path is to tokend; "": nothing.
func (o *ownFiles) find(path string) string {
	at, base := split(path)
	dir := o.dir(at)
	switch {
	case dir.what != "":
		return dir.what
	case dir.config && IsConfigFile(base):
		return "is a file of this configuration"
	case o.rows != nil && o.holds(dir.path, base):
		return "is in use"
	}
	return o.files[dir.path][base]
}

// dir looks at a directory, each once, its parents first.
func (o *ownFiles) dir(path string) *ownDir {
	if d, ok := o.dirs[path]; ok {
		return d
	}
	d := &ownDir{path: path}
	if up, base := split(path); path != up {
		parent := o.dir(up)
		d.path, d.missing = filepath.Join(parent.path, base), parent.missing
		if !d.missing {
			info, err := os.Lstat(d.path)
			d.missing = err != nil
			if err == nil && info.Mode()&os.ModeSymlink != 0 {
				d.follow()
			}
		}
	}
	d.config = d.path == o.config
	for at := d.path; d.what == "" && len(o.below) > 0; {
		d.what = o.below[at]
		up, _ := split(at)
		if up == at {
			break
		}
		at = up
	}
	o.dirs[path] = d
	return d
}

// follow follows a link, also one to what is not there yet, where that is told
// by the link itself.
func (d *ownDir) follow() {
	if real, err := filepath.EvalSymlinks(d.path); err == nil {
		d.path = real
		return
	}
	d.missing = true
	if to, err := os.Readlink(d.path); err == nil {
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(d.path), to)
		}
		d.path = filepath.Clean(to)
	}
}

// real is a path with the links followed that lead to it.
func (o *ownFiles) real(path string) string { return o.dir(filepath.Clean(path)).path }

// split is [filepath.Split] of a clean absolute path, which is cut and not
// copied; the root is in itself.
func split(path string) (dir, base string) {
	i := strings.LastIndexByte(path, '/')
	if i <= 0 {
		return "/", strings.TrimPrefix(path, "/")
	}
	return path[:i], path[i+1:]
}

// resolve follows the links to the directories of the files that sinks claim: one
// file by two names has one place.
func (o *ownFiles) resolve(claims []claim) {
	for i := range claims {
		if claims[i].kind != "" {
			continue
		}
		at, base := split(claims[i].what)
		if dir := o.dir(at).path; dir != at {
			claims[i].real = filepath.Join(dir, base)
		}
	}
}

// hashes are those of all files, in order, to be kept at rest.
func (o *ownFiles) hashes() []uint64 {
	var rows []uint64
	for dir, in := range o.files {
		for base := range in {
			rows = append(rows, o.hash(dir, base))
		}
	}
	slices.Sort(rows)
	return slices.Clip(slices.Compact(rows))
}

func (o *ownFiles) hash(dir, base string) uint64 { return maphash.String(o.seed, dir+"\x00"+base) }

func (o *ownFiles) holds(dir, base string) bool {
	_, found := slices.BinarySearch(o.rows, o.hash(dir, base))
	return found
}

// checkOwn reports sinks that would write over what tokend itself keeps or
// reads, one of each block.
func (l *loader) checkOwn(o *ownFiles, claims []claim, readings []reading) {
	if l.o.WasInForce {
		return
	}
	o.learn(l, readings)
	l.c.readRows = o.hashes()
	said := map[*resource]bool{}
	for i := range claims {
		cl := &claims[i]
		if cl.kind != "" || said[cl.res] {
			continue
		}
		if what := o.find(cl.what); what != "" {
			said[cl.res] = true
			l.report(inUse(cl, what))
		}
	}
}

func inUse(cl *claim, what string) *hcl.Diagnostic {
	d := problem(cl.at, "Path in use by tokend", "%s would be written over %s, which %s.", cl.addr, cl.what, what)
	if by, read := strings.CutPrefix(what, "is read by "); read && Address(by).Kind() == kindSecret {
		return hinted(d, "choose another path; a value that a sink delivers is named directly, as credential.TYPE.NAME.access_token, and not read back by a secret")
	}
	return hinted(d, "choose another path for the sink")
}

// ownsAny reports whether one of the claims of fresh blocks may be in use by
// tokend, or whether these blocks read what was not read before: then sinks
// elsewhere may write over that.
func (q *quick) ownsAny(k *checker, readsBefore int) bool {
	c := q.l.c
	if c.options.WasInForce {
		return false
	}
	if len(c.reads.list()) != readsBefore {
		return true
	}
	o := q.l.newOwnFiles()
	o.rows = c.readRows
	for _, r := range k.readings {
		if dir, base := split(r.path); !o.holds(o.dir(dir).path, base) {
			return true
		}
	}
	o.resolve(k.claims)
	for i := range k.claims {
		if k.claims[i].kind == "" && o.find(k.claims[i].what) != "" {
			return true
		}
	}
	return false
}
