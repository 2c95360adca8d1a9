package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"tokend/pkg/spec"
	"tokend/pkg/state"
	"tokend/pkg/vault"
)

// formerKeys open a state whose key is being rotated where the configuration
// names the new one already: the configured key is tried first, then those that
// may have sealed it before.
type formerKeys struct {
	state.KeySource
	former []state.KeySource
}

// Unwrap implements [state.KeySource].
func (k formerKeys) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	plain, err := k.KeySource.Unwrap(ctx, wrapped)
	if !errors.Is(err, state.ErrKey) {
		return plain, err
	}
	for _, f := range k.former {
		if plain, ferr := f.Unwrap(ctx, wrapped); ferr == nil {
			return plain, nil
		} else if !errors.Is(ferr, state.ErrKey) {
			return nil, ferr
		}
	}
	return nil, withHint(err, "the configuration names another key than the one that seals the state: name that one too, as tokend state rotate-key --former FILE")
}

// withFormer adds the keys that may have sealed the state: the one that a person
// names, as a file or as VAULT/MOUNT/KEY, and the one that tokend made.
func (e *engine) withFormer(ctx context.Context, key state.KeySource, former, dir string) (state.KeySource, error) {
	k := formerKeys{KeySource: key}
	if former != "" {
		s := spec.StateSettings{KeyFile: former}
		if strings.HasPrefix(former, "vault.") {
			var err error
			if s, err = (keyRequest{Transit: former}).settings(); err != nil {
				return nil, err
			}
		}
		named, err := e.keySource(ctx, s, dir)
		if err != nil {
			return nil, fmt.Errorf("reading --former: %w", err)
		}
		k.former = append(k.former, named)
	}
	if made := filepath.Join(dir, state.GeneratedName); isThere(made) {
		k.former = append(k.former, state.KeyFile(made))
	}
	return k, nil
}

// formerKeyHint is what to do about a copy that the configured key does not open:
// most often it was made before the key was rotated.
func formerKeyHint(file, dir string) string {
	which, path := "", "…"
	if kept := state.KeptKeyOf(file, dir); kept != "" {
		which, path = " (the one that tokend made and kept)", fmt.Sprintf("%q", kept)
	}
	return fmt.Sprintf("name the key that the copy was made with%s: tokend { state { key_file = %s } }; the key can be rotated after the restore", which, path)
}

// transit is a key of Vault's as the state asks for it.
type transit struct{ *vault.Transit }

// Decrypt implements [state.Transit]. What Vault refuses to open was sealed with
// another key, so that a former one is worth a try.
func (t transit) Decrypt(ctx context.Context, sealed []byte) ([]byte, error) {
	plain, err := t.Transit.Decrypt(ctx, sealed)
	if errors.Is(err, vault.ErrInvalid) {
		err = fmt.Errorf("%w: %w", state.ErrKey, err)
	}
	return plain, err
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
