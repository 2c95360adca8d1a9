//go:build !linux

package state

import "os"

func allocate(f *os.File, off, n int64) error { return writeZeros(f, off, n) }

func dropCache(*os.File) {}

func readAhead(*os.File) {}

func unmapPages(uintptr, int) {}

func flockHolder(*os.File) (pid int) { return 0 }
