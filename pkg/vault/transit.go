package vault

import (
	"context"
	"encoding/base64"
	"errors"

	"github.com/hashicorp/vault/api"

	"tokend/pkg/secret"
)

// Transit seals and opens small pieces of data, such as another key, with a key
// that never leaves Vault's transit engine.
type Transit struct {
	client     *Client
	mount, key string
}

// NewTransit names a key of the transit engine at mount. It contacts nobody.
func NewTransit(c *Client, mount, key string) *Transit {
	return &Transit{client: c, mount: mount, key: key}
}

// Encrypt seals plain. What it returns is printable ("vault:v1:…") and names the
// version of the key, so that the key may be rotated.
func (t *Transit) Encrypt(ctx context.Context, plain []byte) ([]byte, error) {
	encoded := base64.StdEncoding.EncodeToString(plain)
	text, err := t.call(ctx, "encrypt", "plaintext", encoded, "ciphertext")
	return []byte(text), err
}

// Decrypt opens what Encrypt returned, with whatever version of the key sealed
// it. [ErrInvalid]: it was not sealed with this key.
func (t *Transit) Decrypt(ctx context.Context, sealed []byte) ([]byte, error) {
	encoded, err := t.call(ctx, "decrypt", "ciphertext", string(sealed), "plaintext")
	if err != nil {
		return nil, err
	}
	plain, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, t.client.fail("decrypting with "+t.mount+"/"+t.key, ErrUnreadable, "the answer is not base64")
	}
	return plain, nil
}

func (t *Transit) call(ctx context.Context, verb, argument, value, result string) (string, error) {
	op := verb + "ing with " + t.mount + "/" + t.key
	mountPath, err := cleanPath("mount", t.mount)
	if err != nil {
		return "", t.client.fail(op, ErrInvalid, "%v", err)
	}
	key, err := cleanPath("key", t.key)
	if err != nil {
		return "", t.client.fail(op, ErrInvalid, "%v", err)
	}
	path := mountPath + "/" + verb + "/" + key
	// Neither changes anything, so both may be sent again with a new token.
	answer, err := t.client.do(ctx, call{op: op, read: true, hide: []secret.Text{secret.New(value)}, send: func(ctx context.Context, a *api.Client) (*api.Secret, error) {
		return a.Logical().WriteWithContext(ctx, path, map[string]any{argument: value})
	}})
	if err != nil {
		if e, ok := asError(err); ok && errors.Is(err, ErrInvalid) && verb == "decrypt" {
			e.Hint = "this was not sealed with the key " + t.key + ", or that version of the key was removed"
		}
		return "", t.client.policyHint(err, "update", path)
	}
	if answer != nil {
		if text, ok := answer.Data[result].(string); ok {
			return text, nil
		}
	}
	return "", t.client.fail(op, ErrUnreadable, "the answer has no %s", result)
}
