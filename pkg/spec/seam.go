package spec

import (
	"sort"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty/function"
)

// readLog remembers which files the language's functions read.
type readLog struct {
	mu    sync.Mutex
	paths map[string]bool
}

// add records that the file at the absolute path was read.
func (r *readLog) add(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.paths == nil {
		r.paths = map[string]bool{}
	}
	r.paths[path] = true
}

func (r *readLog) list() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]string, 0, len(r.paths))
	for p := range r.paths {
		out = append(out, p)
	}
	sort.Strings(out)
	return out
}

func functions(dir string, reads *readLog) map[string]function.Function { return nil }

func decodeProviderType(block *hcl.Block, src []byte, builtin bool, fns map[string]function.Function) (*ProviderType, Diagnostics) {
	return &ProviderType{Name: block.Labels[0], Builtin: builtin, DeclRange: block.DefRange}, nil
}
