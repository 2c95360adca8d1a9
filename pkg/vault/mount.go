package vault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/hashicorp/vault/api"
)

// mount is what is known of a secrets engine.
type mount struct {
	path   string // without slashes around it
	v2     bool
	looked time.Time
}

// mountMemory is how long what is known of a mount is not doubted, so that many
// new secrets do not cost a look each.
const mountMemory = 5 * time.Second

// kvMount finds out which version of the KV engine is mounted at path, once for
// each mount and server. The endpoint it asks is the one that `vault kv` uses:
// it needs no policy of its own, only some right below the mount.
func (c *Client) kvMount(ctx context.Context, op, path string) (mount, error) {
	c.entry.mu.Lock()
	m, ok := c.entry.mounts[path]
	server := c.entry.endpoint
	c.entry.mu.Unlock()
	if ok {
		return m, nil
	}
	answer, err := c.do(ctx, call{op: op, read: true, send: func(ctx context.Context, a *api.Client) (*api.Secret, error) {
		return a.Logical().ReadWithContext(ctx, "sys/internal/ui/mounts/"+path)
	}})
	switch {
	case errors.Is(err, ErrLogin):
		return mount{}, err
	case errors.Is(err, ErrDenied):
		e, _ := asError(err)
		e.Hint = fmt.Sprintf("no secrets engine is mounted at %q, or the token's policies allow nothing below it", path)
		return mount{}, err
	case err != nil:
		return mount{}, err
	case answer == nil:
		return mount{}, c.fail(op, ErrNotFound, "nothing is mounted at %q", path)
	}
	m, err = c.readMount(op, path, answer.Data)
	if err != nil {
		return mount{}, err
	}
	c.entry.mu.Lock()
	defer c.entry.mu.Unlock()
	if c.entry.endpoint == nil || server == nil || c.entry.endpoint.http == server.http {
		if c.entry.mounts == nil {
			c.entry.mounts = map[string]mount{}
		}
		c.entry.mounts[path] = m
	}
	return m, nil
}

func (c *Client) readMount(op, path string, data map[string]any) (mount, error) {
	kind, _ := data["type"].(string)
	at, _ := data["path"].(string)
	at = strings.Trim(at, "/")
	if kind != "kv" && kind != "generic" {
		return mount{}, c.fail(op, ErrInvalid, "what is mounted at %q is a %q engine, not kv", path, kind)
	}
	if at != "" && at != path {
		e := c.fail(op, ErrInvalid, "%q is not a mount but a path below the mount %q", path, at)
		e.Hint = fmt.Sprintf("set mount = %q and begin path with %q", at, strings.TrimPrefix(strings.TrimPrefix(path, at), "/"))
		return mount{}, e
	}
	options, _ := data["options"].(map[string]any)
	version, _ := options["version"].(string)
	return mount{path: path, v2: version == "2", looked: c.entry.pool.now()}, nil
}

// doubtMount lets a later call look at the mount again when a secret is not
// there: the engine may have been upgraded, or made anew as another version,
// where the same secret has another path.
func (c *Client) doubtMount(path string) {
	c.entry.mu.Lock()
	defer c.entry.mu.Unlock()
	if c.entry.pool.now().Sub(c.entry.mounts[path].looked) > mountMemory {
		delete(c.entry.mounts, path)
	}
}

// fail makes an error that Vault did not give.
func (c *Client) fail(op string, class error, format string, a ...any) *Error {
	return &Error{Op: op, Vault: c.entry.name, Address: c.Address(), Class: class, Message: fmt.Sprintf(format, a...)}
}

// cleanPath takes the slashes off both ends of a path and refuses what would
// reach another path than the one that is written there.
func cleanPath(what, path string) (string, error) {
	clean := strings.Trim(path, "/")
	if clean == "" {
		return "", fmt.Errorf("%s is empty", what)
	}
	if strings.IndexFunc(clean, unicode.IsControl) >= 0 {
		return "", fmt.Errorf("%s contains a control character", what)
	}
	for part := range strings.SplitSeq(clean, "/") {
		if part == "" || part == "." || part == ".." {
			return "", fmt.Errorf("%s %q contains the part %q", what, path, part)
		}
	}
	return clean, nil
}
