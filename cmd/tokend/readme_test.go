package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// What the README shows has to be true: its configurations load, its commands
// exist, its links lead somewhere, its targets are in the Makefile.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	configs, commands := 0, 0
	for lang, blocks := range fenced(string(text)) {
		for _, block := range blocks {
			switch lang {
			case "hcl":
				configs++
				loads(t, block)
			case "sh":
				for line := range strings.Lines(block) {
					commands++
					exists(t, strings.TrimSpace(strings.Split(line, "#")[0]))
				}
			}
		}
	}
	if configs == 0 || commands < 6 {
		t.Errorf("found %d configurations and %d commands: the README reads differently than this test", configs, commands)
	}
	for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(string(text), -1) {
		if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
			t.Errorf("the README links to %s: %v", m[1], err)
		}
	}
	for _, m := range regexp.MustCompile("`tokend ([a-z]+)").FindAllStringSubmatch(string(text), -1) {
		exists(t, "tokend "+m[1])
	}
}

// fenced are a document's fenced blocks, by language.
func fenced(text string) map[string][]string {
	out := map[string][]string{}
	for _, m := range regexp.MustCompile("(?s)```(\\w+)\n(.*?)```").FindAllStringSubmatch(text, -1) {
		out[m[1]] = append(out[m[1]], m[2])
	}
	return out
}

func loads(t *testing.T, hcl string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.hcl"), []byte(hcl), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if status := run(context.Background(), process{args: []string{"validate", "--config", dir}, in: strings.NewReader(""), out: &out, err: &out}); status != 0 {
		t.Errorf("a configuration of the README does not load:\n%s\n%s", hcl, out.String())
	}
}

func exists(t *testing.T, command string) {
	t.Helper()
	words := strings.Fields(command)
	if len(words) < 2 {
		return
	}
	switch words[0] {
	case "make":
		makefile, err := os.ReadFile("../../Makefile")
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`(?m)^` + words[1] + `:`).Match(makefile) {
			t.Errorf("the README says %q, and the Makefile has no such target", command)
		}
	case "go":
		if !slices.Equal(words[:3], []string{"go", "run", "./cmd/tokend"}) {
			t.Errorf("the README says %q", command)
		}
		words = words[2:]
		fallthrough
	case "tokend":
		var out bytes.Buffer
		if status := run(context.Background(), process{args: []string{words[1], "--help"}, in: strings.NewReader(""), out: &out, err: &out}); status != 0 || out.Len() < 40 {
			t.Errorf("the README says %q: %s", command, out.String())
		}
	}
}

// The README's first command: within seconds all four APIs' credentials are
// there and delivered, a refresh is seen, and nothing is left behind.
func TestDevShowsEverything(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	out := &watched{until: map[string]bool{"obtained address=credential.apirone.account": false, "obtained address=credential.coinsph.wallet": false,
		"obtained address=credential.cryptohopper.bot": false, `obtained address="credential.coinify.trader[\"bob\"]"`: false,
		"written address=sink.env.bot": false, "written address=sink.file.account": false, "refreshed address=credential.apirone.account": false}, done: cancel}
	status := run(ctx, process{args: []string{"dev", "--lifetime", "8s"}, environ: []string{"HOME=" + temp}, in: strings.NewReader(""), out: out, err: out})
	if missing := out.missing(); len(missing) > 0 {
		t.Errorf("dev did not show %q within a minute:\n%s", missing, out.text.String())
	}
	if status != 0 {
		t.Errorf("dev exited with %d", status)
	}
	left, err := os.ReadDir(temp)
	if err != nil || len(left) > 0 {
		t.Errorf("dev left %v behind (%v)", left, err)
	}
}

// watched is an output that says when everything that is waited for was written.
type watched struct {
	mu    sync.Mutex
	text  bytes.Buffer
	until map[string]bool
	done  func()
}

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(b)
	all := true
	for s, seen := range w.until {
		if !seen && bytes.Contains(w.text.Bytes(), []byte(s)) {
			w.until[s], seen = true, true
		}
		all = all && seen
	}
	if all {
		w.done()
	}
	return len(b), nil
}

func (w *watched) missing() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for s, seen := range w.until {
		if !seen {
			out = append(out, s)
		}
	}
	return out
}
