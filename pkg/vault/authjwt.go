package vault

import (
	"context"
	"errors"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
)

// jwtSchema is of a login with a JSON Web Token. Kubernetes' method takes the same
// arguments by the same call, at a mount of its own.
func jwtSchema() spec.Schema {
	return spec.Schema{
		Doc: "A login with a JSON Web Token, such as another credential's, or a service account's at a `kubernetes` mount.",
		Attrs: []spec.Attr{
			{Name: "jwt", Type: cty.String, Required: true, Deferred: true, Sensitive: true, Doc: "the token that is shown"},
			{Name: "role", Type: cty.String, Deferred: true, Doc: "the role; default: the one that the mount names"},
			{Name: "mount", Type: cty.String, Default: "jwt", Doc: "where the auth method is mounted"},
		},
	}
}

func loginJWT(ctx context.Context, e *endpoint, args spec.Values, now time.Time) (*session, error) {
	const op = "logging in with a JWT"
	token, err := args.Secret("jwt")
	if err != nil {
		return nil, e.fail(op, ErrInvalid, "%v", err)
	}
	if token.Empty() {
		return nil, e.fail(op, ErrInvalid, "jwt is empty")
	}
	role, err := args.String("role")
	if err != nil {
		return nil, e.fail(op, ErrInvalid, "%v", err)
	}
	mount, err := authMount(args, "jwt")
	if err != nil {
		return nil, e.fail(op, ErrInvalid, "%v", err)
	}
	body := map[string]any{"jwt": token.Reveal()}
	if role != "" {
		body["role"] = role
	}
	s, err := e.logIn(ctx, op, "auth/"+mount+"/login", body, now)
	if failed, ok := asError(err); ok && (errors.Is(err, ErrDenied) || errors.Is(err, ErrInvalid)) {
		failed.Hint = "check role and jwt: the token may have expired, or not be what the role is bound to (its issuer, audience, subject)"
	}
	return s, err
}

// authMount is where a login is mounted.
func authMount(args spec.Values, otherwise string) (string, error) {
	mount, err := args.String("mount")
	if err != nil {
		return "", err
	}
	if mount == "" {
		mount = otherwise
	}
	return cleanPath("mount", mount)
}
