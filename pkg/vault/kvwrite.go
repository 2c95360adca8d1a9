package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"

	"github.com/hashicorp/vault/api"

	"tokend/pkg/secret"
)

// KVWrite is what a caller of [Client.WriteKV] knows beforehand.
type KVWrite struct {
	// Last is what the caller wrote last; zero for nothing, or unknown.
	Last KVMeta
	// Unchanged says that Last holds the same data as is to be written now.
	Unchanged bool
	// Custom is merged into the path's custom metadata, where policy allows.
	Custom map[string]string
	// Replaces, when set, is told of what is about to be replaced.
	Replaces func(KVMeta)
}

// WriteKV makes data the current version of a secret and returns that version's
// metadata. What holds the same data already is left as it is, such as a write
// whose answer was lost.
//
// In a version 2 engine it writes by check-and-set on the version that is
// current now, deleted or not; when another writer was faster and wrote the
// same, that is a success, else [ErrCASMismatch]. A version 1 engine has no
// check-and-set.
func (c *Client) WriteKV(ctx context.Context, mountPath, path string, data map[string]any, w KVWrite) (KVMeta, error) {
	at, err := c.locate(ctx, "writing", mountPath, path)
	if err != nil {
		return KVMeta{}, &unsentError{err}
	}
	if !at.v2 {
		return c.writeV1(ctx, at, data, w)
	}
	now, err := c.stat(ctx, at)
	known := true
	switch {
	case errors.Is(err, ErrNotFound):
		now = KVMeta{Engine: 2}
	case errors.Is(err, ErrDenied) && !errors.Is(err, ErrLogin):
		// It may only write: the last version is the best guess there is.
		now, known = KVMeta{Engine: 2, Version: w.Last.Version}, false
	case err != nil:
		return KVMeta{}, &unsentError{err}
	}
	if known && c.holds(ctx, at, &now, data, w) {
		return c.own(ctx, at, now, w.Custom), nil
	}
	if known {
		w.tell(now)
	}
	marks := known && now.Version > 0
	if marks {
		// Before the data: a crash in between must not leave a version of which
		// nobody has an account.
		now = c.own(ctx, at, now, w.Custom)
	}
	meta, err := c.putVersion(ctx, at, data, now.Version)
	if errors.Is(err, ErrCASMismatch) {
		there, found, readErr := c.readV2(ctx, at, 0)
		if readErr != nil || !same(there, data) {
			return KVMeta{}, c.lost(err, known)
		}
		meta, err = found, nil
	}
	if err != nil && marks {
		return KVMeta{}, c.policyHint(err, "create\" and \"update", at.api("data"))
	}
	if err != nil {
		return KVMeta{}, unsent(c.policyHint(err, "create\" and \"update", at.api("data")))
	}
	if !known {
		return meta, nil // what custom metadata there is cannot be seen, so it is not touched
	}
	meta.Custom = now.Custom
	return c.own(ctx, at, meta, w.Custom), nil
}

// ErrUnsent: a write was not begun, since its mount or what stands there could not be
// found out, or Vault refused it ([Error.Refused]). Nothing was changed.
var ErrUnsent = errors.New("nothing was written")

// unsent is the error of a write that is known to have changed nothing, where Vault
// says that it has not.
func unsent(err error) error {
	if e, ok := asError(err); ok && e.Refused && !e.Login {
		return &unsentError{err}
	}
	return err
}

// unsentError is an error of a write that changed nothing.
type unsentError struct{ error }

func (e *unsentError) Is(target error) bool { return target == ErrUnsent }

func (e *unsentError) Unwrap() error { return e.error }

// holds reports whether the current version holds data already. It reads the
// data only where the caller's account does not say so.
func (c *Client) holds(ctx context.Context, at location, now *KVMeta, data map[string]any, w KVWrite) bool {
	if now.Version == 0 || now.Gone() {
		return false
	}
	if now.Same(w.Last) {
		return w.Unchanged
	}
	there, meta, err := c.readV2(ctx, at, 0)
	if err != nil || !same(there, data) {
		return false
	}
	*now = meta
	return true
}

// tell says what is about to be replaced. A deleted version is no loss.
func (w KVWrite) tell(now KVMeta) {
	there := now.Engine == 1 || now.Version > 0 && !now.Gone()
	if w.Replaces != nil && there {
		w.Replaces(now)
	}
}

func (c *Client) writeV1(ctx context.Context, at location, data map[string]any, w KVWrite) (KVMeta, error) {
	if there, meta, err := c.readV1(ctx, at); err == nil && same(there, data) {
		return meta, nil
	} else if err == nil {
		w.tell(meta)
	} else if err != nil && !errors.Is(err, ErrNotFound) && (!errors.Is(err, ErrDenied) || errors.Is(err, ErrLogin)) {
		return KVMeta{}, &unsentError{err}
	}
	if _, err := c.put(ctx, at.op, at.api(""), data, leaves(data)); err != nil {
		return KVMeta{}, unsent(c.policyHint(err, "create\" and \"update", at.api("")))
	}
	return KVMeta{Engine: 1}, nil
}

// lost says what to do about a lost check-and-set.
func (c *Client) lost(err error, known bool) error {
	if e, ok := asError(err); ok && !known {
		e.Hint = "to know the current version, the token's policies need \"read\" on the metadata or the data of this path"
	}
	return err
}

func (c *Client) put(ctx context.Context, op, path string, body map[string]any, hide []secret.Text) (*api.Secret, error) {
	return c.do(ctx, call{op: op, hide: hide, send: func(ctx context.Context, a *api.Client) (*api.Secret, error) {
		return a.Logical().WriteWithContext(ctx, path, body)
	}})
}

func (c *Client) putVersion(ctx context.Context, at location, data map[string]any, cas int) (KVMeta, error) {
	answer, err := c.put(ctx, at.op, at.api("data"), map[string]any{"data": data, "options": map[string]any{"cas": cas}}, leaves(data))
	if err != nil {
		return KVMeta{}, err
	}
	if answer == nil {
		return KVMeta{}, c.fail(at.op, ErrUnreadable, "the answer does not say which version was written")
	}
	meta := c.versionMeta(answer.Data)
	if meta.Version == 0 {
		c.doubtMount(at.path)
		return KVMeta{}, c.fail(at.op, ErrUnreadable, "the answer does not say which version was written: is the engine still KV version 2?")
	}
	return meta, nil
}

// own merges custom metadata into a path's. It is a courtesy to whoever looks
// there: a policy that forbids it, or a failure, does not fail the write.
func (c *Client) own(ctx context.Context, at location, meta KVMeta, custom map[string]string) KVMeta {
	missing := false
	for k, v := range custom {
		missing = missing || meta.Custom[k] != v
	}
	c.entry.mu.Lock()
	denied := c.entry.noMeta[at.path]
	c.entry.mu.Unlock()
	if !missing || denied {
		return meta
	}
	merged := map[string]any{}
	for k, v := range meta.Custom {
		merged[k] = v
	}
	for k, v := range custom {
		merged[k] = v
	}
	// Only custom_metadata is sent: max_versions and its kin stay as they are.
	_, err := c.put(ctx, at.op, at.api("metadata"), map[string]any{"custom_metadata": merged}, nil)
	if err != nil {
		c.entry.log(slog.LevelDebug, "custom metadata was not written", "error", err.Error())
	}
	if errors.Is(err, ErrDenied) {
		c.entry.mu.Lock()
		defer c.entry.mu.Unlock()
		if c.entry.noMeta == nil {
			c.entry.noMeta = map[string]bool{}
		}
		c.entry.noMeta[at.path] = true
		return meta
	}
	if err == nil {
		meta.Custom = maps.Clone(meta.Custom)
		if meta.Custom == nil {
			meta.Custom = map[string]string{}
		}
		maps.Copy(meta.Custom, custom)
	}
	return meta
}

// DeleteKV deletes one version so that it can be undeleted; in a version 1
// engine it deletes the secret. Other versions stay as they are, also one that
// was written a moment ago. A version that is gone already is success.
func (c *Client) DeleteKV(ctx context.Context, mountPath, path string, version int) error {
	at, err := c.locate(ctx, "deleting", mountPath, path)
	if err != nil {
		return err
	}
	if !at.v2 {
		return c.remove(ctx, at, at.api(""))
	}
	_, err = c.put(ctx, at.op, at.api("delete"), map[string]any{"versions": []int{version}}, nil)
	if errors.Is(err, ErrDenied) && !errors.Is(err, ErrLogin) {
		// Policies often allow only this, which deletes whatever is current.
		now, statErr := c.stat(ctx, at)
		switch {
		case errors.Is(statErr, ErrNotFound), statErr == nil && now.Version == version && now.Gone():
			return nil
		case statErr == nil && now.Version == version:
			return c.remove(ctx, at, at.api("data"))
		}
		return c.policyHint(err, "update", at.api("delete"))
	}
	return notFoundIsFine(err)
}

// DestroyKV removes all versions of a secret and its metadata, for good; in a
// version 1 engine it deletes the secret. One that is gone already is success.
func (c *Client) DestroyKV(ctx context.Context, mountPath, path string) error {
	at, err := c.locate(ctx, "destroying", mountPath, path)
	if err != nil {
		return err
	}
	return c.remove(ctx, at, at.api("metadata"))
}

// DestroyKVVersion makes one version of a secret unreadable for good, deleted or
// not, and leaves the others. A version 1 engine has none.
func (c *Client) DestroyKVVersion(ctx context.Context, mountPath, path string, version int) error {
	at, err := c.locate(ctx, "destroying a version of", mountPath, path)
	if err != nil {
		return err
	}
	if !at.v2 {
		return c.fail(at.op, ErrInvalid, "the engine is KV version 1, which keeps no versions")
	}
	_, err = c.put(ctx, at.op, at.api("destroy"), map[string]any{"versions": []int{version}}, nil)
	return notFoundIsFine(c.policyHint(err, "update", at.api("destroy")))
}

func (c *Client) remove(ctx context.Context, at location, path string) error {
	_, err := c.do(ctx, call{op: at.op, send: func(ctx context.Context, a *api.Client) (*api.Secret, error) {
		return a.Logical().DeleteWithContext(ctx, path)
	}})
	return notFoundIsFine(c.policyHint(err, "delete", path))
}

func notFoundIsFine(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// same compares two secrets by what Vault would store of them.
func same(a, b map[string]any) bool {
	x, errX := Canonical(a)
	y, errY := Canonical(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// Canonical is a secret's data as JSON that is equal for what Vault keeps as
// equal: members sorted, and numbers as the 64-bit floats that a version 2
// engine turns them into. It contains the secret.
func Canonical(data map[string]any) ([]byte, error) { return json.Marshal(floats(data)) }

func floats(v any) any {
	switch x := v.(type) {
	case json.Number:
		if f, err := x.Float64(); err == nil {
			return f
		}
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			out[k] = floats(e)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = floats(e)
		}
		return out
	}
	return v
}
