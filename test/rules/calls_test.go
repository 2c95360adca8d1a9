package rules_test

import (
	"go/ast"
	"slices"
	"strings"
)

// revealers are the packages that may take the text out of a secret, because it
// leaves the process there, is sealed there, or is evaluated there.
func revealers() []string {
	return []string{
		"pkg/secret",          // what it means
		"pkg/spec",            // evaluates expressions over it
		"pkg/providers",       // sends it
		"pkg/providers/login", // sends it
		"pkg/sources",         // reads with it
		"pkg/sinks",           // delivers it
		"pkg/hooks",           // authenticates with it
		"pkg/vault",           // logs in with it
		"pkg/state",           // seals it
		"pkg/gitsource",       // gives it to git
		"cmd/tokend",          // prints it, when a person asks for it
	}
}

// reveal keeps Reveal, the one way to a secret's text, to the packages that need it.
func reveal(tr *tree) []string {
	var violations []string
	for _, f := range tr.files {
		allowed := slices.ContainsFunc(revealers(), func(dir string) bool { return under(f.dir, dir) })
		if f.test || allowed || under(f.dir, "test") {
			continue
		}
		for _, call := range calls(f.ast, "*", "Reveal") {
			if len(call.Args) == 0 {
				violations = append(violations, tr.at(call, "%s may not call Reveal", f.dir))
			}
		}
	}
	return violations
}

// noInit: what a program does before main is invisible to who reads main.
func noInit(tr *tree) []string {
	var violations []string
	for _, f := range tr.files {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				violations = append(violations, tr.at(fn, "init function"))
			}
		}
	}
	return violations
}

// noSleep: a test that sleeps is slow or flaky, and mostly both. In a bubble of
// testing/synctest a sleep takes no time and is how a test lets time go by; a bubble
// is what is passed to synctest.Test, or to a function of the same package that
// calls it. A benchmark may sleep where it plays a slow peer.
func noSleep(tr *tree) []string {
	bubbles := bubbleMakers(tr)
	var violations []string
	for _, f := range tr.files {
		if !f.test && !under(f.dir, "test") {
			continue
		}
		name := f.local("time", "time")
		if name == "" {
			continue
		}
		var harmless []*ast.CallExpr
		if bubble := f.local("testing/synctest", "synctest"); bubble != "" {
			for _, call := range calls(f.ast, bubble, "Test") {
				harmless = append(harmless, calls(call, name, "Sleep")...)
			}
		}
		for _, call := range localCalls(f.ast, bubbles[f.dir]) {
			harmless = append(harmless, calls(call, name, "Sleep")...)
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.test && strings.HasPrefix(fn.Name.Name, "Benchmark") {
				harmless = append(harmless, calls(fn, name, "Sleep")...)
			}
		}
		for _, call := range calls(f.ast, name, "Sleep") {
			if !slices.Contains(harmless, call) {
				violations = append(violations, tr.at(call, "a test sleeps; wait in a synctest bubble, on a channel, or by polling with a deadline"))
			}
		}
	}
	return violations
}

// bubbleMakers are the functions of each package's tests that call synctest.Test.
func bubbleMakers(tr *tree) map[string][]string {
	makers := map[string][]string{}
	for _, f := range tr.files {
		bubble := f.local("testing/synctest", "synctest")
		if bubble == "" || !f.test {
			continue
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && len(calls(fn, bubble, "Test")) > 0 {
				makers[f.dir] = append(makers[f.dir], fn.Name.Name)
			}
		}
	}
	return makers
}

// localCalls are the calls of functions of the package itself.
func localCalls(root ast.Node, names []string) []*ast.CallExpr {
	var found []*ast.CallExpr
	ast.Inspect(root, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if fn, ok := call.Fun.(*ast.Ident); ok && slices.Contains(names, fn.Name) {
				found = append(found, call)
			}
		}
		return true
	})
	return found
}

// exit: only a command ends the process, so that whatever is deferred runs.
func exit(tr *tree) []string {
	var violations []string
	for _, f := range tr.files {
		command := under(f.dir, "cmd/tokend") || under(f.dir, "test") && f.ast.Name.Name == "main"
		if f.test || command {
			continue
		}
		for _, ender := range []struct {
			path, base string
			names      []string
		}{
			{"os", "os", []string{"Exit"}},
			{"syscall", "syscall", []string{"Exit"}},
			{"log", "log", []string{"Fatal", "Fatalf", "Fatalln"}},
		} {
			name := f.local(ender.path, ender.base)
			if name == "" {
				continue
			}
			for _, call := range calls(f.ast, name, ender.names...) {
				violations = append(violations, tr.at(call, "only cmd/tokend ends the process"))
			}
		}
	}
	return violations
}
