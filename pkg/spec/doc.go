// Package spec reads a directory of configuration and says what it declares.
//
// Most readers want [Load]: it reads every *.hcl and *.hcl.json file of a
// directory as one configuration and returns either a *[Config] or all mistakes
// of the directory at once, each with its range, a summary, what to do about it
// and, where a name is close to a known one, a suggestion.
//
// What it guarantees:
//
//   - A Config is immutable, safe for concurrent use, and valid as a whole: each
//     block was evaluated and type-checked while loading, with unknown values in
//     place of secrets and tokens. What is left to fail later is what only the
//     outside knows: a secret that cannot be read, a member that it lacks.
//   - No I/O but reading files: of the directory, variable files, and what the
//     language's functions name. What was read is part of the Config
//     ([Config.Sources], [Config.Reads]), so that it can be loaded again from
//     memory ([LoadFiles]) and watched.
//   - Sensitive values are marked from their source to the end and never appear
//     in a diagnostic or an error; diagnostics whose source line holds a literal
//     secret say so ([ShowSource]).
//   - No syntax tree and no evaluated value is kept for a block: each file is
//     lowered to flat tables of byte ranges when it is read, and expressions are
//     parsed again from those when they are asked for, behind a small cache. An
//     instance of `for_each` costs its key. With [Options].Previous, only files
//     whose bytes changed are parsed again.
//
// Evaluation has two halves. What is static (names, schedules, paths, which
// secrets and credentials a block uses) comes from [Config.Credential] and
// [Config.Sink] without any I/O; what needs a secret's value or another
// credential's token is evaluated with a [Scope], which gives them.
package spec
