package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// fence is a fenced block: its language, what follows that, and the text.
var fence = regexp.MustCompile("(?ms)^```(\\w+)([^\n]*)\n(.*?)^```$")

// The examples of a page of the reference are one configuration, and load. What they need beside
// is in a comment <!-- prelude … -->; one that is marked `alone` is loaded with
// nothing but the prelude; `file=NAME` makes a file of a block.
func TestDocsLoad(t *testing.T) {
	prelude := regexp.MustCompile(`(?s)<!-- prelude\n(.*?)-->`)
	flags := regexp.MustCompile(`<!-- flags: (.*?) -->`)
	loaded := 0
	for page, text := range docPages(t) {
		if dir := filepath.Dir(page); dir != "language" && dir != "providers" {
			continue // what the other pages show is not always a configuration; they have tests of their own
		}
		files := map[string]string{}
		var before string
		for _, m := range prelude.FindAllStringSubmatch(text, -1) {
			before += m[1]
		}
		var args []string
		for _, m := range flags.FindAllStringSubmatch(text, -1) {
			args = append(args, strings.Fields(m[1])...)
		}
		whole, alone := "", []string{}
		var json []string
		for _, m := range fence.FindAllStringSubmatch(text, -1) {
			info := strings.TrimSpace(m[2])
			if name, ok := strings.CutPrefix(info, "file="); ok {
				files[name] = m[3]
				continue
			}
			switch {
			case m[1] == "json" && info == "hcl":
				json = append(json, m[3])
			case m[1] != "hcl":
			case info == "alone":
				alone = append(alone, m[3])
			case info == "":
				whole += m[3] + "\n"
			default:
				t.Errorf("docs/%s: a block says %q", page, info)
			}
		}
		check := func(name, config string) {
			loaded++
			dir := configOf(t, before)
			for n, content := range files {
				if err := os.WriteFile(filepath.Join(dir, n), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := tokend(t, dir, append([]string{"validate"}, args...)...); got.status != exitOK {
				t.Errorf("an example of docs/%s does not load:\n%s\n%s", page, config, got.err)
			}
		}
		if whole != "" {
			check("example.hcl", whole)
		}
		for _, config := range alone {
			check("example.hcl", config)
		}
		for _, config := range json {
			check("example.hcl.json", config)
		}
	}
	if loaded < 12 {
		t.Errorf("only %d examples were found", loaded)
	}
}

// Links of the documentation and the README lead somewhere, headings included,
// and the index leads to every page of the reference.
func TestDocsLinks(t *testing.T) {
	pages := docPages(t)
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	linked := map[string]bool{}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"../README.md": string(readme)}
	maps.Copy(all, pages)
	for page, text := range all {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			path := page
			if target != "" {
				path = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(filepath.Join("../../docs", path)); err != nil {
				t.Errorf("docs/%s links to %s: %v", page, m[1], err)
				continue
			}
			if page == "README.md" {
				linked[path] = true
			}
			if anchor != "" && pages[path] != "" && !slices.Contains(headings(pages[path]), anchor) {
				t.Errorf("docs/%s links to %s, and docs/%s has no such heading: %v", page, m[1], path, headings(pages[path]))
			}
		}
	}
	for page := range pages {
		if dir := filepath.Dir(page); (dir == "language" || dir == "providers") && !linked[page] {
			t.Errorf("docs/README.md does not link to %s", page)
		}
	}
	if !strings.Contains(string(readme), "(docs/README.md)") {
		t.Error("the README does not link to docs/README.md")
	}
}

// headings are the anchors of a page's headings, as GitHub makes them.
func headings(text string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])
		out = append(out, anchor)
	}
	return out
}
