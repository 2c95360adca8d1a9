// Package hooks tells others that sinks changed: it runs a program, signals a
// process, or asks systemd to reload a unit.
//
// [Exec], [Signal] and [Systemd] make the kinds, [Schemas] describes their
// blocks to the loader, and [Hook.Run] is the one call that matters afterwards.
// A Hook tries once, within its block's timeout, and says in words what went
// wrong; collecting the changes of a moment ([Debounce]), trying again and
// remembering across restarts that something is still to be told are the
// queue's.
//
// What holds for every kind:
//
//   - No secret goes in: a program is told which sinks changed by their
//     addresses, never by their contents, and inherits nothing of the daemon's
//     environment but PATH, HOME and LANG.
//   - No secret comes out: what a program printed reaches an error only as a
//     short excerpt, with known secrets ([Options.Scrub]) and everything that
//     looks like a token taken out. Programs that check a file like to quote
//     the line that they dislike, and that line may be the token.
//   - No shell: arguments reach the program as they are written.
//   - Nothing is left running: a program that does not end in time is killed
//     with its whole process group.
//   - Nobody else is hit: a pid file that is stale, garbled or not to be
//     trusted is an error, and the process is pinned before it is signalled.
//
// A hook must bear being run twice: a crash between the run and its record
// makes it run again.
package hooks
