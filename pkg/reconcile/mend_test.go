package reconcile

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"golang.org/x/sys/unix"

	"tokend/pkg/sinks"
	"tokend/pkg/spec"
)

// What mends a failure is what somebody has to do, and the command that tries it
// then.
func TestWhatMends(t *testing.T) {
	for want, err := range map[string]error{
		"tokend retry file.a":                                             errors.New("connection refused"),
		"make room there, then: tokend retry ":                            fmt.Errorf("writing /run/a: %w", &fs.PathError{Op: "write", Path: "/run/a", Err: unix.ENOSPC}),
		"let tokend write there, then: tokend retry ":                     fmt.Errorf("%w: %w", sinks.ErrPermanent, unix.EROFS),
		"give tokend the rights that it lacks there, then: tokend retry ": fmt.Errorf("%w: %w", sinks.ErrPermanent, unix.EACCES),
		"put right what it says, then: tokend retry ":                     fmt.Errorf("%w: not a directory", sinks.ErrPermanent),
		"give secret.systemd.role a value that can be read, then: tokend retry ": &spec.UnreadableError{Addr: "secret.vault_kv.key", Err: fmt.Errorf("reading vault.main: %w",
			&spec.UnreadableError{Addr: "secret.systemd.role", Err: errors.New("CREDENTIALS_DIRECTORY is not set")})},
		"give secret.file.key a value that can be read, then: tokend retry ":  &spec.UnreadableError{Addr: "secret.file.key", Err: errors.New("it is empty")},
		"mend the configuration there, or what it reads, then: tokend retry ": &spec.EvalError{Addr: "credential.file.a"},
		"tokend status coinsph.wallet":                                        unready(&spec.UnreadableError{Addr: "credential.coinsph.wallet", Err: errNoToken}),
	} {
		addr := "credential.file.a"
		if want[len(want)-1] == ' ' {
			want += "file.a"
		}
		if got := mendOf(err, addr); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}
