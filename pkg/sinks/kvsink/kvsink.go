// Package kvsink is the sink kind "vault_kv": a secret in Vault's key/value
// engine, version 1 or 2, from where everyone else reads the tokens.
//
//	sink "vault_kv" "trader" {
//	  vault = vault.main
//	  mount = "kv"
//	  path  = "delivered/coinify/alice"
//	  data  = { access_token = credential.coinify.trader["alice"].access_token }
//	}
//
// [New] makes it. The secret holds the members of data and nothing else: what
// somebody else wrote there is replaced. A null member is left out.
//
// In a version 2 engine every write is by check-and-set on the version that is
// current, and what was written is known again by that version's number and
// time; so a look at the place costs one read of metadata, and only where that
// says something unexpected is the data itself read. Custom metadata of the
// path says that tokend owns it, and what was delivered last, where policy allows:
// one request more for each write, by which an older copy of the state is noticed. A version 1 engine has
// none of this: there the content itself is read back and compared.
//
// on_remove says what a removal does: "delete" deletes the current version,
// which `vault kv undelete` brings back; "destroy" removes all versions and
// their metadata, also those that others wrote there before; "keep" leaves all
// as it is. A removal acts only while the place holds what was written.
//
// The policy that a path needs:
//
//	path "kv/data/delivered/*"     { capabilities = ["create", "read", "update", "delete"] }
//	path "kv/metadata/delivered/*" { capabilities = ["create", "read", "update", "delete"] }
//	path "kv/delete/delivered/*"   { capabilities = ["update"] }
package kvsink

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"tokend/pkg/sinks"
	"tokend/pkg/vault"
)

// Sink is the kind "vault_kv". It is safe for concurrent use.
type Sink struct {
	pool *vault.Pool
}

var _ sinks.Sink = (*Sink)(nil)

// New makes the kind. It logs in through pool.
func New(pool *vault.Pool) *Sink { return &Sink{pool: pool} }

// The custom metadata of a path: whose it is, and the mark of the last delivery.
const (
	customOwner      = "owner"
	customLineage    = "tokend_lineage"
	customCredential = "tokend_credential"
	customGeneration = "tokend_generation"
	customDelivered  = "tokend_delivered_at"
)

// longestCustom is how long Vault lets a value of custom metadata be.
const longestCustom = 512

// custom is what the custom metadata of a path says.
func custom(m sinks.Mark) map[string]string {
	c := map[string]string{customOwner: "tokend"}
	if m.Lineage != "" && len(m.Address) <= longestCustom {
		c[customLineage], c[customCredential] = m.Lineage, m.Address
		c[customGeneration], c[customDelivered] = strconv.FormatUint(m.Generation, 10), m.At.UTC().Format(time.RFC3339)
	}
	return c
}

// markIn reads what custom wrote; false where it is not there or somebody else
// changed it.
func markIn(custom map[string]string) (sinks.Mark, bool) {
	m := sinks.Mark{Lineage: custom[customLineage], Address: custom[customCredential]}
	var err, errAt error
	m.Generation, err = strconv.ParseUint(custom[customGeneration], 10, 64)
	m.At, errAt = time.Parse(time.RFC3339, custom[customDelivered])
	return m, err == nil && errAt == nil && m.Lineage != ""
}

// Check implements [sinks.Sink].
func (s *Sink) Check(ctx context.Context, d sinks.Desired, last []byte) (string, error) {
	want, err := secretOf(d)
	if err != nil {
		return "", err
	}
	acc, recorded := want.account(last)
	drift, err := s.check(ctx, want, acc, recorded, d.Found)
	if err == nil && drift == "" && recorded && acc.OnRemove != want.onRemove {
		drift = fmt.Sprintf("on_remove is %q, recorded was %q", want.onRemove, acc.OnRemove)
	}
	return drift, classify(err)
}

func (s *Sink) check(ctx context.Context, want place, acc account, recorded bool, found func(sinks.Mark)) (string, error) {
	c, err := s.pool.Client(ctx, want.vault)
	if err != nil {
		return "", err
	}
	now, err := c.StatKV(ctx, want.mount, want.path)
	if m, ok := markIn(now.Custom); err == nil && ok && found != nil {
		found(m)
	}
	switch {
	case errors.Is(err, vault.ErrNotFound) && recorded:
		return "removed by someone else", nil
	case errors.Is(err, vault.ErrNotFound), err == nil && now.Engine == 2 && now.Version == 0:
		return "not written yet", nil
	case err != nil:
		return "", err
	case now.Gone() && recorded && now.Same(acc.meta()):
		return fmt.Sprintf("deleted by someone else (version %d)", now.Version), nil
	case now.Gone():
		return fmt.Sprintf("deleted (version %d)", now.Version), nil
	case recorded && now.Same(acc.meta()):
		if acc.is(want.content) {
			return "", nil
		}
		return fmt.Sprintf("other content is to be written (version %d is there)", now.Version), nil
	}
	return s.compare(ctx, c, want, acc, recorded, now)
}

// compare is for a place of which the metadata alone does not tell.
func (s *Sink) compare(ctx context.Context, c *vault.Client, want place, acc account, recorded bool, now vault.KVMeta) (string, error) {
	there, _, err := c.ReadKV(ctx, want.mount, want.path, 0)
	denied := errors.Is(err, vault.ErrDenied) && !errors.Is(err, vault.ErrLogin)
	switch {
	case errors.Is(err, vault.ErrNotFound):
		return "removed by someone else", nil
	case err != nil && !denied:
		return "", err
	case err == nil && want.content.holds(there):
		return "", nil
	case err == nil && recorded && acc.holds(there):
		return "other content is to be written", nil
	case !recorded && now.Engine == 2:
		return fmt.Sprintf("holds something else (version %d)", now.Version), nil
	case !recorded:
		return "holds something else", nil
	case now.Engine == 2 && acc.Engine == 2:
		return fmt.Sprintf("changed by someone else (version %d, written was %d)", now.Version, acc.Version), nil
	}
	return "changed by someone else", nil
}

// Write implements [sinks.Sink].
func (s *Sink) Write(ctx context.Context, d sinks.Desired, last []byte) ([]byte, error) {
	want, err := secretOf(d)
	if err != nil {
		return nil, err
	}
	acc, recorded := want.account(last)
	c, err := s.pool.Client(ctx, want.vault)
	if err != nil {
		return nil, classify(err)
	}
	w := vault.KVWrite{Custom: custom(d.Mark)}
	if recorded {
		w.Last, w.Unchanged = acc.meta(), acc.is(want.content)
	} else if d.Replaces != nil {
		w.Replaces = func(m vault.KVMeta) { d.Replaces(named(m)) }
	}
	data, err := want.content.data()
	if err != nil {
		return nil, err
	}
	meta, err := c.WriteKV(ctx, want.mount, want.path, data, w)
	if errors.Is(err, vault.ErrUnsent) {
		return nil, untouched{classify(err)}
	}
	if err != nil {
		return nil, classify(err)
	}
	return newAccount(want, meta)
}

// named is what stands in Vault, in words.
func named(m vault.KVMeta) string {
	if m.Engine == 1 {
		return "a secret"
	}
	return fmt.Sprintf("version %d of a secret", m.Version)
}

// Intend implements [sinks.Sink].
func (s *Sink) Intend(d sinks.Desired) ([]byte, error) {
	want, err := secretOf(d)
	if err != nil {
		return nil, err
	}
	return want.intended()
}

// Intact implements [sinks.Sink]: looking costs as much as comparing.
func (s *Sink) Intact(context.Context, []byte) (sinks.Seen, bool) { return sinks.Seen{}, false }

// Remove implements [sinks.Sink].
func (s *Sink) Remove(ctx context.Context, written []byte) error {
	acc, err := openAccount(written)
	if err != nil {
		return err
	}
	if acc.OnRemove == onRemoveKeep {
		return nil
	}
	c, err := s.pool.Client(ctx, acc.Vault)
	if err != nil {
		return classify(err)
	}
	now, err := c.StatKV(ctx, acc.Mount, acc.Path)
	switch {
	case errors.Is(err, vault.ErrNotFound):
		return nil
	case err != nil:
		return classify(err)
	case now.Engine == 2 && (now.Version == 0 || now.Gone() && acc.OnRemove == onRemoveDelete):
		return nil
	case now.Same(acc.meta()):
		return classify(s.remove(ctx, c, acc, now))
	case now.Gone():
		return classify(s.destroyOwn(ctx, c, acc))
	}
	there, now, err := c.ReadKV(ctx, acc.Mount, acc.Path, 0)
	switch {
	case errors.Is(err, vault.ErrNotFound):
		return nil
	case err != nil && (!errors.Is(err, vault.ErrDenied) || errors.Is(err, vault.ErrLogin)):
		return classify(err)
	case err != nil || !acc.holds(there):
		return acc.foreign(now)
	}
	return classify(s.remove(ctx, c, acc, now))
}

func (s *Sink) remove(ctx context.Context, c *vault.Client, acc account, now vault.KVMeta) error {
	if acc.OnRemove == onRemoveDestroy {
		return c.DestroyKV(ctx, acc.Mount, acc.Path)
	}
	return c.DeleteKV(ctx, acc.Mount, acc.Path, now.Version)
}

// destroyOwn is for a place that others wrote and deleted since: nothing is left
// there but, perhaps, the version that was written among its old ones.
func (s *Sink) destroyOwn(ctx context.Context, c *vault.Client, acc account) error {
	_, meta, err := c.ReadKV(ctx, acc.Mount, acc.Path, acc.Version)
	switch {
	case err != nil && !errors.Is(err, vault.ErrNotFound):
		return err
	case meta.Destroyed || !meta.Same(acc.meta()):
		return nil
	}
	return c.DestroyKVVersion(ctx, acc.Mount, acc.Path, acc.Version)
}

// Paths implements [sinks.Sink]: no file tells of a change in Vault.
func (s *Sink) Paths([]byte) []string { return nil }

// foreign says who holds the place now.
func (a account) foreign(now vault.KVMeta) error {
	if now.Engine == 2 && a.Engine == 2 {
		at := ""
		if !now.Created.IsZero() {
			at = " of " + now.Created.UTC().Format(time.RFC3339)
		}
		return fmt.Errorf("removing %s: %w: version %d%s is there, written was %d", a.place(), sinks.ErrForeign, now.Version, at, a.Version)
	}
	return fmt.Errorf("removing %s: %w: it holds something else than was written", a.place(), sinks.ErrForeign)
}

// permanent is an error that trying again does not mend.
type permanent struct{ error }

func (p permanent) Is(target error) bool { return target == sinks.ErrPermanent }

func (p permanent) Unwrap() error { return p.error }

// untouched is an error of a write that was not begun, or that Vault has refused.
type untouched struct{ error }

func (u untouched) Is(target error) bool { return target == sinks.ErrUntouched }

func (u untouched) Unwrap() error { return u.error }

// classify marks what is wrong in the configuration. A denial is not among it:
// policies are changed in Vault, where nobody tells us, so it is worth another
// try.
func classify(err error) error {
	if errors.Is(err, vault.ErrInvalid) {
		return permanent{err}
	}
	return err
}
