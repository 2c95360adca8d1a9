package vault

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/hashicorp/vault/api"
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
)

// authKind is one way to log in. A new one is a row in authKinds.
type authKind struct {
	schema spec.Schema
	// login makes a session on the endpoint. It may send one request that logs
	// in, and tries once.
	login func(ctx context.Context, e *endpoint, args spec.Values, now time.Time) (*session, error)
	// file names the argument that is the path of a file that somebody else keeps
	// fresh; "" for none.
	file string
	// repeats reports whether logging in again gives a new token. Where it does
	// not, the token is somebody else's: it is renewed, but never revoked.
	repeats bool
}

func authKinds() map[string]authKind {
	return map[string]authKind{
		"token":      {schema: tokenSchema(), login: loginToken},
		"token_file": {schema: tokenFileSchema(), login: loginTokenFile, file: "path"},
		"approle":    {schema: appRoleSchema(), login: loginAppRole, repeats: true},
		"jwt":        {schema: jwtSchema(), login: loginJWT, repeats: true},
	}
}

// AuthSchemas lists the arguments of each kind of `auth` block.
func AuthSchemas() map[string]spec.Schema {
	out := map[string]spec.Schema{}
	for name, kind := range authKinds() {
		out[name] = kind.schema
	}
	return out
}

func tokenSchema() spec.Schema {
	return spec.Schema{
		Doc:   "A token that somebody made. It is renewed, and never revoked.",
		Attrs: []spec.Attr{{Name: "token", Type: cty.String, Required: true, Deferred: true, Sensitive: true, Doc: "the token"}},
	}
}

func loginToken(ctx context.Context, e *endpoint, args spec.Values, now time.Time) (*session, error) {
	token, err := args.Secret("token")
	if err != nil {
		return nil, e.fail("logging in with a token", ErrInvalid, "%v", err)
	}
	return adopt(ctx, e, "logging in with a token", token, now)
}

func tokenFileSchema() spec.Schema {
	return spec.Schema{
		Doc:   "A token in a file that somebody else keeps fresh, such as Vault Agent's sink. It is read again when it changes.",
		Attrs: []spec.Attr{{Name: "path", Type: cty.String, Required: true, Path: true, Doc: "the file"}},
	}
}

// maxToken bounds a token file; a token is some hundred bytes at most, a batch
// token some more.
const maxToken = 64 << 10

func loginTokenFile(ctx context.Context, e *endpoint, args spec.Values, now time.Time) (*session, error) {
	const op = "logging in with a token file"
	path, err := args.String("path")
	if err != nil {
		return nil, e.fail(op, ErrInvalid, "%v", err)
	}
	if !filepath.IsAbs(path) {
		return nil, e.fail(op, ErrInvalid, "the path %q is not absolute", path)
	}
	token, err := readToken(path)
	if err != nil {
		return nil, e.fail(op, ErrDenied, "reading the token: %v", err)
	}
	return adopt(ctx, e, op, token, now)
}

func readToken(path string) (secret.Text, error) {
	f, err := os.Open(path)
	if err != nil {
		return secret.Text{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return secret.Text{}, err
	}
	if len(b) > maxToken {
		return secret.Text{}, errors.New(path + " is too large for a token")
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return secret.Text{}, errors.New(path + " is empty")
	}
	return secret.New(token), nil
}

// adopt makes a session of a token that exists already, and asks Vault how long
// it lives. A token that may not look itself up is taken as it is.
func adopt(ctx context.Context, e *endpoint, op string, token secret.Text, now time.Time) (*session, error) {
	if token.Empty() {
		return nil, e.fail(op, ErrDenied, "the token is empty")
	}
	if strings.ContainsFunc(token.Reveal(), func(r rune) bool { return !unicode.IsPrint(r) }) {
		return nil, e.fail(op, ErrInvalid, "the token contains characters that are not printable")
	}
	c, err := e.client(token)
	if err != nil {
		return nil, err
	}
	s := &session{endpoint: e, api: c, token: token, since: now}
	answer, err := s.lookup(ctx)
	switch {
	case err == nil && answer != nil:
		s.renewable, _ = answer.Data["renewable"].(bool)
		s.ttl = seconds(answer.Data, "creation_ttl")
		s.grant(seconds(answer.Data, "ttl"), now)
		return s, nil
	case errors.Is(err, ErrDenied) && !dead(err):
		s.opaque = true
		return s, nil
	case err == nil:
		return nil, e.fail(op, ErrUnreadable, "the answer about the token is empty")
	}
	if failed, ok := asError(err); ok {
		failed.Op = op
		if failed.Class == ErrDenied {
			failed.Hint = "the token has expired or was revoked: give tokend a new one"
		}
	}
	return nil, err
}

func appRoleSchema() spec.Schema {
	return spec.Schema{
		Doc: "An AppRole login.",
		Attrs: []spec.Attr{
			{Name: "role_id", Type: cty.String, Required: true, Deferred: true, Doc: "the role's id"},
			{Name: "secret_id", Type: cty.String, Deferred: true, Sensitive: true, Doc: "the secret id, where the role asks for one"},
			{Name: "mount", Type: cty.String, Default: "approle", Doc: "where the auth method is mounted"},
		},
	}
}

func loginAppRole(ctx context.Context, e *endpoint, args spec.Values, now time.Time) (*session, error) {
	const op = "logging in by AppRole"
	roleID, err := args.Secret("role_id")
	if err != nil {
		return nil, e.fail(op, ErrInvalid, "%v", err)
	}
	secretID, err := args.Secret("secret_id")
	if err != nil {
		return nil, e.fail(op, ErrInvalid, "%v", err)
	}
	mount, err := authMount(args, "approle")
	if err != nil {
		return nil, e.fail(op, ErrInvalid, "%v", err)
	}
	if roleID.Empty() {
		return nil, e.fail(op, ErrInvalid, "role_id is empty")
	}
	body := map[string]any{"role_id": roleID.Reveal()}
	if !secretID.Empty() {
		body["secret_id"] = secretID.Reveal()
	}
	s, err := e.logIn(ctx, op, "auth/"+mount+"/login", body, now)
	if errors.Is(err, ErrDenied) {
		failed, _ := asError(err)
		failed.Hint = "check role_id and secret_id; a secret id may have expired or be used up"
	}
	return s, err
}

// logIn posts to an auth method's login and makes a session of the answer.
func (e *endpoint) logIn(ctx context.Context, op, path string, body map[string]any, now time.Time) (*session, error) {
	c, err := e.client(secret.Text{})
	if err != nil {
		return nil, err
	}
	answer, err := e.once(ctx, op, leaves(body), func(ctx context.Context) (*api.Secret, error) {
		return c.Logical().WriteWithContext(ctx, path, body)
	})
	if err != nil {
		if failed, ok := asError(err); ok && failed.Class == ErrNotFound {
			failed.Hint = "no auth method is mounted at " + strings.TrimSuffix(path, "/login")
		}
		return nil, err
	}
	if answer == nil || answer.Auth == nil || answer.Auth.ClientToken == "" {
		return nil, e.fail(op, ErrUnreadable, "the answer has no token")
	}
	token := secret.New(answer.Auth.ClientToken)
	if c, err = e.client(token); err != nil {
		return nil, err
	}
	s := &session{endpoint: e, api: c, token: token, since: now, obtained: true, renewable: answer.Auth.Renewable}
	s.grant(time.Duration(answer.Auth.LeaseDuration)*time.Second, now)
	return s, nil
}

// asError is errors.As for *Error.
func asError(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}
