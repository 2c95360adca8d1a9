package spec

import (
	"fmt"
	"io/fs"
	"sort"
)

// readCatalog reads the built-in provider types.
func (l *loader) readCatalog() {
	if l.o.Catalog == nil {
		return
	}
	names, err := fs.Glob(l.o.Catalog, "*.hcl")
	if err != nil {
		return
	}
	low := &lowering{builtin: true, fns: l.c.fns}
	for _, n := range names {
		b, err := fs.ReadFile(l.o.Catalog, n)
		if err != nil {
			l.report(fileError(n, "Unreadable catalogue", fmt.Sprintf("Reading the built-in provider type %s: %s.", n, osReason(err))))
			continue
		}
		l.c.catalog = append(l.c.catalog, l.reuse(catalogDir+n, b, true, low))
	}
	for _, s := range l.c.catalog {
		l.report(s.diags...)
	}
}

// readSources reads the directory's own files, two at a time.
func (l *loader) readSources(files []input) {
	low := &lowering{fns: l.c.fns, shapes: l.shapes()}
	l.c.sources = make([]*source, len(files))
	work := make(chan int)
	done := make(chan struct{})
	const parsers = 2
	for range parsers {
		go func() {
			for i := range work {
				if l.c.sources[i] = files[i].src; files[i].src == nil {
					l.c.sources[i] = l.reuse(files[i].Name, files[i].Bytes, false, low)
				}
			}
			done <- struct{}{}
		}()
	}
	for i := range files {
		work <- i
	}
	close(work)
	for range parsers {
		<-done
	}
	for _, s := range l.c.sources {
		l.report(s.diags...)
	}
}

// reuse returns the lowered file: of the previous configuration where its bytes
// are the same.
func (l *loader) reuse(n string, b []byte, builtin bool, low *lowering) *source {
	if prev := l.o.Previous; prev != nil && prev.dir == l.c.dir {
		if s := prev.source(n, builtin); s != nil && s.same(b) {
			return s
		}
	}
	return newSource(n, b, low)
}

func (c *Config) source(n string, builtin bool) *source {
	list := c.sources
	if builtin {
		list = c.catalog
	}
	i := sort.Search(len(list), func(i int) bool { return list[i].name >= n })
	if i < len(list) && list[i].name == n {
		return list[i]
	}
	return nil
}

// shapes says which members of JSON objects are blocks.
func (l *loader) shapes() map[string]shape {
	out := map[string]shape{}
	for _, t := range topBlocks {
		n, _ := blockLabels(t)
		out[t] = shape{labels: n}
	}
	settings, credential, provider := SettingsSchema(), CredentialSchema(), ProviderSchema()
	out["tokend"] = shapeOf(&settings, 0)
	out["variable"] = shape{labels: 1, blocks: map[string]shape{"validation": {}}}
	out["provider"] = shapeOf(&provider, 1)
	out[kindCredential] = shapeOf(&credential, 2)
	out[kindVault] = shapeOf(l.c.vaultSchema, 1)
	for _, kind := range []string{kindSink, kindSecret, kindHook} {
		all := &Schema{}
		for _, n := range sortedKeys(l.c.kinds[kind]) {
			for _, b := range l.c.kinds[kind][n].Blocks {
				if all.nested(b.Name) == nil {
					all.Blocks = append(all.Blocks, b)
				}
			}
		}
		out[kind] = shapeOf(all, 2)
	}
	return out
}

func shapeOf(sc *Schema, labels int) shape {
	s := shape{labels: labels, blocks: map[string]shape{}}
	content := shape{blocks: map[string]shape{}}
	for i := range sc.Blocks {
		b := &sc.Blocks[i]
		inner := shapeOf(&b.Schema, len(b.Labels))
		s.blocks[b.Name] = inner
		for n, x := range inner.blocks {
			content.blocks[n] = x
		}
	}
	if len(sc.Blocks) > 0 {
		s.blocks["dynamic"] = shape{labels: 1, blocks: map[string]shape{"content": content}}
	}
	return s
}
