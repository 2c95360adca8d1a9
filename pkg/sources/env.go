package sources

import (
	"context"
	"errors"
	"fmt"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
)

// Getenv looks an environment variable up, as os.LookupEnv does.
type Getenv func(name string) (value string, set bool)

type envSource struct{ getenv Getenv }

// Env is the kind "env": an environment variable of tokend itself.
func Env(getenv Getenv) Source { return envSource{getenv} }

func envSchema() spec.Schema {
	return spec.Schema{Doc: "An environment variable of tokend's own.", Attrs: []spec.Attr{required("name", "the variable"), trimAttr()}}
}

func (s envSource) Read(_ context.Context, args spec.Values) (cty.Value, error) {
	variable, err := name(args, "name")
	if err != nil {
		return cty.NilVal, fmt.Errorf("reading a secret from the environment: %w", err)
	}
	raw, set := s.getenv(variable)
	if !set {
		err = errors.New("it is not set: set it where tokend is started, such as in an EnvironmentFile= of its unit, and restart tokend")
		return cty.NilVal, fmt.Errorf("reading environment variable %s: %w", variable, err)
	}
	v, err := text(raw, args)
	if err != nil {
		return cty.NilVal, fmt.Errorf("reading environment variable %s: %w", variable, err)
	}
	return v, nil
}

// Paths is nil: the environment of a running process does not change.
func (envSource) Paths(spec.Values) []string { return nil }
