// Package atomicfile is the one way in which tokend writes a file that others
// read: whole or not at all, private from its first byte, and never where
// somebody else pointed it to.
//
// [WriteFile] writes one file; a [Writer] does the same for many, and keeps a
// handle of each directory that it writes to. What they guarantee:
//
//   - A reader sees the old content or the new one, never a mixture and never
//     an empty file, also after kill -9 or a power cut: the content goes to
//     `.tokend-NAME.RANDOM` in the same directory, is synced, and is renamed
//     over the name; then the directory is synced, because until then a crash
//     can bring the old file back. On tmpfs and ramfs, which no crash outlives,
//     nothing is synced.
//   - The temporary file is created with mode 0600, and gets its final mode and
//     owner while it is still empty. There is no moment at which somebody can
//     read it who may not read the finished file.
//   - What is right already is left alone: equal content is not written again
//     (the time of modification stays), and a wrong mode or owner is put right
//     on the file itself.
//   - Only a regular file, or nothing, is replaced. A symbolic link, a
//     directory or a device at the name is an error ([ErrNotRegular]), and so
//     is a single file that is a mount point, as Docker's `-v file:file` makes
//     it ([ErrMountPoint]).
//   - The path is walked with a handle of each directory in turn. A symbolic
//     link on the way is followed only when nobody but root and ourselves can
//     have put it there; a directory that belongs to somebody else and that
//     everybody may write to, without the sticky bit, is refused
//     ([ErrUnsafePath]). So a user who owns a directory on the way can at most
//     make the file land in another directory that he could write to anyway,
//     and never read it there.
//   - Missing directories are made, with [Attr.DirMode] and the file's group.
//
// A process that is killed between the first byte and the rename leaves its
// temporary file behind, with a secret in it. [Sweep] takes such files away; a
// Writer sweeps a directory before its first write there. Files that are being
// written at that moment, by whichever process, are locked and are spared.
//
// The handles keep a file system from being unmounted; [Writer.Close] gives
// them up. A directory that was replaced, mounted over or made anew is noticed
// at the next call.
package atomicfile
