package state

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// KeySource keeps the key that wraps a state's data key: [KeyFile],
// [GeneratedKeyFile], [SystemdCredential] or [TransitKey]. Implementations are
// safe for concurrent use.
type KeySource interface {
	// Wrap seals a new data key. It is called when a state is made and when its
	// key is rotated, never for a state that exists otherwise.
	Wrap(ctx context.Context, dataKey []byte) ([]byte, error)
	// Unwrap opens what Wrap made. An error that is [ErrKey] says that the key is
	// missing, unusable or another one; any other is worth another try.
	Unwrap(ctx context.Context, wrapped []byte) ([]byte, error)
	// String names the key for people: its kind and where it is.
	String() string
}

// Transit is a service that encrypts without handing out its key, as Vault's
// transit engine does.
type Transit interface {
	Encrypt(ctx context.Context, plain []byte) (cipher []byte, err error)
	Decrypt(ctx context.Context, cipher []byte) (plain []byte, err error)
}

// What a wrapped key begins with.
const (
	wrapLocal   = "L\x01"
	wrapTransit = "T\x01"
)

const (
	fingerprintSize = 8
	localWrapSize   = len(wrapLocal) + fingerprintSize + nonceSize + keySize + tagSize
)

// KeyFile is a key of 32 bytes in a file: raw, or as hexadecimal or base64
// text. A file that group or others may read is refused.
func KeyFile(path string) KeySource {
	return &localKey{kind: "key file", path: path, private: true}
}

// GeneratedKeyFile is a key file that is made, with mode 0600, when the state
// is new. For a state that exists it must be there.
func GeneratedKeyFile(path string) KeySource {
	return &localKey{kind: "generated key file", path: path, private: true, generate: true}
}

// RenewedKeyFile makes a new key for a state whose key was generated, to be given
// to [Bolt.RotateKey]. It takes the former key's place once the state is sealed
// with it; a crash in between is seen to by [GeneratedKeyFile].
func RenewedKeyFile(path string) KeySource {
	return &localKey{kind: "generated key file", path: path, private: true, generate: true, renew: true}
}

// SystemdCredential is a key that systemd hands to its service: name under the
// directory that $CREDENTIALS_DIRECTORY gives. Who may read it is systemd's
// business (an access list can look like a group's right), and not checked.
func SystemdCredential(directory, name string) KeySource {
	return &systemdKey{directory: directory, name: name}
}

// TransitKey wraps the data key by a [Transit]; name says which, for people.
// It is asked once when a state is opened, made or its key rotated.
func TransitKey(name string, t Transit) KeySource { return &transitKey{name: name, transit: t} }

type localKey struct {
	kind     string
	path     string
	private  bool
	generate bool
	renew    bool // a new one takes its place
}

func (k *localKey) String() string { return fmt.Sprintf("%s %q", k.kind, k.path) }

func (k *localKey) Wrap(_ context.Context, dataKey []byte) ([]byte, error) {
	if k.renew {
		if err := generateKey(k.next()); err != nil {
			return nil, fmt.Errorf("making the %s: %w", k, err)
		}
		key, err := readKey(k.String(), k.next(), k.private)
		if err != nil {
			return nil, err
		}
		return wrapLocally(key, dataKey)
	}
	key, err := k.read()
	if k.generate && errors.Is(err, fs.ErrNotExist) {
		if err := generateKey(k.path); err != nil {
			return nil, fmt.Errorf("making the %s: %w", k, err)
		}
		key, err = k.read()
	}
	if err != nil {
		return nil, err
	}
	return wrapLocally(key, dataKey)
}

func (k *localKey) Unwrap(_ context.Context, wrapped []byte) ([]byte, error) {
	if err := wrappedLocally(k.String(), wrapped); err != nil {
		return nil, err
	}
	if k.generate && k.sealedByNext(wrapped) {
		// Where its place cannot be taken (it is a mount of its own, or on a disk
		// that is read-only), it opens the state from where it is.
		if next, err := readKey(k.String(), k.next(), k.private); err == nil && k.settle() != nil {
			return unwrapLocally(k.String(), next, wrapped)
		}
	}
	key, err := k.read()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: put back the key that sealed this state; without it nothing in it can be read", err)
	}
	if err != nil {
		return nil, err
	}
	return unwrapLocally(k.String(), key, wrapped)
}

// next is where the key that is to take its place lies while it is rotated: one
// of the two opens the state at every moment.
func (k *localKey) next() string { return k.path + ".next" }

// sealedByNext reports whether a rotation was cut short after the state was
// sealed with the new key and before that had taken its place.
func (k *localKey) sealedByNext(wrapped []byte) bool {
	key, err := readKey(k.String(), k.next(), k.private)
	return err == nil && hmac.Equal(wrapped[len(wrapLocal):len(wrapLocal)+fingerprintSize], fingerprint(key))
}

// settle lets the new key take its place. The former one stays beside it, under
// the name of its fingerprint: it alone opens copies that were made before.
func (k *localKey) settle() error {
	if key, err := k.read(); err == nil {
		if err := k.keep(k.path, key); err != nil {
			return fmt.Errorf("keeping the former key: %w", err)
		}
	}
	if err := os.Rename(k.next(), k.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(k.path))
}

func (k *localKey) read() ([]byte, error) { return readKey(k.String(), k.path, k.private) }

type systemdKey struct{ directory, name string }

func (k *systemdKey) String() string { return fmt.Sprintf("systemd credential %q", k.name) }

func (k *systemdKey) read() ([]byte, error) {
	if k.directory == "" {
		return nil, fmt.Errorf("%w: $CREDENTIALS_DIRECTORY is not set, so there is no %s: start tokend by a unit with LoadCredential= or LoadCredentialEncrypted=%s", ErrKey, k, k.name)
	}
	if k.name == "" || k.name != filepath.Base(k.name) {
		return nil, fmt.Errorf("%w: the %s: a credential's name has no slash", ErrKey, k)
	}
	return readKey(k.String(), filepath.Join(k.directory, k.name), false)
}

func (k *systemdKey) Wrap(_ context.Context, dataKey []byte) ([]byte, error) {
	key, err := k.read()
	if err != nil {
		return nil, err
	}
	return wrapLocally(key, dataKey)
}

func (k *systemdKey) Unwrap(_ context.Context, wrapped []byte) ([]byte, error) {
	if err := wrappedLocally(k.String(), wrapped); err != nil {
		return nil, err
	}
	key, err := k.read()
	if err != nil {
		return nil, err
	}
	return unwrapLocally(k.String(), key, wrapped)
}

type transitKey struct {
	name    string
	transit Transit
}

func (k *transitKey) String() string { return fmt.Sprintf("transit key %q", k.name) }

func (k *transitKey) Wrap(ctx context.Context, dataKey []byte) ([]byte, error) {
	c, err := k.transit.Encrypt(ctx, dataKey)
	if err != nil {
		return nil, fmt.Errorf("wrapping the state's key by the %s: %w", k, err)
	}
	return append([]byte(wrapTransit), c...), nil
}

func (k *transitKey) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	c, ok := strings.CutPrefix(string(wrapped), wrapTransit)
	if !ok {
		return nil, fmt.Errorf("%w: it is sealed by a key file or a systemd credential, and %s is configured: configure the former one, then rotate the key", ErrKey, k)
	}
	plain, err := k.transit.Decrypt(ctx, []byte(c))
	if err != nil {
		return nil, fmt.Errorf("unwrapping the state's key by the %s: %w", k, err)
	}
	return plain, nil
}

// wrapLocally seals the data key, and puts a fingerprint of the wrapping key in
// front so that a wrong key can be told from a damaged file.
func wrapLocally(key, dataKey []byte) ([]byte, error) {
	aead, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	b := append(make([]byte, 0, localWrapSize), wrapLocal...)
	b = append(b, fingerprint(key)...)
	nonce := make([]byte, nonceSize)
	_, _ = rand.Read(nonce)
	b = append(b, nonce...)
	return aead.Seal(b, nonce, dataKey, []byte(wrapLocal)), nil
}

// wrappedLocally tells, before a key is looked for, whether it is of the right
// sort.
func wrappedLocally(name string, wrapped []byte) error {
	if strings.HasPrefix(string(wrapped), wrapTransit) {
		return fmt.Errorf("%w: it is sealed by a transit key, and the %s is configured: configure the transit key, then rotate it", ErrKey, name)
	}
	if !strings.HasPrefix(string(wrapped), wrapLocal) || len(wrapped) != localWrapSize {
		return fmt.Errorf("%w: its wrapped key is not one; %s", ErrDamaged, restoreHint)
	}
	return nil
}

func unwrapLocally(name string, key, wrapped []byte) ([]byte, error) {
	b := wrapped[len(wrapLocal):]
	if want, have := b[:fingerprintSize], fingerprint(key); !hmac.Equal(want, have) {
		return nil, fmt.Errorf("%w: it was sealed with the key %x, and the %s holds the key %x: put back the former key", ErrKey, want, name, have)
	}
	aead, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	b = b[fingerprintSize:]
	plain, err := aead.Open(nil, b[:nonceSize], b[nonceSize:], []byte(wrapLocal))
	if err != nil {
		return nil, fmt.Errorf("%w: the key is the right one, but the wrapped key fails its check; %s", ErrDamaged, restoreHint)
	}
	return plain, nil
}

// fingerprint identifies a key without giving anything of it away.
func fingerprint(key []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("tokend state key fingerprint"))
	return m.Sum(nil)[:fingerprintSize]
}

// parseKey reads a key's 32 bytes from a file's content.
func parseKey(content []byte) ([]byte, error) {
	const how = "make one with `openssl rand -hex 32`"
	text := strings.TrimSpace(string(content))
	if len(text) == 0 {
		return nil, errors.New("it is empty; " + how)
	}
	if half, err := hex.DecodeString(text); err == nil && len(half) == keySize/2 {
		return nil, errors.New("it holds 32 hexadecimal digits, which are 16 bytes, and 32 bytes are needed; " + how)
	}
	if len(content) == keySize {
		return usableKey(content)
	}
	if key, err := hex.DecodeString(text); err == nil && len(key) == keySize {
		return usableKey(key)
	}
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if key, err := enc.DecodeString(text); err == nil && len(key) == keySize {
			return usableKey(key)
		}
	}
	return nil, fmt.Errorf("its %d bytes are neither 32 raw bytes nor 32 bytes as hexadecimal or base64 text; %s", len(content), how)
}

func usableKey(key []byte) ([]byte, error) {
	for _, b := range key[1:] {
		if b != key[0] {
			return key, nil
		}
	}
	return nil, errors.New("all of its bytes are the same, which is no key")
}

// readKey reads a key file; what says in errors which.
func readKey(what, path string, private bool) ([]byte, error) {
	content, err := readSmallFile(path, private)
	if err != nil {
		return nil, fmt.Errorf("%w: reading the %s: %w", ErrKey, what, err)
	}
	defer clear(content)
	key, err := parseKey(content)
	if err != nil {
		return nil, fmt.Errorf("%w: the %s cannot be used: %w", ErrKey, what, err)
	}
	return append([]byte(nil), key...), nil
}

// maxKeyFile is more than any encoding of a key takes.
const maxKeyFile = 4096

func readSmallFile(path string, private bool) ([]byte, error) {
	f, err := openNoWait(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	case private && info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("its mode is %04o, so others than its owner can use it: chmod 600 %s", info.Mode().Perm(), path)
	case info.Size() > maxKeyFile:
		return nil, fmt.Errorf("its %d bytes are too many for a key", info.Size())
	}
	content := make([]byte, info.Size())
	n, err := f.ReadAt(content, 0)
	if n < len(content) {
		return nil, fmt.Errorf("only %d of %d bytes could be read: %w", n, len(content), err)
	}
	return content, nil
}

// generateKey writes a new key file, as text so that it can be put on paper. It
// is durable before the state that it will seal exists. The caller holds the
// state's lock and saw no file at path, so nothing is replaced.
func generateKey(path string) (err error) {
	key := make([]byte, keySize)
	_, _ = rand.Read(key)
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp)
		}
	}()
	if _, err = f.WriteString(hex.EncodeToString(key) + "\n"); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err = os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("syncing the directory %s: %w", dir, err)
	}
	return nil
}
