package rules_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// noReplace: with a replace in its go.mod the product could not be installed by
// go install, and would not be what its requirements say.
func noReplace(tr *tree) []string {
	content, err := fs.ReadFile(tr.fsys, "go.mod")
	if err != nil {
		return []string{err.Error()}
	}
	var violations []string
	number := 0
	for line := range strings.Lines(string(content)) {
		number++
		if word, _, _ := strings.Cut(strings.TrimSpace(line), " "); strings.TrimSuffix(word, "(") == "replace" {
			violations = append(violations, fmt.Sprintf("go.mod:%d: replace", number))
		}
	}
	return violations
}

// topLevel keeps the root of the tree to what its owner fixed, and to dotfiles.
func topLevel(tr *tree) []string {
	allowed := []string{
		"go.mod", "go.sum", "cmd", "pkg", "examples", "README.md",
		"packaging", "test", "Makefile", "LICENSE", "CHANGELOG.md", "docs",
	}
	seen := map[string]bool{}
	for _, p := range tr.text {
		entry, _, _ := strings.Cut(p, "/")
		seen[entry] = true
	}
	var violations []string
	for _, entry := range slices.Sorted(maps.Keys(seen)) {
		left := strings.HasSuffix(entry, ".test") || strings.HasSuffix(entry, ".prof") // by go test, not tracked
		if !slices.Contains(allowed, entry) && !strings.HasPrefix(entry, ".") && !left {
			violations = append(violations, entry+": does not belong at the top level")
		}
	}
	return violations
}

// noOutsidePaths: the product stands by itself and names nothing beside its tree.
func noOutsidePaths(tr *tree) []string {
	outside := []string{".." + "/shared", "/work" + "/"}
	var violations []string
	for _, p := range tr.text {
		if strings.HasPrefix(p, "test/rules/testdata/") {
			continue
		}
		content, err := fs.ReadFile(tr.fsys, p)
		if err != nil {
			continue // it went while we walked
		}
		for _, o := range outside {
			if i := bytes.Index(content, []byte(o)); i >= 0 {
				violations = append(violations, fmt.Sprintf("%s:%d: names %s", p, 1+bytes.Count(content[:i], []byte("\n")), o))
			}
		}
	}
	return violations
}
