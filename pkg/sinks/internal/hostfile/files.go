package hostfile

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"tokend/pkg/atomicfile"
	"tokend/pkg/sinks"
)

// Files is a sink without Render, for files. It is safe for concurrent use.
type Files struct{ writer *atomicfile.Writer }

// New gives Files that write by w, which several kinds share.
func New(w *atomicfile.Writer) Files { return Files{writer: w} }

// account is what is recorded of a written file. It holds no content, but a
// plain hash of it: it is stored sealed.
type account struct {
	Path    string `json:"path"`
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"`
	Inode   uint64 `json:"inode,omitempty"`
	Changed int64  `json:"changed,omitempty"`
	Mode    string `json:"mode"`
	UID     int    `json:"uid"`
	GID     int    `json:"gid"`
}

func (a account) fingerprint() (atomicfile.Fingerprint, error) {
	f := atomicfile.Fingerprint{Size: a.Size, Inode: a.Inode, Changed: a.Changed}
	sum, err := hex.DecodeString(a.SHA256)
	if err != nil || len(sum) != len(f.SHA256) || a.Path == "" {
		return f, errors.New("reading the account of a written file: it is damaged; remove the file by hand")
	}
	copy(f.SHA256[:], sum)
	return f, nil
}

// open reads an account.
func open(written []byte) (account, atomicfile.Fingerprint, error) {
	a, ok := readAccount(written)
	if !ok {
		a = account{}
		if err := json.Unmarshal(written, &a); err != nil {
			return a, atomicfile.Fingerprint{}, fmt.Errorf("reading the account of a written file: %w", err)
		}
	}
	f, err := a.fingerprint()
	return a, f, err
}

// Check implements [sinks.Sink].
func (f Files) Check(ctx context.Context, d sinks.Desired, last []byte) (string, error) {
	want, err := f.begin(ctx, d)
	if err != nil {
		return "", err
	}
	sum := atomicfile.Sum([]byte(want.content.Reveal()))
	info, err := f.writer.Inspect(want.Path, sum)
	if err == nil && info.Match == 0 {
		return join(f.metadata(info, want.Attr)), nil
	}
	return f.difference(want, sum, last)
}

// difference looks again, with what was last written: it tells our earlier
// content from somebody else's, and recognises a file that may not be read.
func (f Files) difference(want desired, sum atomicfile.Fingerprint, last []byte) (string, error) {
	known := []atomicfile.Fingerprint{sum}
	before, fp, err := open(last)
	written := err == nil && before.Path == want.Path
	if written && fp.SHA256 == sum.SHA256 {
		known[0] = fp
	} else if written {
		known = append(known, fp)
	}
	info, err := f.writer.Inspect(want.Path, known...)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "missing", nil
	case err != nil && info.Regular && errors.Is(err, fs.ErrPermission):
		return join(append(f.metadata(info, want.Attr), "content cannot be read")), nil
	case err != nil:
		return "", classify(err)
	case !info.Regular:
		return "is " + info.Type + ", not a regular file", nil
	}
	return join(append(content(info.Match, written), f.metadata(info, want.Attr)...)), nil
}

// content says how the content differs from the desired one (match 0), knowing
// the last that was written (match 1).
func content(match int, written bool) []string {
	switch {
	case match == 0:
		return nil
	case match == 1:
		return []string{"content is of an earlier version"}
	case written:
		return []string{"content changed by someone else"}
	}
	return []string{"content is not ours"}
}

// metadata says how mode, owner and group differ.
func (f Files) metadata(info atomicfile.Info, a atomicfile.Attr) []string {
	var out []string
	want := a.Mode
	if want == 0 {
		want = 0o600
	}
	if info.Mode != want {
		out = append(out, fmt.Sprintf("mode is %04o, not %04o", info.Mode, want))
	}
	uid, gid, err := f.writer.Owner(a)
	if err != nil {
		return append(out, err.Error())
	}
	if uid >= 0 && uid != info.UID {
		out = append(out, fmt.Sprintf("owner is %s, not %s", userName(info.UID), a.Owner))
	}
	if gid >= 0 && gid != info.GID {
		out = append(out, fmt.Sprintf("group is %s, not %s", groupName(info.GID), a.Group))
	}
	return out
}

func join(differences []string) string { return strings.Join(differences, "; ") }

func userName(id int) string {
	if u, err := user.LookupId(strconv.Itoa(id)); err == nil {
		return u.Username
	}
	return strconv.Itoa(id)
}

func groupName(id int) string {
	if g, err := user.LookupGroupId(strconv.Itoa(id)); err == nil {
		return g.Name
	}
	return strconv.Itoa(id)
}

// Write implements [sinks.Sink].
func (f Files) Write(ctx context.Context, d sinks.Desired, last []byte) ([]byte, error) {
	want, err := f.begin(ctx, d)
	if err != nil {
		return nil, err
	}
	w, err := f.writer.Write(want.Path, []byte(want.content.Reveal()), want.Attr)
	stood := w.Stood || w.Unseen && Stands(d.Place) != ""
	if stood && last == nil && d.Replaces != nil {
		d.Replaces(aFile) // also where that failed: what stands there the next time may be our own
	}
	if err != nil {
		err = mended(want.Path, classify(err))
		if w.Untouched {
			err = untouched{err}
		}
		return nil, err
	}
	if w.Left != (atomicfile.Seen{}) && d.Left != nil {
		d.Left(sinks.Seen{Path: want.Path, Inode: w.Left.Inode, Changed: w.Left.Changed, Modified: w.Left.Modified})
	}
	return writeAccount(want.Path, w)
}

// untouched is an error of a write of which nothing came to the path.
type untouched struct{ error }

func (u untouched) Is(target error) bool { return target == sinks.ErrUntouched }

func (u untouched) Unwrap() error { return u.error }

// Intend implements [sinks.Sink]: what the file will be like but for its content
// is not known before it is written.
func (f Files) Intend(d sinks.Desired) ([]byte, error) {
	want, err := f.begin(context.Background(), d)
	if err != nil {
		return nil, err
	}
	return intendedAccount(want.Path, atomicfile.Sum([]byte(want.content.Reveal())))
}

// Intact implements [sinks.Sink].
func (f Files) Intact(ctx context.Context, written []byte) (sinks.Seen, bool) {
	a, fp, err := open(written)
	if err != nil || ctx.Err() != nil {
		return sinks.Seen{}, false
	}
	mode, err := strconv.ParseUint(a.Mode, 8, 32)
	if err != nil {
		return sinks.Seen{}, false
	}
	seen, ok := f.writer.Untouched(a.Path, atomicfile.Written{Fingerprint: fp, Mode: fs.FileMode(mode), UID: a.UID, GID: a.GID})
	return sinks.Seen{Path: a.Path, Inode: seen.Inode, Changed: seen.Changed, Modified: seen.Modified}, ok
}

// Remove implements [sinks.Sink].
func (f Files) Remove(ctx context.Context, written []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a, fp, err := open(written)
	if err != nil {
		return fmt.Errorf("%w: %w", sinks.ErrPermanent, err)
	}
	if _, err := f.writer.Remove(a.Path, fp); err != nil {
		return classify(err)
	}
	return nil
}

// Paths implements [sinks.Sink].
func (f Files) Paths(written []byte) []string {
	if a, ok := readAccount(written); ok && a.Path != "" {
		return []string{a.Path}
	}
	a, _, err := open(written)
	if err != nil {
		return nil
	}
	return []string{a.Path}
}

// begin returns what a caller passes back to us.
func (f Files) begin(ctx context.Context, d sinks.Desired) (desired, error) {
	if err := ctx.Err(); err != nil {
		return desired{}, err
	}
	want, ok := d.Content.(desired)
	if !ok {
		return desired{}, fmt.Errorf("writing %s: %w", d.Place, sinks.ErrUnknown)
	}
	return want, nil
}

// classify tells the queue what trying again is good for.
func classify(err error) error {
	switch {
	case errors.Is(err, atomicfile.ErrChanged):
		return fmt.Errorf("%w: %w", sinks.ErrForeign, err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %w; where systemd confines tokend, its unit has to name the directory: ReadWritePaths=DIR in a drop-in (systemctl edit tokend)", sinks.ErrPermanent, err)
	case atomicfile.Permanent(err):
		return fmt.Errorf("%w: %w", sinks.ErrPermanent, err)
	}
	return err
}
