package hostfile

import (
	"os"
	"strings"
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
