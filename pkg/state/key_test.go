package state_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokend/pkg/secret"
	"tokend/pkg/state"
)

func keyFile(t *testing.T, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.key")
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

var rawKey = []byte("\x01\x02key of thirty-two bytes......\x00")

func TestKeysInEveryForm(t *testing.T) {
	if len(rawKey) != 32 {
		t.Fatalf("the key has %d bytes", len(rawKey))
	}
	dir := t.TempDir()
	credentials := filepath.Dir(keyFile(t, hex.EncodeToString(rawKey), 0o440))
	for name, key := range map[string]state.KeySource{
		"raw":           state.KeyFile(keyFile(t, string(rawKey), 0o600)),
		"hexadecimal":   state.KeyFile(keyFile(t, strings.ToUpper(hex.EncodeToString(rawKey))+"\n", 0o400)),
		"base64":        state.KeyFile(keyFile(t, base64.StdEncoding.EncodeToString(rawKey)+"\n", 0o600)),
		"base64 of URL": state.KeyFile(keyFile(t, "  "+base64.RawURLEncoding.EncodeToString(rawKey), 0o600)),
		"systemd":       state.SystemdCredential(credentials, "state.key"),
	} {
		s, err := state.Open(t.Context(), state.Options{Dir: dir, Key: key})
		if err != nil {
			t.Errorf("%s: Open = %v, want the same state", name, err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestKeysThatAreNoneAreRefused(t *testing.T) {
	for _, test := range []struct {
		name, content string
		mode          os.FileMode
		want          string
	}{
		{"empty", "", 0o600, "it is empty"},
		{"blank", " \n\n", 0o600, "it is empty"},
		{"short", "abc", 0o600, "neither 32 raw bytes"},
		{"16 bytes in hexadecimal", "000102030405060708090a0b0c0d0e0f", 0o600, "16 bytes"},
		{"long", strings.Repeat("k", 33), 0o600, "neither 32 raw bytes"},
		{"huge", strings.Repeat("k", 5000), 0o600, "too many"},
		{"all the same", strings.Repeat("0", 64), 0o600, "all of its bytes are the same"},
		{"readable by the group", hex.EncodeToString(rawKey), 0o640, "chmod 600"},
		{"readable by all", hex.EncodeToString(rawKey), 0o604, "chmod 600"},
	} {
		path := keyFile(t, test.content, test.mode)
		_, err := state.Open(t.Context(), state.Options{Dir: t.TempDir(), Key: state.KeyFile(path)})
		if !errors.Is(err, state.ErrKey) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: Open = %v, want ErrKey with %q and the path", test.name, err, test.want)
		}
		if err != nil && test.content != "" && len(test.content) < 100 && strings.TrimSpace(test.content) != "" && strings.Contains(err.Error(), test.content) {
			t.Errorf("%s: the error shows the key: %v", test.name, err)
		}
	}
	for name, key := range map[string]state.KeySource{
		"a directory":             state.KeyFile(t.TempDir()),
		"a missing file":          state.KeyFile(filepath.Join(t.TempDir(), "none")),
		"no credential directory": state.SystemdCredential("", "state.key"),
		"a missing credential":    state.SystemdCredential(t.TempDir(), "state.key"),
		"a credential elsewhere":  state.SystemdCredential(t.TempDir(), "../state.key"),
	} {
		dir := t.TempDir()
		if _, err := state.Open(t.Context(), state.Options{Dir: dir, Key: key}); !errors.Is(err, state.ErrKey) {
			t.Errorf("%s: Open = %v, want ErrKey", name, err)
		}
		if _, err := os.Stat(filepath.Join(dir, state.FileName)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a state was made without a key (%v)", name, err)
		}
	}
}

// stored makes a state with one record and closes it.
func stored(t *testing.T, o state.Options) {
	t.Helper()
	s, err := state.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	if err := s.Commit(t.Context(), state.Change{Credential: &state.Credential{Head: state.Head{Address: "credential.a.b"}, Note: "kept"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func holds(t *testing.T, o state.Options) {
	t.Helper()
	s := open(t, o)
	if c, _, err := s.Credential(t.Context(), "credential.a.b"); err != nil || c.Note != "kept" {
		t.Errorf("Credential = %q, %v, want what was stored", c.Note, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestAWrongOrMissingKeyIsSaid(t *testing.T) {
	dir := t.TempDir()
	right := keyFile(t, hex.EncodeToString(rawKey), 0o600)
	stored(t, state.Options{Dir: dir, Key: state.KeyFile(right)})
	before, err := os.ReadFile(filepath.Join(dir, state.FileName))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		key  state.KeySource
		want string
	}{
		"another key":         {state.KeyFile(keyFile(t, strings.Repeat("ab01", 16), 0o600)), "put back the former key"},
		"none configured":     {nil, "put back the key"},
		"a transit":           {state.TransitKey("vault.main transit/state", &fakeTransit{}), "configure the former one"},
		"a missing file":      {state.KeyFile(right + ".gone"), "put back the key"},
		"a missing generated": {state.GeneratedKeyFile(right + ".gone"), "put back the key"},
	} {
		_, err := state.Open(t.Context(), state.Options{Dir: dir, Key: test.key})
		if !errors.Is(err, state.ErrKey) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Open = %v, want ErrKey with %q", name, err, test.want)
		}
	}
	if after, _ := os.ReadFile(filepath.Join(dir, state.FileName)); !bytes.Equal(before, after) {
		t.Error("failing to open the state changed it")
	}
	if _, err := os.Stat(filepath.Join(dir, state.GeneratedName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a key was generated for a state that exists (%v)", err)
	}
	holds(t, state.Options{Dir: dir, Key: state.KeyFile(right)})
}

func TestAGeneratedKeyIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	stored(t, state.Options{Dir: dir})
	key := filepath.Join(dir, state.GeneratedName)
	first, err := os.ReadFile(key)
	if err != nil || len(first) != 65 {
		t.Fatalf("the generated key has %d bytes (%v), want 64 digits and a newline", len(first), err)
	}
	holds(t, state.Options{Dir: dir})
	holds(t, state.Options{Dir: dir, Key: state.KeyFile(key)})
	if again, _ := os.ReadFile(key); !bytes.Equal(first, again) {
		t.Error("the generated key was replaced")
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if _, err := state.Open(t.Context(), state.Options{Dir: dir}); !errors.Is(err, state.ErrKey) {
		t.Errorf("Open without the generated key = %v, want ErrKey", err)
	}
	if _, err := os.Stat(key); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a new key was generated for an old state (%v)", err)
	}
}

// fakeTransit encrypts well enough for a test: by a mask and a prefix.
type fakeTransit struct {
	err   error
	short bool
}

func mask(b []byte) []byte {
	out := bytes.Clone(b)
	for i := range out {
		out[i] ^= 0x5a
	}
	return out
}

func (f *fakeTransit) Encrypt(_ context.Context, plain []byte) ([]byte, error) {
	return append([]byte("vault:v1:"), mask(plain)...), f.err
}

func (f *fakeTransit) Decrypt(_ context.Context, c []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(c, []byte("vault:v1:"))
	if !ok {
		return nil, errors.New("invalid ciphertext")
	}
	if f.short {
		plain = plain[:5]
	}
	return mask(plain), f.err
}

func TestATransitKey(t *testing.T) {
	dir := t.TempDir()
	stored(t, state.Options{Dir: dir, Key: state.TransitKey("vault.main transit/state", &fakeTransit{})})
	holds(t, state.Options{Dir: dir, Key: state.TransitKey("vault.main transit/state", &fakeTransit{})})
	sealed := errors.New("Vault is sealed")
	_, err := state.Open(t.Context(), state.Options{Dir: dir, Key: state.TransitKey("vault.main transit/state", &fakeTransit{err: sealed})})
	if !errors.Is(err, sealed) || errors.Is(err, state.ErrKey) || !strings.Contains(err.Error(), "vault.main transit/state") {
		t.Errorf("Open with a transit that fails = %v, want its error and not ErrKey: it is worth another try", err)
	}
	_, err = state.Open(t.Context(), state.Options{Dir: dir, Key: state.TransitKey("vault.main transit/state", &fakeTransit{short: true})})
	if !errors.Is(err, state.ErrKey) {
		t.Errorf("Open with a transit that gives another key = %v, want ErrKey", err)
	}
	if _, err := state.Open(t.Context(), state.Options{Dir: dir}); !errors.Is(err, state.ErrKey) || !strings.Contains(err.Error(), "transit") {
		t.Errorf("Open with a generated key = %v, want ErrKey that names the transit", err)
	}
}

func TestRotatingTheKey(t *testing.T) {
	dir := t.TempDir()
	first, second := state.GeneratedKeyFile(filepath.Join(dir, "one")), state.GeneratedKeyFile(filepath.Join(dir, "two"))
	stored(t, state.Options{Dir: dir, Key: first})
	s := open(t, state.Options{Dir: dir, Key: first})
	hash := s.Hash("input", []byte("value"))
	if err := s.RotateKey(t.Context(), second); err != nil {
		t.Fatalf("RotateKey = %v", err)
	}
	if err := s.Commit(t.Context(), state.Change{MetaKey: "k", Meta: []byte("after")}); err != nil {
		t.Errorf("Commit after the rotation = %v", err)
	}
	failing := state.TransitKey("vault.main", &fakeTransit{err: errors.New("permission denied")})
	if err := s.RotateKey(t.Context(), failing); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("RotateKey to a transit that refuses = %v, want its error", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := state.Open(t.Context(), state.Options{Dir: dir, Key: first}); !errors.Is(err, state.ErrKey) {
		t.Errorf("Open with the former key = %v, want ErrKey", err)
	}
	s = open(t, state.Options{Dir: dir, Key: second})
	if got := s.Hash("input", []byte("value")); got != hash {
		t.Errorf("after the rotation the hash is %s, was %s", got, hash)
	}
	if _, _, err := s.Credential(t.Context(), "credential.a.b"); err != nil {
		t.Errorf("Credential = %v", err)
	}
}

// A copy from before a rotation is restored with the key that was kept, both keys
// stay, and where the key could not take its place the next start sees to it.
func TestRestoringWithAKeyThatWasKept(t *testing.T) {
	dir := t.TempDir()
	path, file := filepath.Join(dir, state.GeneratedName), filepath.Join(t.TempDir(), "copy")
	stored(t, state.Options{Dir: dir})
	key := func() string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	first := key()
	s := open(t, state.Options{Dir: dir})
	if _, err := state.SaveBackup(file, false, func(w io.Writer) error { return s.Backup(t.Context(), w) }); err != nil {
		t.Fatal(err)
	}
	if err := s.RotateKey(t.Context(), state.RenewedKeyFile(path)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	second := key()
	r, err := state.Restore(t.Context(), state.Options{Dir: dir}, file, true)
	if err != nil || r.Former == "" || key() != first {
		t.Fatalf("Restore = %+v, %v; the key is the first one: %t", r, err, key() == first)
	}
	open(t, state.Options{Dir: dir}).Close()
	back, err := state.Restore(t.Context(), state.Options{Dir: dir}, r.Replaced, true)
	if err != nil || back.Former == "" || key() != second {
		t.Fatalf("going back: Restore = %+v, %v; the key is the second one: %t", back, err, key() == second)
	}
	open(t, state.Options{Dir: dir}).Close()
	if kept, _ := filepath.Glob(path + ".former-*"); len(kept) != 2 {
		t.Errorf("the keys that are kept: %q, want both", kept)
	}
}

// A generated key is made anew in its own place, and at whatever step a rotation
// is cut short, the next start opens the state.
func TestRotatingAGeneratedKey(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, state.GeneratedName)
	stored(t, state.Options{Dir: dir})
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	first := read(path)
	s := open(t, state.Options{Dir: dir})
	if err := s.RotateKey(t.Context(), state.RenewedKeyFile(path)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	second := read(path)
	if first == second {
		t.Fatal("the key is the same as before")
	}
	// Copies that were made before need the former key.
	former, err := filepath.Glob(path + ".former-*")
	if err != nil || len(former) != 1 || read(former[0]) != first {
		t.Errorf("the former key is in %q (%v)", former, err)
	}
	holds(t, state.Options{Dir: dir})

	// The state took the new key, and the key's file did not take its place.
	if err := os.Rename(path, path+".next"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	holds(t, state.Options{Dir: dir})
	if got := read(path); got != second {
		t.Error("the new key did not take its place when the state was opened")
	}

	// A new key was made, and the state did not take it.
	if err := os.WriteFile(path+".next", []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	holds(t, state.Options{Dir: dir})
	if got := read(path); got != second {
		t.Error("a key that the state never took was put in place")
	}
}

// Where the new key cannot take its place, it opens the state from beside it.
func TestAGeneratedKeyWhosePlaceIsTaken(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, state.GeneratedName)
	stored(t, state.Options{Dir: dir})
	s := open(t, state.Options{Dir: dir})
	inTheWay := filepath.Join(path, "anything")
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 { // nothing is written over the key that opens the state
		if err := s.RotateKey(t.Context(), state.RenewedKeyFile(path)); err == nil || !strings.Contains(err.Error(), "could not take its place") {
			t.Errorf("RotateKey = %v, want that the key could not take its place", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	holds(t, state.Options{Dir: dir})

	// Its place is free again.
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	holds(t, state.Options{Dir: dir})
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the key has not taken its place: %v", err)
	}
}

// A key that could not open the state again is refused, and the former stays.
func TestRotatingToAKeyThatDoesNotOpen(t *testing.T) {
	dir := t.TempDir()
	stored(t, state.Options{Dir: dir})
	s := open(t, state.Options{Dir: dir})
	if err := s.RotateKey(t.Context(), state.TransitKey("vault.main", forgetful{})); !errors.Is(err, state.ErrKey) || !strings.Contains(err.Error(), "still in force") {
		t.Errorf("RotateKey = %v, want ErrKey and that the former key is in force", err)
	}
	if err := s.RotateKey(t.Context(), state.KeyFile(filepath.Join(dir, "nowhere"))); !errors.Is(err, state.ErrKey) {
		t.Errorf("RotateKey to a file that is not there = %v, want ErrKey", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	holds(t, state.Options{Dir: dir})
}

// forgetful is a transit engine that gives back something else.
type forgetful struct{}

func (forgetful) Encrypt(context.Context, []byte) ([]byte, error) { return []byte("sealed"), nil }

func (forgetful) Decrypt(context.Context, []byte) ([]byte, error) { return make([]byte, 32), nil }

// Nothing secret may be in the file in clear.
func TestSecretsAreSealed(t *testing.T) {
	const canary = "canary-7f3a91"
	dir := t.TempDir()
	s := open(t, state.Options{Dir: dir})
	big := strings.Repeat(canary, 200)
	c := state.Credential{Head: state.Head{Address: "credential.a.b"}, Note: canary, Grant: &state.Grant{AccessToken: secret.New(canary), Inputs: []byte(canary)},
		Raw: &state.Raw{Body: secret.New(big)}}
	k := state.Sink{Head: state.Head{Address: "sink.file.a"}, Written: []byte(canary)}
	if err := s.Commit(t.Context(), state.Change{Credential: &c, Intent: &state.Intent{TokenHash: canary}}, state.Change{Sink: &k}, state.Change{MetaKey: "k", Meta: []byte(canary)}); err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{canary, big} {
		if name, err := s.PutBlob(t.Context(), []byte(content)); err != nil || strings.Contains(name, canary) {
			t.Errorf("PutBlob = %q, %v", name, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, state.FileName))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(content, []byte("credential.a.b")) {
		t.Error("the file does not hold the record's address: the test looks at the wrong file")
	}
	if bytes.Contains(content, []byte(canary[:8])) {
		t.Error("the file holds a secret in clear")
	}
}
