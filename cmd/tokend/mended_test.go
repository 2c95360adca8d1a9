package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A configuration that cannot be taken over because a file that it reads is not
// there is taken over when that file comes, wherever it is: nothing of the
// configuration in force leads there.
func TestAFileThatComesLaterMendsTheDirectory(t *testing.T) {
	t.Parallel()
	l := settleLab(t)
	elsewhere := filepath.Join(t.TempDir(), "templates")
	l.write("sink.hcl", sinkFile("sink", "one"))
	l.start()
	l.untilContent("sink", "one")

	l.write("sink.hcl", strings.Replace(sinkFile("sink", "X"), `"X"`, fmt.Sprintf("templatefile(%q, {})", filepath.Join(elsewhere, "first.tmpl")), 1))
	l.until("it is not taken over", func() (bool, string) {
		said := l.daemon.log.String()
		return strings.Contains(said, "not taken over"), said
	})
	write := func(name, content string) {
		t.Helper()
		if err := os.MkdirAll(elsewhere, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(elsewhere, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("first.tmpl", "${") // a mistake of another kind
	l.until("its mistake is told", func() (bool, string) {
		errs := strings.Join(l.status().Configuration.Errors, "\n")
		return errs != "" && !strings.Contains(errs, "no such file"), errs
	})
	write("first.tmpl", "two")
	l.untilContent("sink", "two")
}
