package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/gitsource"
	"tokend/pkg/state"
)

// A copy that cannot be written says what to do; a missing right is about a file
// that nobody named.
func TestBackupErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		want []string
		hint bool
	}{
		{&fs.PathError{Op: "open", Path: "/srv/x.17.new", Err: os.ErrPermission}, []string{"writing a copy of the state to /srv/x: open /srv/x.17.new: ", "hint: it is written beside FILE first, by another name"}, true},
		{&fs.PathError{Op: "open", Path: "/srv/x.17.new", Err: os.ErrNotExist}, []string{"hint: name a FILE in a directory that is there"}, true},
		{state.ErrExists, []string{"--force"}, true},
		{errors.New("disk on fire"), []string{"writing a copy of the state to /srv/x: disk on fire"}, false},
	} {
		err := backupError("/srv/x", c.err)
		for _, want := range c.want {
			if said := err.Error() + "\nhint: " + hintOf(err); !strings.Contains(said, want) {
				t.Errorf("%q is not in:\n%s", want, said)
			}
		}
		if hint := hintOf(err); (hint != "") != c.hint {
			t.Errorf("%v: the hint is %q", err, hint)
		}
	}
}

// What Git says ends in a full stop, or in none.
func TestNoCommitEndsOnce(t *testing.T) {
	for _, said := range []string{"fatal: there is none.", "fatal: there is none"} {
		d := noCommit(gitsource.Status{URL: "/srv/repository", Error: said})
		if want := "Nothing of /srv/repository can be checked out: fatal: there is none."; d.Detail != want {
			t.Errorf("%q, want %q", d.Detail, want)
		}
	}
}

// A repository of which nothing can be checked out is no configuration to be mended.
func TestNothingCheckedOutIsNoBrokenConfiguration(t *testing.T) {
	g := &globals{}
	for summary, want := range map[string]string{
		noCommit(gitsource.Status{}).Summary: "Nothing of /srv/repository can be checked out since 0s, as is said below; the configuration that was last in force goes on.\n\n",
		"main.hcl:3: Missing argument":       "The configuration in /srv/current is broken since 0s; the last good one is in force:\n  main.hcl:3: Missing argument\n    to mend: put right what `tokend validate --config /srv/current` shows, and push it to main of /srv/repository\n\n",
	} {
		var said strings.Builder
		now := time.Now()
		g.printBroken(&said, configurationView{Directory: "/srv/current", Since: now, Errors: []string{summary}, Git: &gitsource.Status{URL: "/srv/repository", Ref: "main"}}, now)
		if d := cmp.Diff(want, said.String()); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
}

// The help of login fits a terminal of some ninety columns; that of run names all
// that --git takes.
func TestHelpOfLoginAndRun(t *testing.T) {
	help, _, _ := strings.Cut(tokend(t, t.TempDir(), "login", "--help").out, "\nUsage:")
	for line := range strings.Lines(help) {
		if len(line) > 91 {
			t.Errorf("tokend login --help has a line of %d columns:\n%s", len(line), line)
		}
	}
	if out := tokend(t, t.TempDir(), "run", "--help").out; !strings.Contains(out, "http, file, user@host:path, or an absolute path") {
		t.Errorf("tokend run --help does not name what --git takes:\n%s", out)
	}
}
