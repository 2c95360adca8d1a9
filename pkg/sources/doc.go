// Package sources reads secrets from where they are kept: files, environment
// variables, systemd credentials, Vault, and the output of commands.
//
// A `secret` block's label names its kind; each kind is one [Source], made by
// [File], [Env], [Systemd], [VaultKV] or [Exec], and [Schemas] lists their
// arguments. Most readers want [Source.Read].
//
// What every kind guarantees:
//
//   - It reads once, when it is asked, and keeps nothing.
//   - The value is text in UTF-8, of at most 1 MiB. One newline at its end
//     ("\n" or "\r\n") is taken off, because editors and `echo` put it there;
//     trim = false keeps it.
//   - An empty secret is an error: an empty password sent to an API can lock an
//     account.
//   - An error says which place was read and what to do, and never shows what
//     was read.
package sources
