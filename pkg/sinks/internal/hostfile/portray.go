package hostfile

import (
	"context"
	"fmt"
	"io/fs"
	"strconv"

	"tokend/pkg/atomicfile"
	"tokend/pkg/sinks"
)

// What of a file is compared beside its content.
const (
	traitMode  = "mode"
	traitOwner = "owner"
	traitGroup = "group"
)

// Portray implements [sinks.Sink].
func (f Files) Portray(d sinks.Desired, written []byte, hash func([]byte) string) (sinks.Portrait, error) {
	want, err := f.begin(context.Background(), d)
	if err != nil {
		return sinks.Portrait{}, err
	}
	p := sinks.Portrait{Content: hash([]byte(want.content.Reveal())), Parts: want.parts, Traits: wanted(want.Attr)}
	if written == nil {
		return p, nil
	}
	a, _, err := open(written)
	if err != nil {
		return sinks.Portrait{}, err
	}
	p.Traits = map[string][]string{traitMode: {a.Mode}, traitOwner: {strconv.Itoa(a.UID)}, traitGroup: {strconv.Itoa(a.GID)}}
	also := func(trait, name string) { p.Traits[trait] = append(p.Traits[trait], name) }
	owner, group := f.writer.Names(a.UID, a.GID)
	if owner != "" {
		also(traitOwner, owner)
	}
	if group != "" {
		also(traitGroup, group)
	}
	// A number may have several names, of which the configuration has one.
	if uid, gid, err := f.writer.Owner(want.Attr); err == nil {
		if uid == a.UID {
			also(traitOwner, id(want.Attr.Owner))
		}
		if gid == a.GID {
			also(traitGroup, id(want.Attr.Group))
		}
	}
	return p, nil
}

// Wrote implements [sinks.Sink].
func (f Files) Wrote(d sinks.Desired, written []byte) bool {
	want, err := f.begin(context.Background(), d)
	if err != nil {
		return false
	}
	a, fp, err := open(written)
	if err != nil || a.Path != want.Path || fp.SHA256 != atomicfile.Sum([]byte(want.content.Reveal())).SHA256 {
		return false
	}
	uid, gid, err := f.writer.Owner(want.Attr)
	return err == nil && a.Mode == wanted(want.Attr)[traitMode][0] && (uid < 0 || uid == a.UID) && (gid < 0 || gid == a.GID)
}

// wanted are the traits that a file shall have.
func wanted(a atomicfile.Attr) map[string][]string {
	mode := a.Mode
	if mode == 0 {
		mode = 0o600
	}
	out := map[string][]string{traitMode: {octal(mode)}}
	if a.Owner != "" {
		out[traitOwner] = []string{id(a.Owner)}
	}
	if a.Group != "" {
		out[traitGroup] = []string{id(a.Group)}
	}
	return out
}

func octal(mode fs.FileMode) string { return fmt.Sprintf("%04o", mode) }

// id is a user or group as it is compared: a number in one form only.
func id(name string) string {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return strconv.FormatUint(n, 10)
	}
	return name
}
