package state

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// sealedBy finds, beside a key that tokend made, the one that a copy was sealed with:
// one that a rotation kept, or that waits to take its place. It returns nil where the
// key itself opens the copy, and where there is no such file.
func (k *localKey) sealedBy(wrapped []byte) *localKey {
	if !k.generate || wrappedLocally(k.String(), wrapped) != nil {
		return nil
	}
	print := wrapped[len(wrapLocal) : len(wrapLocal)+fingerprintSize]
	if key, err := k.read(); err == nil && bytes.Equal(fingerprint(key), print) {
		return nil
	}
	kept, _ := filepath.Glob(k.path + ".former-" + hex.EncodeToString(print[:4]) + "*")
	for _, path := range append(kept, k.next()) {
		former := &localKey{kind: "former key file", path: path, private: k.private}
		if key, err := former.read(); err == nil && bytes.Equal(fingerprint(key), print) {
			return former
		}
	}
	return nil
}

// await lays a former key where it takes the key's place once a state that it opens
// is there ([localKey.sealedByNext]), so that a crash leaves a state and its key
// whichever of the two was in place. A key that waits there already is kept.
func (k *localKey) await(former *localKey) error {
	if former.path == k.next() {
		return nil
	}
	if waiting, err := readKey(k.String(), k.next(), k.private); err == nil {
		if err := k.keep(k.next(), waiting); err != nil {
			return fmt.Errorf("keeping the key in %s: %w", k.next(), err)
		}
	}
	content, err := readSmallFile(former.path, k.private)
	if err != nil {
		return err
	}
	defer clear(content)
	return writeWhole(k.next(), func(f *os.File) error {
		_, err := f.Write(content)
		return err
	})
}

// keep gives a key's file a second name, that of its fingerprint, under which it
// stays.
func (k *localKey) keep(path string, key []byte) error {
	former := fmt.Sprintf("%s.former-%x", k.path, fingerprint(key)[:4])
	if err := os.Link(path, former); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// KeptKeyOf finds, among the keys that tokend made and kept in a state's directory, the
// file with the one that a copy was sealed with; "" where none is it.
func KeptKeyOf(file, dir string) string {
	c, err := CheckCopy(file)
	if err != nil {
		return ""
	}
	k := &localKey{kind: "generated key file", path: filepath.Join(dir, GeneratedName), private: true, generate: true}
	if former := k.sealedBy(c.wrapped); former != nil {
		return former.path
	}
	if _, err := k.Unwrap(context.Background(), c.wrapped); err == nil {
		return k.path
	}
	return ""
}
