package gitsource

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// A repository that is damaged, or holds too many transfers, is made anew. The one
// before is put aside until the new one has what was to be had: what failed may
// have been the remote or the way to it, and who signed the commit that is checked
// out is known by the objects alone. Without them a restart would not go on with it.

// errWorn: the repository holds too many transfers.
var errWorn = errors.New("the repository is to be made anew")

func (s *Source) aside() string { return s.repository + ".before" }

// takeAnew takes what the remote has into a new repository.
func (s *Source) takeAnew(ctx context.Context, t tip) error {
	if err := os.RemoveAll(s.aside()); err != nil {
		return fmt.Errorf("making the repository anew: %w", err)
	}
	if err := os.Rename(s.repository, s.aside()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("making the repository anew: %w", err)
	}
	err := s.takeTip(ctx, t)
	if err == nil {
		_ = os.RemoveAll(s.aside()) // the next start tries it again
		return nil
	}
	s.putBack()
	return err
}

// putBack puts the repository that was put aside into its place again, unless the
// commit that is checked out is of the new one: a kill may have come before that
// was noted.
func (s *Source) putBack() {
	if _, err := os.Lstat(s.aside()); err != nil {
		return
	}
	away := s.repository
	if commit := s.Commit(); commit != "" && !s.has(s.aside(), commit) && s.has(s.repository, commit) {
		away = s.aside()
	}
	err := os.RemoveAll(away)
	if err == nil && away == s.repository {
		err = os.Rename(s.aside(), s.repository)
	}
	if err != nil {
		s.log.Warn("putting the repository back", "error", err)
	}
}

// has reports whether a repository has a commit.
func (s *Source) has(repository, commit string) bool {
	_, err := s.git.run(context.Background(), localTimeout, repository, "cat-file", "-e", commit+"^{commit}")
	return err == nil
}
