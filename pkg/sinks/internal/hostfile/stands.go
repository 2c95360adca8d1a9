package hostfile

import (
	"fmt"
	"os"
	"strings"

	"tokend/pkg/sinks"
)

// aFile is what stands at a place, in words.
const aFile = "a file"

// Stands says in words what stands at a place, "" for nothing. What is no regular
// file is left alone by a write, which says so itself; a place of another kind is
// not known here.
func Stands(place string) string {
	path, ok := strings.CutPrefix(place, placePrefix)
	if !ok {
		return ""
	}
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return aFile
}

// Becomes implements [sinks.Overtaker]: a new file takes the place of the one that
// stands there, and gets nothing of what that was like.
func (f Files) Becomes(d sinks.Desired) string {
	var t Target
	switch c := d.Content.(type) {
	case desired:
		t = c.Target
	case Target:
		t = c
	default:
		return ""
	}
	is, _ := f.writer.Inspect(t.Path) // what may not be read is told all the same
	if !is.Regular {
		return ""
	}
	mode := t.Attr.Mode
	if mode == 0 {
		mode = 0o600
	}
	uid, gid, err := f.writer.Owner(t.Attr)
	if err != nil {
		return "" // the write says so
	}
	if uid < 0 {
		uid = os.Geteuid()
	}
	var becomes []string
	if is.Mode != mode {
		becomes = append(becomes, fmt.Sprintf("its mode becomes %04o (it is %04o)", mode, is.Mode))
	}
	if uid != is.UID {
		becomes = append(becomes, fmt.Sprintf("its owner becomes %s (it is %s)", userName(uid), userName(is.UID)))
	}
	if gid >= 0 && gid != is.GID {
		becomes = append(becomes, fmt.Sprintf("its group becomes %s (it is %s)", groupName(gid), groupName(is.GID)))
	}
	return strings.Join(becomes, ", ")
}
