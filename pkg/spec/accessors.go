package spec

import (
	"github.com/hashicorp/hcl/v2"
)

// Revision is what the directory held, as [Options] named it; "" where nothing did.
func (c *Config) Revision() string { return c.options.Revision }

// Dir returns the absolute path of the directory.
func (c *Config) Dir() string { return c.dir }

// Sources returns what was read: the directory's files by name, and by absolute
// path the files that functions read. Given to [LoadFiles], they make the same
// configuration again.
func (c *Config) Sources() map[string][]byte {
	out := make(map[string][]byte, len(c.sources))
	for _, s := range c.sources {
		out[s.name] = []byte(s.text)
	}
	for path, b := range c.reads.contents() {
		out[path] = b
	}
	return out
}

// Declares reports whether an address is that of a credential, sink, secret,
// hook, vault or provider block that the directory declares, or of an instance
// of one.
func (c *Config) Declares(a Address) bool {
	p, err := parseAddress(string(c.own(a)))
	if err != nil {
		return false
	}
	if p.kind == kindProvider {
		return c.providers[p.address()] != nil
	}
	res := c.find(p.kind, p.typ, p.label)
	if res == nil {
		return false
	}
	if res.insts == nil {
		return p.key.kind == noKey
	}
	return res.insts.indexOf(p.key) >= 0
}

// Files returns the sources as hcl's diagnostic writers want them.
func (c *Config) Files() map[string]*hcl.File {
	out := make(map[string]*hcl.File, len(c.sources))
	for _, s := range c.sources {
		out[s.name] = &hcl.File{Bytes: []byte(s.text)}
	}
	return out
}

// Reads lists the absolute paths of the other files that were read, by
// functions and as variable files: they are to be watched too.
func (c *Config) Reads() []string { return c.reads.list() }

// Given is what the values of its variables were given by when it was loaded:
// [Options.Vars], [Options.VarFiles] and, of [Options.Environ], what is a variable.
// Nobody changes them.
func (c *Config) Given() (vars map[string]string, files, environ []string) {
	return c.options.Vars, c.options.VarFiles, variablesOf(c.options.Environ)
}

// Settings returns those of the tokend block, defaults filled in.
func (c *Config) Settings() Settings { return c.settings }

// Credentials lists the addresses of all credential instances, sorted.
func (c *Config) Credentials() []Address { return c.addresses(kindCredential) }

// Sinks lists the addresses of all sink instances, sorted.
func (c *Config) Sinks() []Address { return c.addresses(kindSink) }

// Hooks lists the addresses of all hooks, sorted.
func (c *Config) Hooks() []Address { return c.addresses(kindHook) }

// Secrets lists the addresses of all secret instances, sorted.
func (c *Config) Secrets() []Address { return c.addresses(kindSecret) }

// Vaults lists the addresses of all vaults, sorted.
func (c *Config) Vaults() []Address { return c.addresses(kindVault) }

// Providers lists the addresses of the provider blocks that are declared,
// sorted. The default of each type exists beside them.
func (c *Config) Providers() []Address { return sortedAddressKeys(c.providers) }

func sortedAddressKeys[V any](m map[Address]V) []Address {
	out := make([]Address, 0, len(m))
	for a := range m {
		out = append(out, a)
	}
	return sortAddresses(out)
}

// Counts returns the numbers of credential and sink instances, without making
// their addresses.
func (c *Config) Counts() (credentials, sinks int) {
	if c.names != nil {
		return len(c.Credentials()), len(c.Sinks())
	}
	return count(c.resources[kindCredential]), count(c.resources[kindSink])
}

func count(list []resource) int {
	n := 0
	for i := range list {
		if list[i].insts == nil {
			n++
		} else {
			n += list[i].insts.len()
		}
	}
	return n
}

// SinksOf lists the addresses of the sinks of one kind, sorted.
func (c *Config) SinksOf(kind string) []Address {
	var out []Address
	list := c.resources[kindSink]
	for i := range list {
		if typ, _ := list[i].names(); typ == kind {
			c.each(kindSink, &list[i], func(in *instance) { out = append(out, in.address()) })
		}
	}
	return c.allNow(sortAddresses(out))
}

func (c *Config) addresses(kind string) []Address {
	list := c.resources[kind]
	out := make([]Address, 0, count(list))
	for i := range list {
		c.each(kind, &list[i], func(in *instance) { out = append(out, in.address()) })
	}
	return c.allNow(sortAddresses(out))
}

// ProviderType returns a provider type by name, or nil.
func (c *Config) ProviderType(name string) *ProviderType { return c.types[name] }

// ProviderTypes lists all provider types, sorted by name: the directory's own,
// and the built-in ones that it does not shadow.
func (c *Config) ProviderTypes() []*ProviderType {
	out := make([]*ProviderType, 0, len(c.types))
	for _, n := range sortedKeys(c.types) {
		out = append(out, c.types[n])
	}
	return out
}

// Hides says whether the [Config.Digest] of an address is made of a sensitive
// variable too, which could be guessed from it: one that its block names, or
// something else that the block names, such as its vault.
func (c *Config) Hides(a Address) bool {
	p, err := parseAddress(string(c.own(a)))
	if err != nil {
		return false
	}
	s, _ := c.sumOf(p)
	return s.hides
}

func (c *Config) hasSensitiveVariables() bool {
	for _, v := range c.vars {
		if v.sensitive {
			return true
		}
	}
	return false
}
