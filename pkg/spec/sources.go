package spec

import (
	"crypto/sha256"
	"maps"
	"sort"
)

// Source is one file that a configuration was read from, without its content:
// what of a large directory changed can be told by sums alone.
type Source struct {
	Name string // as [Config.Sources] has it
	Size int
	Sum  [sha256.Size]byte // of its content
}

// SourceList lists what [Config.Sources] gives, sorted by name. A file that
// [Options].Previous kept is not summed again.
func (c *Config) SourceList() []Source {
	kept := c.reads.contents()
	out := make([]Source, 0, len(c.sources)+len(kept))
	for _, s := range c.sources {
		if _, hidden := kept[s.name]; !hidden {
			out = append(out, Source{s.name, len(s.text), s.sum()})
		}
	}
	for path, b := range kept {
		out = append(out, Source{path, len(b), sha256.Sum256(b)})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// SourcesOf is [Config.Sources] of these names alone.
func (c *Config) SourcesOf(names []string) map[string][]byte {
	kept := c.reads.contents()
	out := make(map[string][]byte, len(names))
	for _, n := range names {
		if b, ok := kept[n]; ok {
			out[n] = b
		} else if s := c.source(n, false); s != nil {
			out[n] = []byte(s.text)
		}
	}
	return out
}

// SameSources reports whether two configurations were read from the same bytes, and
// say of nothing that it has another address by now.
func (c *Config) SameSources(o *Config) bool {
	if len(c.sources) != len(o.sources) || c.names != nil || o.names != nil {
		return false
	}
	for i, s := range c.sources {
		if was := o.sources[i]; s != was && (s.name != was.name || s.text != was.text) {
			return false
		}
	}
	return maps.EqualFunc(c.reads.contents(), o.reads.contents(), func(a, b []byte) bool { return string(a) == string(b) })
}

// sum is the hash of the file's text, computed once.
func (s *source) sum() [sha256.Size]byte {
	s.summing.Do(func() { s.hash = sha256.Sum256([]byte(s.text)) })
	return s.hash
}
