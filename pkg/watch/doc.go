// Package watch says when files and directories are worth looking at again.
//
// Give [Watcher.Set] groups of paths and receive from [Watcher.C]: a [Tick]
// names the group and those of its paths that may have changed. That is a hint
// and nothing more. What changed, and whether anything did, is found by looking;
// the package compares no contents. Call Set before looking for the first time:
// every change after Set returned leads to a Tick, so nothing falls between.
//
// # What is noticed
//
// A path is watched as it is spelled, not as it happened to resolve once: every
// directory on the way to it is watched, and so is every directory on the way
// of every symbolic link in it. So a tick follows when
//
//   - a file is written, created, deleted, renamed over (as editors and
//     [os.Rename] do), or, unless the group ignores it, given another mode or
//     owner;
//   - anything directly in a directory changes, where the path names a directory,
//     also behind the symbolic links in it;
//   - a link on the way is pointed elsewhere (Kubernetes' ..data, a GitOps
//     checkout's "current"), a directory on the way is moved, deleted, created
//     or exchanged, even if the path did not exist before.
//
// Only directories are handed to inotify, never files: a watch on a file is
// gone with the first rename over it. Cost is a watch for each directory, and
// about forty bytes beside the path's own for each path; a hundred thousand
// files in one directory are one watch, and an event finds its path by a map.
//
// # What is not relied on
//
// Events get lost: the kernel's queue overflows (a Tick without Paths follows:
// all of the group), a directory is mounted over, a network file system sends
// none for what other machines do. So all paths' metadata are compared once in
// [Options.Rescan]. Where events cannot be had at all (the limits of inotify
// are used up, the directory may not be read, the file system is remote) the
// same comparison is made every second or as often as it costs little, and
// [Watcher.Degraded] says why. When the reason goes away, so does this.
package watch
