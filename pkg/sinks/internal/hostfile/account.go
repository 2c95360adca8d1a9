package hostfile

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"tokend/pkg/atomicfile"
)

// writeAccount is the account of a written file as encoding/json has it, without
// the cost of that for a plain path.
func writeAccount(path string, w atomicfile.Written) ([]byte, error) {
	f := w.Fingerprint
	if !plain(path) {
		return json.Marshal(account{
			Path: path, Size: f.Size, SHA256: f.Hex(), Inode: f.Inode, Changed: f.Changed, Mode: fmt.Sprintf("%04o", w.Mode), UID: w.UID, GID: w.GID,
		})
	}
	b := make([]byte, 0, 224+len(path))
	b = append(append(b, `{"path":"`...), path...)
	b = strconv.AppendInt(append(b, `","size":`...), f.Size, 10)
	b = hex.AppendEncode(append(b, `,"sha256":"`...), f.SHA256[:])
	b = append(b, '"')
	if f.Inode != 0 {
		b = strconv.AppendUint(append(b, `,"inode":`...), f.Inode, 10)
	}
	if f.Changed != 0 {
		b = strconv.AppendInt(append(b, `,"changed":`...), f.Changed, 10)
	}
	m := w.Mode.Perm()
	b = append(append(b, `,"mode":"0`...), '0'+byte(m>>6), '0'+byte(m>>3&7), '0'+byte(m&7))
	b = strconv.AppendInt(append(b, `","uid":`...), int64(w.UID), 10)
	b = strconv.AppendInt(append(b, `,"gid":`...), int64(w.GID), 10)
	return append(b, '}'), nil
}

// intendedAccount is the account of a file as far as it is known before it is
// written, in the same way.
func intendedAccount(path string, f atomicfile.Fingerprint) ([]byte, error) {
	if !plain(path) {
		return json.Marshal(account{Path: path, Size: f.Size, SHA256: f.Hex()})
	}
	b := make([]byte, 0, 160+len(path))
	b = append(append(b, `{"path":"`...), path...)
	b = strconv.AppendInt(append(b, `","size":`...), f.Size, 10)
	b = hex.AppendEncode(append(b, `,"sha256":"`...), f.SHA256[:])
	return append(b, `","mode":"","uid":0,"gid":0}`...), nil
}

// plain says that JSON has a path as it is.
func plain(path string) bool {
	for i := range len(path) {
		if c := path[i]; c < ' ' || c > '~' || strings.IndexByte(`"\\<>&`, c) >= 0 {
			return false
		}
	}
	return true
}

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
