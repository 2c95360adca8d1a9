package main

import "golang.org/x/sys/unix"

// forbidCoreDumps keeps memory, which holds tokens, out of core files: no dump
// by size, and the process not dumpable at all, so that neither a crash nor a
// debugger of the same user gets at it.
func forbidCoreDumps() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
