package sources

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
)

// fileSource is the kind "file".
type fileSource struct{}

// File is the kind "file": the content of one file.
func File() Source { return fileSource{} }

func fileSchema() spec.Schema {
	path := required("path", "the file")
	path.Path = true
	return spec.Schema{Doc: "The content of a file.", Attrs: []spec.Attr{path, trimAttr()}}
}

func (fileSource) Read(ctx context.Context, args spec.Values) (cty.Value, error) {
	path, err := filePath(args)
	if err != nil {
		return cty.NilVal, fmt.Errorf("reading a secret file: %w", err)
	}
	v, err := readFile(ctx, path, args)
	if err != nil {
		return cty.NilVal, fmt.Errorf("reading secret file %s: %w", path, err)
	}
	return v, nil
}

func (fileSource) Paths(args spec.Values) []string {
	path, err := filePath(args)
	if err != nil {
		return nil
	}
	return []string{path}
}

func filePath(args spec.Values) (string, error) {
	path, err := name(args, "path")
	if err != nil {
		return "", err
	}
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("reading path: %q is not absolute", path)
	}
	return filepath.Clean(path), nil
}

// readFile reads a regular file. It does not wait for one: a pipe that nobody
// writes to would hold a worker for ever.
func readFile(ctx context.Context, path string, args spec.Values) (cty.Value, error) {
	if err := ctx.Err(); err != nil {
		return cty.NilVal, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return cty.NilVal, plainFileError(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	switch {
	case err != nil:
		return cty.NilVal, plainFileError(err)
	case fi.IsDir():
		return cty.NilVal, errors.New("it is a directory: name a file in it")
	case !fi.Mode().IsRegular():
		return cty.NilVal, fmt.Errorf("it is not a regular file (%s)", fi.Mode().Type())
	case fi.Size() > maxSecret:
		return cty.NilVal, errTooLarge
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return cty.NilVal, plainFileError(err)
	}
	return text(string(b), args)
}

// plainFileError drops the path, which the caller says, and adds the next move.
func plainFileError(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: let user %d read it, and search the directories above it", err, os.Geteuid())
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: write the secret there, or mend path", err)
	}
	return err
}
