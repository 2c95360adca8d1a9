package hostfile

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"tokend/pkg/atomicfile"
	"tokend/pkg/sinks"
)

// What a person has to do before another try of a write can help names the path and what
// to change there.
func TestWhatMendsAWrite(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string // "": nobody has to do anything, or the error says it
	}{
		"a right is lacking":     {syscall.EACCES, "write in /run/app"},
		"another's file":         {syscall.EPERM, "write in /run/app"},
		"no such user":           {fmt.Errorf("looking up user: %w", atomicfile.ErrUnknownOwner), "create that user or group"},
		"no directory":           {syscall.ENOENT, "make /run/app"},
		"a disk that is broken":  {syscall.EIO, ""},
		"a disk that is full":    {syscall.ENOSPC, ""},
		"a read-only disk":       {syscall.EROFS, ""},
		"somebody else's change": {atomicfile.ErrChanged, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := mended("/run/app/token", classify(fmt.Errorf("writing: %w", c.err)))
			var m *sinks.MendError
			if has := errors.As(err, &m); has != (c.want != "") || has && !strings.Contains(m.Mend, c.want) {
				t.Errorf("%#v, want %q", err, c.want)
			}
			if !errors.Is(err, c.err) || !strings.HasPrefix(err.Error(), classify(fmt.Errorf("writing: %w", c.err)).Error()) {
				t.Errorf("it became %v", err)
			}
		})
	}
}
