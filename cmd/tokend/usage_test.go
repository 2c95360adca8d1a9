package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever calls a command in the wrong way is told how it is called.
func TestUsage(t *testing.T) {
	dir := configOf(t, "")
	for _, c := range []struct {
		args string
		want []string
	}{
		{"get", []string{"error: tokend get needs one ADDRESS\n", "hint: usage: tokend get ADDRESS"}},
		{"get a b", []string{"tokend get takes one ADDRESS, not 2 arguments"}},
		{"get a header", []string{"not 2 arguments", "hint: the attribute is named by a flag: tokend get a --field header"}},
		{"action a", []string{"tokend action needs ADDRESS and NAME"}},
		{"status a b", []string{"tokend status takes at most one ADDRESS, not 2 arguments"}},
		{"exec", []string{"tokend exec needs one COMMAND"}},
		{"plan now", []string{`tokend plan takes no arguments, not "now"`}},
		{"plann", []string{`tokend has no command "plann"`, "hint: did you mean plan?"}},
		{"frobnicate", []string{`tokend has no command "frobnicate"`, "hint: there are: ", "validate"}},
		{"state foo", []string{`tokend state has no command "foo"`, "hint: there are: backup, export, list, mv, restore, rm, rotate-key, show"}},
		{"provider lst", []string{`tokend provider has no command "lst"`, "hint: did you mean list"}},
		{"plan --colour", []string{"unknown flag: --colour", "`tokend plan --help` lists the flags"}},
	} {
		got := tokend(t, dir, strings.Fields(c.args)...)
		if got.status != exitFailed {
			t.Errorf("tokend %s: status %d", c.args, got.status)
		}
		for _, want := range c.want {
			if !strings.Contains(got.err, want) {
				t.Errorf("tokend %s: %q is not in:\n%s", c.args, want, got.err)
			}
		}
	}
	for _, args := range []string{"", "state", "provider"} {
		if got := tokend(t, dir, strings.Fields(args)...); got.status != exitOK || !strings.Contains(got.out, "Available Commands") {
			t.Errorf("tokend %s: status %d, %s%s", args, got.status, got.out, got.err)
		}
	}
	if got := tokend(t, dir, "--version"); got.status != exitOK || got.out != "tokend "+version+"\n" {
		t.Errorf("tokend --version: status %d, %q", got.status, got.out)
	}
}

// A directory without a file to read is a mistake where a command begins.
func TestEmptyDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"validate", "plan", "apply --auto-approve", "run"} {
		got := tokend(t, dir, strings.Fields(c)...)
		says := "error: No configuration files"
		if c == "run" { // whose log is JSON where nobody sits before it
			says = `"summary":"No configuration files"`
		}
		if got.status != exitFailed || !strings.Contains(got.err, says) || !strings.Contains(got.err, "no *.hcl or *.hcl.json file in "+dir) {
			t.Errorf("tokend %s: status %d:\n%s", c, got.status, got.err)
		}
	}
}
