package hostfile

import (
	"strconv"
	"strings"
)

// readAccount reads an account in the form in which Write records it, without
// the cost of reading any JSON: a hundred thousand are read at a start. What has
// another form, or needs escapes, is for a parser.
func readAccount(written []byte) (a account, ok bool) {
	f := fields{rest: string(written), ok: true}
	a.Path = f.text(`{"path":"`)
	a.Size = f.number(`,"size":`)
	a.SHA256 = f.text(`,"sha256":"`)
	if f.has(`,"inode":`) {
		inode := f.digits(`,"inode":`)
		n, err := strconv.ParseUint(inode, 10, 64)
		a.Inode, f.ok = n, f.ok && err == nil
	}
	if f.has(`,"changed":`) {
		a.Changed = f.number(`,"changed":`)
	}
	a.Mode = f.text(`,"mode":"`)
	a.UID = int(f.number(`,"uid":`))
	a.GID = int(f.number(`,"gid":`))
	return a, f.ok && f.rest == "}"
}

// fields are what of an account was not read yet.
type fields struct {
	rest string
	ok   bool
}

func (f *fields) has(prefix string) bool { return strings.HasPrefix(f.rest, prefix) }

// text reads what follows prefix up to the closing quote.
func (f *fields) text(prefix string) string {
	rest, ok := strings.CutPrefix(f.rest, prefix)
	value, rest, closed := strings.Cut(rest, `"`)
	f.rest, f.ok = rest, f.ok && ok && closed && strings.IndexByte(value, '\\') < 0
	return value
}

func (f *fields) digits(prefix string) string {
	rest, ok := strings.CutPrefix(f.rest, prefix)
	n := strings.IndexAny(rest, ",}")
	if !ok || n < 0 {
		f.ok = false
		return ""
	}
	f.rest = rest[n:]
	return rest[:n]
}

func (f *fields) number(prefix string) int64 {
	n, err := strconv.ParseInt(f.digits(prefix), 10, 64)
	f.ok = f.ok && err == nil
	return n
}
