package gitsource

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Limits of a checkout. A configuration of 100,000 credentials has a thousand
// files; more than this is a repository of something else, or an attack.
const (
	maxFiles = 100_000 // and directories
	maxBytes = 512 << 20
	maxNames = 32 << 20 // bytes of all paths, which are held in memory
)

// entry is a file of a commit's tree.
type entry struct {
	mode string
	id   string
	size int64
	path string
}

// Modes of entries.
const (
	modeFile       = "100644"
	modeExecutable = "100755"
	modeLink       = "120000"
	modeSubmodule  = "160000"
)

// tree lists what a commit holds, submodules left out. It is read as git prints
// it, and no further than the limits: a handful of objects can stand for as many
// paths as no memory holds.
func (p *program) tree(ctx context.Context, repository, commit string) ([]entry, error) {
	var list []entry
	var all extent
	err := p.stream(ctx, repository, nil, func(out *bufio.Reader) error {
		for {
			line, err := out.ReadSlice(0)
			switch {
			case errors.Is(err, io.EOF) && len(line) == 0:
				return nil
			case errors.Is(err, bufio.ErrBufferFull):
				return &refusedError{fmt.Sprintf("commit %s has a path of more than %d bytes", short(commit), unix.PathMax)}
			case err != nil:
				return fmt.Errorf("listing commit %s: %w", short(commit), err)
			}
			e, err := entryOf(string(line[:len(line)-1]), commit)
			if err != nil {
				return err
			}
			if e.mode == modeSubmodule {
				continue
			}
			list = append(list, e)
			all.add(e)
			if all.files > maxFiles || all.bytes > maxBytes || all.names > maxNames {
				return &refusedError{fmt.Sprintf("commit %s is too large: more than %d files and directories, %d MiB, or %d MiB of paths are not checked out",
					short(commit), maxFiles, maxBytes>>20, maxNames>>20)}
			}
		}
	}, "ls-tree", "-r", "-z", "-l", "--full-tree", commit)
	return list, err
}

// entryOf reads a line of git ls-tree -l.
func entryOf(line, commit string) (entry, error) {
	head, name, ok := strings.Cut(line, "\t")
	f := strings.Fields(head)
	if !ok || len(f) != 4 {
		return entry{}, fmt.Errorf("listing commit %s: git says something else than it was asked for", short(commit))
	}
	e := entry{mode: f[0], id: f[2], path: name}
	if e.mode == modeSubmodule {
		return e, nil
	}
	var err error
	if e.size, err = strconv.ParseInt(f[3], 10, 64); err != nil {
		return entry{}, fmt.Errorf("listing commit %s: a size cannot be read", short(commit))
	}
	if err := checkName(name); err != nil {
		return entry{}, &refusedError{fmt.Sprintf("commit %s has the path %q: %v", short(commit), name, err)}
	}
	return e, nil
}

// checkName refuses paths that lead elsewhere or mean something to git.
func checkName(name string) error {
	if !filepath.IsLocal(name) || path.Clean(name) != name {
		return errors.New("it leads out of the checkout")
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.EqualFold(part, ".git") {
			return errors.New("it is git's own")
		}
	}
	return nil
}

// export writes the files of a commit into a directory that is empty. Links are
// made last, so that nothing is ever written through one. below is what is of
// interest: a link there that leads out of the checkout refuses the commit, one
// elsewhere is left out.
func (p *program) export(ctx context.Context, repository, commit, dir, below string) error {
	list, err := p.tree(ctx, repository, commit)
	if err != nil {
		return err
	}
	if err := fits(dir, commit, list); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	var links []link
	err = p.blobs(ctx, repository, list, func(e entry, content io.Reader) error {
		switch e.mode {
		case modeFile, modeExecutable:
			return writeFile(root, e, content)
		case modeLink:
			target, err := io.ReadAll(io.LimitReader(content, unix.PathMax))
			links = append(links, link{e.path, string(target)})
			return err
		}
		return &refusedError{fmt.Sprintf("commit %s has %s of the unknown mode %s", short(commit), e.path, e.mode)}
	})
	if err != nil {
		return err
	}
	return makeLinks(root, commit, below, links)
}

// blobs hands out the contents of entries, in their order.
func (p *program) blobs(ctx context.Context, repository string, list []entry, each func(entry, io.Reader) error) error {
	var ids bytes.Buffer
	for _, e := range list {
		ids.WriteString(e.id + "\n")
	}
	return p.stream(ctx, repository, &ids, func(out *bufio.Reader) error { return readBlobs(out, list, each) }, "cat-file", "--batch", "--buffer")
}

func readBlobs(in *bufio.Reader, list []entry, each func(entry, io.Reader) error) error {
	for _, e := range list {
		head, err := in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("reading %s from the repository: %w", e.path, err)
		}
		if head != fmt.Sprintf("%s blob %d\n", e.id, e.size) {
			return fmt.Errorf("reading %s from the repository: %s", e.path, excerpt([]byte(head)))
		}
		content := io.LimitReader(in, e.size)
		if err := each(e, content); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			return fmt.Errorf("reading %s from the repository: %w", e.path, err)
		}
		if _, err := in.Discard(1); err != nil {
			return fmt.Errorf("reading %s from the repository: %w", e.path, err)
		}
	}
	return nil
}

func writeFile(root *os.Root, e entry, content io.Reader) error {
	if dir := path.Dir(e.path); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("checking out %s: %w", e.path, err)
		}
	}
	mode := fs.FileMode(0o644)
	if e.mode == modeExecutable {
		mode = 0o755
	}
	f, err := root.OpenFile(e.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("checking out %s: %w", e.path, err)
	}
	_, err = io.Copy(f, content)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("checking out %s: %w", e.path, err)
	}
	return nil
}

type link struct{ path, target string }

// makeLinks makes those links that stay inside, through other links too.
func makeLinks(root *os.Root, commit, below string, links []link) error {
	for _, l := range links {
		if dir := path.Dir(l.path); dir != "." {
			if err := root.MkdirAll(dir, 0o755); err != nil {
				return fmt.Errorf("checking out %s: %w", l.path, err)
			}
		}
		if err := root.Symlink(l.target, l.path); err != nil {
			return fmt.Errorf("checking out %s: %w", l.path, err)
		}
	}
	for _, l := range links {
		_, err := root.Stat(l.path)
		if err == nil || errors.Is(err, fs.ErrNotExist) && filepath.IsLocal(path.Join(path.Dir(l.path), l.target)) && !path.IsAbs(l.target) {
			continue // one that leads nowhere, inside, is a mistake of another kind
		}
		if below == "." || l.path == below || strings.HasPrefix(l.path, below+"/") || strings.HasPrefix(below, l.path+"/") {
			return &refusedError{fmt.Sprintf("commit %s has the symbolic link %s, which leads out of the checkout", short(commit), l.path)}
		}
		if err := root.Remove(l.path); err != nil {
			return fmt.Errorf("checking out %s: %w", l.path, err)
		}
	}
	return nil
}

// checkoutName is how a checkout's directory is called: by its commit, and by
// the repository and ref that it was taken from.
func checkoutName(commit, identity string) string { return commit + "-" + identity }

// unfinished marks a directory that is being filled.
const unfinished = ".new-"

// checkout makes the directory of a commit, and has it on the disk before it
// gets its name. One that is there already is made anew: its removal may have
// been cut short, and half of a commit is another configuration.
func (s *Source) checkout(ctx context.Context, commit string) (name string, err error) {
	name = checkoutName(commit, s.identity)
	full := filepath.Join(s.checkouts, name)
	tmp, err := os.MkdirTemp(s.checkouts, unfinished)
	if err != nil {
		return "", fmt.Errorf("checking out commit %s: %w", short(commit), err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", fmt.Errorf("checking out commit %s: %w", short(commit), err)
	}
	if err := s.git.export(ctx, s.repository, commit, tmp, s.below); err != nil {
		return "", err
	}
	if info, err := os.Stat(filepath.Join(tmp, s.below)); err != nil || !info.IsDir() {
		return "", &noPathError{refusedError{fmt.Sprintf("commit %s has no directory %s%s", short(commit), s.below, insteadOf(tmp))}}
	}
	if err := flush(tmp); err != nil {
		return "", fmt.Errorf("checking out commit %s: %w", short(commit), err)
	}
	if err := os.RemoveAll(full); err != nil {
		return "", fmt.Errorf("checking out commit %s: %w", short(commit), err)
	}
	return name, os.Rename(tmp, full)
}

// ErrNoPath: the newest commit does not have the directory of interest.
var ErrNoPath = errors.New("the commit has no such directory")

// noPathError is a commit that is not taken because of [ErrNoPath].
type noPathError struct{ refusedError }

func (e *noPathError) Unwrap() []error { return []error{&e.refusedError, ErrNoPath} }

// insteadOf names the directories of a checkout that hold a configuration, of
// which one may have been meant.
func insteadOf(root string) string {
	const most = 5
	seen := map[string]bool{}
	_ = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (strings.HasSuffix(name, ".hcl") || strings.HasSuffix(name, ".hcl.json")) && len(seen) <= most {
			if dir, err := filepath.Rel(root, filepath.Dir(name)); err == nil {
				seen[dir] = true
			}
		}
		return nil // what cannot be read is not proposed
	})
	dirs := slices.Sorted(maps.Keys(seen))
	switch {
	case len(dirs) == 0:
		return ""
	case len(dirs) > most:
		dirs = append(dirs[:most], "…")
	}
	for i, dir := range dirs {
		if dir == "." {
			dirs[i] = "its root"
		}
	}
	return "; *.hcl files are in " + strings.Join(dirs, ", ")
}

// complete reports whether a checkout is there with the directory of interest.
func (s *Source) complete(full string) bool {
	info, err := os.Stat(filepath.Join(full, s.below))
	return err == nil && info.IsDir()
}

// flush has everything that was written to a directory's file system on the
// disk: after a power cut a checkout with empty files would declare nothing.
func flush(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("writing %s to the disk: %w", dir, err)
	}
	return nil
}

// point lets the link lead to a checkout: the one instant at which a commit
// takes the place of another.
func (s *Source) point(name string) error {
	return pointTo(s.link, filepath.Join(filepath.Base(s.checkouts), name))
}

// pruneUnfinished removes what a kill left of checkouts that were being made.
func (s *Source) pruneUnfinished() {
	left, _ := filepath.Glob(filepath.Join(s.checkouts, unfinished+"*"))
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			s.log.Warn("removing an unfinished checkout", "error", err)
		}
	}
}

// prune removes checkouts but for those named, and what a kill left behind.
func (s *Source) prune(keep ...string) {
	entries, err := os.ReadDir(s.checkouts)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !slices.Contains(keep, e.Name()) {
			if err := os.RemoveAll(filepath.Join(s.checkouts, e.Name())); err != nil {
				s.log.Warn("removing an old checkout", "error", err)
			}
		}
	}
}
