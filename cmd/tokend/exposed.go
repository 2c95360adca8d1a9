package main

import (
	"log/slog"
	"os"
	"path/filepath"
)

// exposed says of files that hold secrets when everybody on the host can read
// them, once of each until it was mended: tokend keeps to itself what others can
// read right beside it.
type exposed struct{ told map[string]bool }

// mostExposed bounds how many files are looked at, which takes a moment each.
const mostExposed = 1000

func (e *exposed) look(log *slog.Logger, paths []string) {
	if e.told == nil {
		e.told = map[string]bool{}
	}
	for _, p := range paths[:min(len(paths), mostExposed)] {
		open := everybodyReads(p)
		if open && !e.told[p] {
			log.Warn("everybody on this host can read a file that a secret comes from", "path", p, "hint", "chmod o-r "+shellWord(p))
		}
		e.told[p] = open
	}
}

const (
	othersRead   = 0o004
	othersSearch = 0o001
)

// everybodyReads reports whether a file is readable for whoever has nothing to do
// with it: by its own mode, and by those of the directories that lead to it.
func everybodyReads(path string) bool {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false // it is not there, which reading it says
	}
	info, err := os.Stat(real)
	if err != nil || !info.Mode().IsRegular() || info.Mode()&othersRead == 0 {
		return false
	}
	for dir := filepath.Dir(real); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode()&othersSearch == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}
