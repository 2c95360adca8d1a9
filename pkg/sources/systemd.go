package sources

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
)

type systemdSource struct{ getenv Getenv }

// Systemd is the kind "systemd": a credential that systemd gave to tokend's
// unit (man systemd.exec, LoadCredential= and its kin).
func Systemd(getenv Getenv) Source { return systemdSource{getenv} }

func systemdSchema() spec.Schema {
	return spec.Schema{
		Doc:   "A credential of tokend's systemd unit: $CREDENTIALS_DIRECTORY/NAME.",
		Attrs: []spec.Attr{required("name", "the credential's name"), trimAttr()},
	}
}

func (s systemdSource) Read(ctx context.Context, args spec.Values) (cty.Value, error) {
	path, id, err := s.path(args)
	if err != nil {
		return cty.NilVal, fmt.Errorf("reading a systemd credential: %w", err)
	}
	v, err := readFile(ctx, path, args)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: give it to tokend's unit, as in LoadCredential=%s:/path/of/the/secret, and restart tokend", fs.ErrNotExist, id)
	}
	if err != nil {
		return cty.NilVal, fmt.Errorf("reading systemd credential %s (%s): %w", id, path, err)
	}
	return v, nil
}

func (s systemdSource) Paths(args spec.Values) []string {
	path, _, err := s.path(args)
	if err != nil {
		return nil
	}
	return []string{path}
}

func (s systemdSource) path(args spec.Values) (path, id string, err error) {
	if id, err = name(args, "name"); err != nil {
		return "", "", err
	}
	if id == "." || id == ".." || strings.ContainsAny(id, "/\x00") {
		return "", "", fmt.Errorf("reading name: %q is not the name of a credential", id)
	}
	dir, set := s.getenv("CREDENTIALS_DIRECTORY")
	if !set || !filepath.IsAbs(dir) {
		return "", "", fmt.Errorf("%s: CREDENTIALS_DIRECTORY is not set, so tokend was not given credentials: start it by systemd, with LoadCredential=%s:/path/of/the/secret in its unit", id, id)
	}
	return filepath.Join(dir, id), id, nil
}
