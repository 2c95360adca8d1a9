// Package envsink is the sink kind "env": a file of variables for a process's
// environment, in the dialect of whoever reads it.
//
//	sink "env" "bot" {
//	  path   = "/run/tokend/bot.env"
//	  format = "systemd"
//	  vars   = { HOPPER_TOKEN = credential.cryptohopper.bot.access_token }
//	}
//
// [New] makes it. There is no one format of env files: what means a backslash to
// one reader is a backslash and a quote to the next. So a format names its
// reader, and each value is written in such a way that this reader gets it back
// byte for byte, whatever is in it:
//
//   - systemd: EnvironmentFile= of systemd.exec(5). Double quotes, with a
//     backslash before `"`, `\`, `$` and the backquote; the same lines read
//     alike in a POSIX shell.
//   - dotenv: Node's dotenv. Single quotes where possible, because other
//     readers of .env files expand variables between double ones.
//   - docker: `docker run --env-file`, which knows no quotes at all.
//   - shell: a POSIX shell's `.`, between `set -a` and `set +a` if the variables
//     shall be exported. Single quotes.
//
// A value that a reader cannot be given (a line break in docker's format, a zero
// byte in any) is an error that names the variable, and the file stays as it is.
//
// # Templates
//
// With a template, the file's lines are the template's, comments and order kept,
// and vars are what its values name as ${name}; $${ stands for a literal ${.
// A template is written in the file's own format, one variable a line. A value
// stands bare or in one pair of quotes, means what it would mean to the reader,
// and is quoted anew with the variables put in, so that no token breaks out of
// its quotes. What the reader would give a meaning that is lost on the way (a
// shell's $HOME, a comment behind a value, a line that goes on after a
// backslash) is an error and not a surprise. Comments are not substituted.
// The template's text comes with the arguments, as it was when the directory was
// read: no file is opened but the one that is written.
//
// How the file is written is said in tokend/pkg/atomicfile.
package envsink
