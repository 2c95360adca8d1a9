// Package gitsource follows a Git repository and keeps a checkout of it in a
// directory that never shows a mixture of two commits.
//
// [Open] a source, give [Source.Dir] to whoever reads the configuration, and
// let [Source.Run] follow the repository. The directory is reached through one
// symbolic link that is pointed elsewhere when a new commit is complete on the
// disk, so whoever watches it sees one change, and a crash leaves the old
// commit or the new one. [Source.Status] says which commit it is and why, if
// so, it is not the newest.
//
// # What keeps the last good commit
//
// Everything does that goes wrong: a remote that does not answer, a ref that is
// gone, a commit without a valid signature, a tree that cannot be checked out,
// a full disk. It is said in the log when it begins and when it ends, and in
// Status while it lasts. A branch that was forced to another history is
// followed like any other change: a checkout has no history. After a restart
// the last checkout is there at once, without the network, if it is of the same
// repository and ref and its signature still verifies.
//
// # What a repository cannot do
//
// Whoever can push decides what is in the files, and nothing else. The program
// git runs without hooks, attributes, filters, submodules and prompts; objects
// are checked as they arrive; remotes are spoken to by the transports that are
// listed in [Protocols] alone. The files are written by this package from the
// objects, byte for byte, with permission bits of its own; a symbolic link that
// leads out of the checkout is never made. With a file of allowed signers, a
// commit is taken only with an SSH signature by a key in it.
//
// A user and password in the URL are taken out of it at the beginning and given
// to git, when it asks for that host, by its environment: they are in no log,
// no error, no file and no list of processes of this package's making. What the
// environment says to Git and SSH about credentials, keys, proxies and
// certificates is passed on; the rest of the environment is not.
//
// # What it keeps
//
// Below its directory: a bare repository with one commit of history, which is
// made anew when it is damaged; checkouts, of which the one before the current
// is kept for whoever still reads it; and a lock, since one directory serves
// one process.
package gitsource
