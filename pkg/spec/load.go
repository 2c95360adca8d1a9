package spec

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// Config is one loaded directory: what it declares, and the means to evaluate
// it. Immutable and safe for concurrent use.
type Config struct {
	dir       string
	sources   []*source
	catalog   []*source
	reads     *readLog
	files     *files // that functions and arguments name
	fns       map[string]function.Function
	settings  Settings
	roots     map[string]cty.Value // var, path, host
	vars      map[string]*variable
	locals    map[string]*local
	types     map[string]*ProviderType
	providers map[Address]*providerDecl
	resources map[string][]resource // by kind, sorted by address
	moved     []Moved
	removed   []Removed
	imports   []importDecl

	kinds        map[string]map[string]*Schema // sink, secret, hook: by kind
	auths        map[string]*Schema
	vaultSchema  *Schema
	typeSchemas  map[string]*Schema
	grantSchemas map[*GrantType]*Schema
	grantOutputs map[*GrantType]outputNames
	grantAttrs   map[*GrantType]*attrPlan

	static    []string // the arguments of a credential that are not inputs
	plans     *planCache
	attrPlans *planCache
	sums      *planCache
	memo      *sumMemo

	options  Options // without Previous
	names    *names  // of what is known by other addresses than those of its text; nil: all are those
	warnings Diagnostics
	stamps   map[string]stamp
	claims   []claimRow // sorted; where sinks write
	readRows []uint64   // sorted; hashes of the files that tokend itself reads
	seed     maphash.Seed
	ahead    *ahead          // nil: not asked for
	chained  bool            // something but credentials and sinks names a credential
	broken   bool            // a local has no value; only while loading
	badTypes map[string]bool // provider types with mistakes, which are reported there; only while loading
}

// catalogDir is where ranges of built-in types seem to be.
const catalogDir = "catalog/"

// plansKept is how many blocks are kept parsed.
const plansKept = 512

// loader is a Config being made.
type loader struct {
	c     *Config
	o     Options
	ev    *evaluator // without secrets and tokens
	reads *readLog
	fixed func(path string) ([]byte, bool) // files that are given from memory
	diags Diagnostics

	readings []reading // files that provider blocks name in order to read them

	tokend, variables, localBlocks, providers, changes []place

	expanded map[*resource]bool
	bad      map[*resource]bool // which are in a cycle

	movedTo map[Address]hcl.Range // where a moved block says its target

	unread bool // a variable file could not be read as one: what it gives is not known
}

func (l *loader) report(diags ...*hcl.Diagnostic) { l.diags = append(l.diags, diags...) }

// Load reads the directory dir. It returns the configuration, with warnings
// perhaps, or nil and everything that is wrong with it. It is of one moment:
// when files change while they are read, they are read again.
func Load(dir string, o Options) (*Config, Diagnostics) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, Diagnostics{unreadable(dir, err)}
	}
	for try := 1; ; try++ {
		c, files, diags := loadOnce(abs, o)
		if unchanged(abs, files, c) {
			return c, diags
		}
		if try == mostTries {
			return nil, Diagnostics{restless(abs)}
		}
		time.Sleep(time.Duration(try) * betweenTries)
	}
}

// loadOnce reads the directory once.
func loadOnce(abs string, o Options) (*Config, []input, Diagnostics) {
	files, diags := readDir(abs, o.Previous)
	if diags.HasErrors() {
		return nil, files, diags
	}
	c, diags, done := quickLoad(abs, files, o)
	if !done {
		c, diags = load(abs, files, nil, o)
	}
	if c != nil {
		c.stamps = make(map[string]stamp, len(files))
		for i := range files {
			c.stamps[files[i].Name] = files[i].stamp
		}
		if len(files) == 0 {
			diags = append(diags, emptyDirectory(abs))
		}
	}
	return c, files, diags
}

// LoadFiles is [Load] with the files given: by name those of the directory, by
// absolute path those that functions read and variable files. Files that are
// not given are read from the disk.
func LoadFiles(dir string, files map[string][]byte, o Options) (*Config, Diagnostics) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, Diagnostics{unreadable(dir, err)}
	}
	var own []input
	given := map[string][]byte{}
	for n, b := range files {
		switch {
		case filepath.IsAbs(n):
			given[filepath.Clean(n)] = b
		case strings.HasPrefix(n, filesetPrefix), strings.HasPrefix(n, existsPrefix):
			given[n] = b
		case IsConfigFile(n):
			own = append(own, input{File: File{Name: n, Bytes: b}})
		}
	}
	sort.Slice(own, func(i, j int) bool { return own[i].Name < own[j].Name })
	return load(abs, own, given, o)
}

// File is one file of a directory.
type File struct {
	Name  string
	Bytes []byte
}

// NoFiles is the summary of the warning about a directory without a file to
// read. It declares nothing, which is a mistake where somebody begins, and
// perhaps none where everything was taken out.
const NoFiles = "No configuration files"

func emptyDirectory(dir string) *hcl.Diagnostic {
	return hinted(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: NoFiles,
		Detail: fmt.Sprintf("There is no *.hcl or *.hcl.json file in %s.", dir)}, "write one, or give the directory of the configuration with --config DIR")
}

func unreadable(dir string, err error) *hcl.Diagnostic {
	d := &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Unreadable configuration",
		Detail: fmt.Sprintf("Reading the directory %s: %s.", dir, osReason(err))}
	if errors.Is(err, fs.ErrNotExist) {
		return hinted(d, "give the directory of the configuration with --config DIR")
	}
	if errors.Is(err, fs.ErrPermission) {
		return hinted(d, readHint(err))
	}
	return d
}

// osReason is an error of the operating system without the path, which the
// message says already.
func osReason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// IsConfigFile reports whether a file of this name belongs to a configuration:
// *.hcl and *.hcl.json, but for hidden files and editors' leftovers.
func IsConfigFile(n string) bool {
	return (strings.HasSuffix(n, ".hcl") || strings.HasSuffix(n, ".hcl.json")) &&
		!strings.HasPrefix(n, ".") && !strings.HasPrefix(n, "#") && !strings.ContainsRune(n, '/')
}

// load makes a Config of files. The order is: what a file says alone, names,
// settings and values, then cycles, instances, and every block evaluated.
func load(dir string, files []input, given map[string][]byte, o Options) (c *Config, diags Diagnostics) {
	l := newLoader(dir, given, o)
	defer func() {
		if recover() != nil {
			c, diags = nil, append(finish(l.diags, nil), &hcl.Diagnostic{Severity: hcl.DiagError, Summary: evaluatorFailed,
				Detail: "Reading the directory failed inside tokend. Take the last change back, and report it."})
		}
	}()
	l.readCatalog()
	l.readSources(files)
	l.index()
	l.loadVariables()
	l.loadTypes()
	l.declareLocals()
	l.loadProviders()
	l.cycles()
	l.noteBroken()
	l.settleLocals()
	l.noteBroken()
	l.loadSettings()
	l.expandAll()
	l.checkProviders()
	l.checkBlocks()
	l.loadChanges()
	var broken []*source
	for _, s := range l.c.sources {
		if s.broken {
			broken = append(broken, s)
		}
	}
	l.hideLiterals()
	diags = finish(l.diags, broken)
	if diags.HasErrors() {
		if o.Tried != nil {
			o.Tried(l.reads.list())
		}
		return nil, diags
	}
	l.c.warnings = diags
	return l.c, diags
}

// hideLiterals forbids showing lines where a literal is declared to be
// sensitive, or is assigned to what has the name of a secret, whatever the
// diagnostic itself is about.
func (l *loader) hideLiterals() {
	for _, d := range l.diags {
		if d.Subject == nil {
			continue
		}
		s := l.c.source(d.Subject.Filename, false)
		if s == nil {
			continue
		}
		if lines := linesAt(s.text, *d.Subject); len(lines) > maxShown || secretLiteral.MatchString(lines) {
			hideSource(d)
		}
	}
}

// maxShown is how much text a diagnostic may show. Nobody reads more, and what it
// says of secrets would have to be searched for.
const maxShown = 64 << 10

// secretLiteral is a call of sensitive() with a literal, or the assignment of
// one to an argument that secrets are given to.
var secretLiteral = regexp.MustCompile(`\bsensitive\(\s*(["<]|\\")|(?i:password|passwd|secret|secret_id|token|_key)"?\s*[=:]\s*(<<|"[^"$%])`)

func newLoader(dir string, given map[string][]byte, o Options) *loader {
	c := &Config{
		dir: dir, reads: &readLog{given: given, allow: o.CheckRead},
		vars: map[string]*variable{}, locals: map[string]*local{}, types: map[string]*ProviderType{},
		providers: map[Address]*providerDecl{}, resources: map[string][]resource{},
		kinds:       map[string]map[string]*Schema{},
		auths:       map[string]*Schema{},
		typeSchemas: map[string]*Schema{}, grantSchemas: map[*GrantType]*Schema{}, grantOutputs: map[*GrantType]outputNames{}, grantAttrs: map[*GrantType]*attrPlan{},
		plans: newPlanCache(plansKept), attrPlans: newPlanCache(plansKept), sums: newPlanCache(plansKept), memo: &sumMemo{},
		roots: map[string]cty.Value{
			"path": cty.ObjectVal(map[string]cty.Value{"config": cty.StringVal(dir)}),
			"host": cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal(o.HostName)}),
			"var":  cty.EmptyObjectVal,
		},
	}
	c.options, c.seed, c.static = o, maphash.MakeSeed(), staticNames()
	c.options.Previous, c.options.Tried = nil, nil
	l := &loader{c: c, o: o, reads: c.reads, expanded: map[*resource]bool{}, bad: map[*resource]bool{}}
	l.fixed = func(path string) ([]byte, bool) {
		abs, err := filepath.Abs(path)
		if err != nil {
			return nil, false
		}
		return c.reads.content(abs)
	}
	c.files = newFiles(dir, c.reads)
	c.fns = functions(c.files)
	c.vaultSchema = vaultSchema(o.Vault)
	for kind, schemas := range map[string]map[string]Schema{kindSink: o.Sinks, kindSecret: o.Secrets, kindHook: o.Hooks} {
		more := metaAttrs()
		switch kind {
		case kindSink:
			more = sinkAttrs()
		case kindHook:
			more = nil
		}
		c.kinds[kind] = map[string]*Schema{}
		for n, sc := range schemas {
			c.kinds[kind][n] = withAttrs(sc, more)
		}
	}
	for n, sc := range o.Auths {
		c.auths[n] = withAttrs(sc, nil)
	}
	l.ev = c.evaluator(Scope{})
	l.ev.expand, l.ev.settle = l.expand, l.settle
	return l
}

// vaultSchema is the schema of vault blocks with their auth block.
func vaultSchema(sc Schema) *Schema {
	out := withAttrs(sc, nil)
	out.Blocks = append([]NestedBlock(nil), sc.Blocks...)
	if out.nested(authBlock) == nil {
		out.Blocks = append(out.Blocks, NestedBlock{Name: authBlock, Labels: []string{"type"}, Required: true, Schema: Schema{Doc: "how to log in"}})
	}
	return out
}

// settleLocals evaluates all locals.
func (l *loader) settleLocals() {
	for _, n := range sortedKeys(l.c.locals) {
		l.settle(l.c.locals[n])
	}
}

// checkRefs reports what is wrong with an argument's references.
func (l *loader) checkRefs(a *argument, in *instance) bool {
	diags := l.c.checkRefs(l.ev, a, in)
	l.report(diags...)
	return !diags.HasErrors()
}

// expandAll finds the instances of all blocks.
func (l *loader) expandAll() {
	for _, kind := range []string{kindSecret, kindCredential, kindSink} {
		list := l.c.resources[kind]
		for i := range list {
			l.expand(kind, &list[i])
		}
	}
	l.ev.expand, l.ev.settle = nil, nil
}
