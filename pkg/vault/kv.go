package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/hashicorp/vault/api"
)

// KVMeta says what is known of one version of a secret. In a version 1 engine,
// which keeps no versions, all but Engine is zero.
type KVMeta struct {
	Engine    int // 1 or 2
	Version   int
	Created   time.Time // with Version, it tells this secret from a later one at the same path
	Deleted   time.Time // since when it is deleted; zero: it is not
	Destroyed bool
	Custom    map[string]string // custom metadata of the path, where it could be read
}

// Gone reports whether the version holds nothing any more.
func (m KVMeta) Gone() bool { return m.Destroyed || !m.Deleted.IsZero() }

// Same reports whether m and o are one version of one secret. Without versions
// nobody can tell.
func (m KVMeta) Same(o KVMeta) bool {
	return m.Engine == 2 && o.Engine == 2 && m.Version > 0 && m.Version == o.Version && m.Created.Equal(o.Created)
}

// ReadKV reads a secret: its current version when version is 0. Numbers in data
// are json.Number, nested values map[string]any and []any. A secret that is
// deleted is [ErrNotFound], whose text says since when; meta is set then.
func (c *Client) ReadKV(ctx context.Context, mountPath, path string, version int) (data map[string]any, meta KVMeta, err error) {
	at, err := c.locate(ctx, "reading", mountPath, path)
	if err != nil {
		return nil, KVMeta{}, err
	}
	if !at.v2 {
		if version != 0 {
			return nil, KVMeta{Engine: 1}, c.fail(at.op, ErrInvalid, "the engine is KV version 1, which keeps no versions")
		}
		return c.readV1(ctx, at)
	}
	return c.readV2(ctx, at, version)
}

// StatKV says which version of a secret is the current one, deleted or not, by
// one request. [ErrNotFound]: there never was one, or all of it was destroyed.
// In a version 1 engine it reads the secret.
func (c *Client) StatKV(ctx context.Context, mountPath, path string) (KVMeta, error) {
	at, err := c.locate(ctx, "looking at", mountPath, path)
	if err != nil {
		return KVMeta{}, err
	}
	return c.stat(ctx, at)
}

// location is a secret's place in a mount, and what is done there.
type location struct {
	mount
	name string // of the secret, below the mount
	op   string // for errors: "reading kv/trading/coinify"
}

func (l location) api(part string) string {
	if !l.v2 {
		return l.path + "/" + l.name
	}
	return l.path + "/" + part + "/" + l.name
}

func (c *Client) locate(ctx context.Context, verb, mountPath, path string) (location, error) {
	op := fmt.Sprintf("%s %s/%s", verb, mountPath, path)
	mountPath, err := cleanPath("mount", mountPath)
	if err != nil {
		return location{}, c.fail(op, ErrInvalid, "%v", err)
	}
	if path, err = cleanPath("path", path); err != nil {
		return location{}, c.fail(op, ErrInvalid, "%v", err)
	}
	op = fmt.Sprintf("%s %s/%s", verb, mountPath, path)
	m, err := c.kvMount(ctx, op, mountPath)
	if err != nil {
		return location{}, err
	}
	return location{mount: m, name: path, op: op}, nil
}

func (c *Client) get(ctx context.Context, op, path string, query map[string][]string) (*api.Secret, error) {
	return c.do(ctx, call{op: op, read: true, send: func(ctx context.Context, a *api.Client) (*api.Secret, error) {
		return a.Logical().ReadWithDataWithContext(ctx, path, query)
	}})
}

func (c *Client) readV1(ctx context.Context, at location) (map[string]any, KVMeta, error) {
	meta := KVMeta{Engine: 1}
	answer, err := c.get(ctx, at.op, at.api(""), nil)
	if err != nil {
		return nil, meta, c.policyHint(err, "read", at.api(""))
	}
	if answer == nil || answer.Data == nil {
		c.doubtMount(at.path)
		return nil, meta, c.fail(at.op, ErrNotFound, "there is no such secret")
	}
	return answer.Data, meta, nil
}

func (c *Client) readV2(ctx context.Context, at location, version int) (map[string]any, KVMeta, error) {
	meta := KVMeta{Engine: 2}
	var query map[string][]string
	if version != 0 {
		query = map[string][]string{"version": {strconv.Itoa(version)}}
	}
	answer, err := c.get(ctx, at.op, at.api("data"), query)
	if err != nil {
		return nil, meta, c.policyHint(err, "read", at.api("data"))
	}
	if answer == nil {
		c.doubtMount(at.path)
		if version != 0 {
			return nil, meta, c.fail(at.op, ErrNotFound, "there is no version %d of it", version)
		}
		return nil, meta, c.fail(at.op, ErrNotFound, "there is no such secret")
	}
	about, _ := answer.Data["metadata"].(map[string]any)
	if about == nil {
		c.doubtMount(at.path)
		return nil, meta, c.fail(at.op, ErrUnreadable, "the answer has no metadata: is the engine still KV version 2?")
	}
	meta = c.versionMeta(about)
	meta.Custom = customMeta(about)
	data, ok := answer.Data["data"].(map[string]any)
	if ok {
		meta.Deleted = time.Time{} // its time may have come by our clock and not by Vault's
	}
	switch {
	case meta.Destroyed:
		return nil, meta, c.fail(at.op, ErrNotFound, "version %d was destroyed", meta.Version)
	case meta.Gone():
		return nil, meta, c.fail(at.op, ErrNotFound, "version %d was deleted at %s", meta.Version, meta.Deleted.Format(time.RFC3339))
	case !ok:
		return nil, meta, c.fail(at.op, ErrNotFound, "version %d holds nothing", meta.Version)
	}
	return data, meta, nil
}

// stat reads the metadata. Where policy keeps that back, the data's own
// metadata says as much of the current version.
func (c *Client) stat(ctx context.Context, at location) (KVMeta, error) {
	if !at.v2 {
		_, meta, err := c.readV1(ctx, at)
		return meta, err
	}
	answer, err := c.get(ctx, at.op, at.api("metadata"), nil)
	switch {
	case errors.Is(err, ErrDenied) && !errors.Is(err, ErrLogin):
		_, meta, dataErr := c.readV2(ctx, at, 0)
		if dataErr == nil || errors.Is(dataErr, ErrNotFound) && meta.Version > 0 {
			return meta, nil
		}
		if errors.Is(dataErr, ErrDenied) {
			return meta, c.policyHint(err, "read", at.api("metadata"))
		}
		return meta, dataErr
	case err != nil:
		return KVMeta{Engine: 2}, err
	case answer == nil:
		c.doubtMount(at.path)
		return KVMeta{Engine: 2}, c.fail(at.op, ErrNotFound, "there is no such secret")
	}
	return c.currentMeta(answer.Data), nil
}

// currentMeta reads an answer of the metadata endpoint. A path that has custom
// metadata and no version yet has version 0.
func (c *Client) currentMeta(data map[string]any) KVMeta {
	current := integer(data["current_version"])
	versions, _ := data["versions"].(map[string]any)
	about, _ := versions[strconv.Itoa(current)].(map[string]any)
	meta := c.versionMeta(about)
	meta.Version, meta.Custom = current, customMeta(data)
	return meta
}

// versionMeta reads one version's part of an answer. A deletion in the future is
// one that the mount or the path announces (delete_version_after).
func (c *Client) versionMeta(about map[string]any) KVMeta {
	m := KVMeta{Engine: 2, Version: integer(about["version"])}
	m.Created = timestamp(about["created_time"])
	if at := timestamp(about["deletion_time"]); !at.IsZero() && !at.After(c.entry.pool.now()) {
		m.Deleted = at
	}
	m.Destroyed, _ = about["destroyed"].(bool)
	return m
}

func customMeta(about map[string]any) map[string]string {
	given, _ := about["custom_metadata"].(map[string]any)
	out := make(map[string]string, len(given))
	for k, v := range given {
		if s, ok := v.(string); ok {
			out[k] = s
		}
	}
	return out
}

func integer(v any) int {
	n, ok := v.(json.Number)
	if !ok {
		return 0
	}
	i, err := n.Int64()
	if err != nil {
		return 0
	}
	return int(i)
}

func timestamp(v any) time.Time {
	s, _ := v.(string)
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// policyHint says which line of a policy is missing, where that is the reason.
func (c *Client) policyHint(err error, capability, path string) error {
	if e, ok := asError(err); ok && e.Class == ErrDenied && !e.Login && e.Hint == "" {
		e.Hint = fmt.Sprintf("the token's policies need \"%s\" on %q", capability, path)
	}
	return err
}
