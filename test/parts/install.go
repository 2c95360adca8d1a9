package parts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// InstallPackages installs Debian packages, which needs root. What apt says goes
// to out.
func InstallPackages(ctx context.Context, out io.Writer, names []string) error {
	if err := script(ctx, out, "apt.sh", names...); err != nil {
		return fmt.Errorf("installing Debian packages %v: %w", names, err)
	}
	return nil
}

// Build makes the part's folder in the cache by its script, whose output goes to
// out. The folder appears whole or not at all, so that a run that was cut off
// leaves nothing that looks finished. It does nothing for a part that has no
// script or is there already.
func (p Part) Build(ctx context.Context, out io.Writer) error {
	if p.Script == "" || p.Missing() == nil {
		return nil
	}
	dir, err := p.Dir()
	if err != nil {
		return fmt.Errorf("building the %s: %w", p.Name, err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("building the %s: %w", p.Name, err)
	}
	unfinished, err := os.MkdirTemp(filepath.Dir(dir), ".unfinished-"+p.Folder+"-")
	if err != nil {
		return fmt.Errorf("building the %s: %w", p.Name, err)
	}
	defer os.RemoveAll(unfinished)

	if err := script(ctx, out, p.Script, unfinished); err != nil {
		return fmt.Errorf("building the %s: %w", p.Name, err)
	}
	// Another run may have been faster, or have left a folder without the files.
	if p.Missing() == nil {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("building the %s: %w", p.Name, err)
	}
	if err := os.Rename(unfinished, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("building the %s: %w", p.Name, err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("building the %s: %w", p.Name, err)
	}
	return p.Missing()
}

// script runs test/install/NAME with test/ as its working directory.
func script(ctx context.Context, out io.Writer, name string, args ...string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "sh", append([]string{filepath.Join("install", name)}, args...)...)
	cmd.Dir = filepath.Join(root, "test")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("test/install/%s: %w", name, err)
	}
	return nil
}
