package reconcile

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"tokend/pkg/providers"
	"tokend/pkg/sinks"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// lackingError: what is to be looked at needs the token of a credential that has
// none.
type lackingError struct{ credential spec.Address }

func (e *lackingError) Error() string { return "waits for the token of " + e.credential.Short() }

// cure is what somebody has to do before another try of something that failed can
// help; "" where trying again may be all that it takes.
func cure(err error) string {
	var unread *spec.UnreadableError
	var eval *spec.EvalError
	var file *providers.FileError
	var mend *sinks.MendError
	switch {
	case errors.As(err, &mend):
		return mend.Mend
	case errors.As(err, &unread) && unread.Addr.Kind() == "secret":
		// What it is read with may be what lacks: a Vault's login names a secret of its own.
		for inner := unread; errors.As(inner.Err, &inner) && inner.Addr.Kind() == "secret"; {
			unread = inner
		}
		return "give " + unread.Addr.Short() + " a value that can be read"
	case errors.As(err, &eval):
		return "mend the configuration there, or what it reads"
	case errors.As(err, &file):
		return "put that file right"
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return "make room there"
	case errors.Is(err, unix.EROFS):
		return "let tokend write there"
	case errors.Is(err, fs.ErrPermission):
		return "give tokend the rights that it lacks there"
	case errors.Is(err, sinks.ErrPermanent):
		return "put right what it says"
	}
	return ""
}

// mendAfter is the command that tries again, after what has to be done before.
func mendAfter(hint, addr string) string {
	command := "tokend retry " + ShellAddress(addr)
	if hint == "" {
		return command
	}
	return hint + ", then: " + command
}

// mendOf is what mends an address that failed with an error.
func mendOf(err error, addr string) string {
	var lacks *lackingError
	if errors.As(err, &lacks) {
		return "tokend status " + ShellAddress(string(lacks.credential))
	}
	if errors.Is(err, state.ErrSchema) {
		return "install the newer tokend again: it reads what it wrote"
	}
	return mendAfter(cure(err), addr)
}

// mendSink is what mends a sink whose record has a failure; of a place that cannot be
// cleaned also how that is given up.
func mendSink(in *SinkInput, f *state.Failure) string {
	mend := mendAfter(f.Hint, in.Address)
	if !in.Declared {
		mend += " (or, to leave what it wrote where it is: tokend state rm " + ShellAddress(in.Address) + ")"
	}
	return mend
}
