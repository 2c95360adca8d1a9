// Package catalog has the provider types that tokend knows from the start, one
// file of the configuration language each. There is no Go behind them: a type
// in somebody's own directory can do all that these do, and shadows one of
// these when it has its name.
//
// [FS] goes into spec.Options.Catalog; that is all.
package catalog

import "embed"

// FS has the files, *.hcl, at its root.
//
//go:embed *.hcl
var FS embed.FS
