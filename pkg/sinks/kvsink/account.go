package kvsink

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tokend/pkg/sinks"
	"tokend/pkg/spec"
	"tokend/pkg/vault"
)

// account is what is recorded of a write. The digest is keyed by a salt of its
// own, so that equal contents of two places do not look alike.
type account struct {
	Vault    spec.Address `json:"vault"`
	Mount    string       `json:"mount"`
	Path     string       `json:"path"`
	Engine   int          `json:"engine"`
	Version  int          `json:"version,omitempty"`
	Created  time.Time    `json:"created,omitzero"`
	Salt     string       `json:"salt"`
	Digest   string       `json:"digest"`
	OnRemove string       `json:"on_remove"`
}

func newAccount(p place, meta vault.KVMeta) ([]byte, error) {
	salt := make([]byte, 16)
	rand.Read(salt) // never fails
	return p.salted(salt, meta)
}

// intended is the account of a write that has not been made: it has no version
// yet, so the content is all that the place is known by. Its salt is that of the
// place, as two such accounts are compared.
func (p place) intended() ([]byte, error) {
	salt := sha256.Sum256([]byte(p.name()))
	return p.salted(salt[:16], vault.KVMeta{})
}

func (p place) salted(salt []byte, meta vault.KVMeta) ([]byte, error) {
	a := account{Vault: p.vault, Mount: p.mount, Path: p.path, Engine: meta.Engine, Version: meta.Version, Created: meta.Created,
		Salt: hex.EncodeToString(salt), OnRemove: p.onRemove}
	a.Digest = a.digest(p.content)
	return json.Marshal(a)
}

// openAccount reads what newAccount wrote.
func openAccount(b []byte) (account, error) {
	var a account
	err := json.Unmarshal(b, &a)
	if err == nil && (a.Vault == "" || a.Mount == "" || a.Path == "" || a.Salt == "") {
		err = errors.New("it does not say what was written where")
	}
	if err != nil {
		return account{}, fmt.Errorf("removing a secret from Vault: %w: reading the account of what was written: %w", sinks.ErrPermanent, err)
	}
	return a, nil
}

// account is the record of the last write to this place; false where there is
// none, or one of another place.
func (p place) account(last []byte) (account, bool) {
	a, err := openAccount(last)
	if err != nil || a.place() != p.name() {
		return account{}, false
	}
	return a, true
}

func (a account) place() string { return place{vault: a.Vault, mount: a.Mount, path: a.Path}.name() }

func (a account) meta() vault.KVMeta {
	return vault.KVMeta{Engine: a.Engine, Version: a.Version, Created: a.Created}
}

// is reports whether c is what was written.
func (a account) is(c content) bool { return hmac.Equal([]byte(a.Digest), []byte(a.digest(c))) }

// holds reports whether what was read from Vault is what was written.
func (a account) holds(there map[string]any) bool {
	c, err := contentOfData(there)
	return err == nil && a.is(c)
}

func (a account) digest(c content) string {
	mac := hmac.New(sha256.New, []byte(a.Salt))
	mac.Write([]byte(c.canonical.Reveal()))
	return hex.EncodeToString(mac.Sum(nil))
}
