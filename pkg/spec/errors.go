package spec

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// UnreadableError is what an error of a [Scope] func becomes: the value of Addr,
// which an expression names, could not be had. It is never a change of what is
// configured.
type UnreadableError struct {
	Addr Address
	Err  error
}

// Error names the secret or credential and why it cannot be read.
func (e *UnreadableError) Error() string { return fmt.Sprintf("reading %s: %v", e.Addr, e.Err) }

// Unwrap returns the Scope func's own error.
func (e *UnreadableError) Unwrap() error { return e.Err }

// ArgumentError says what is wrong with one argument of a block. A kind's own
// check returns it, or several joined, so that the place can be shown.
type ArgumentError struct {
	Name string // of the argument
	Key  string // of the member of a map that is wrong; empty: not only one
	Err  error
}

// Error names the argument and what is wrong with it.
func (e *ArgumentError) Error() string { return fmt.Sprintf("reading %s: %v", e.Name, e.Err) }

// Unwrap returns what is wrong.
func (e *ArgumentError) Unwrap() error { return e.Err }

// EvalError says that an expression of Addr's block could not be evaluated with
// the values it was given. Neither its text nor its diagnostics show a
// sensitive value.
type EvalError struct {
	Addr  Address
	Diags Diagnostics
}

// Error gives the diagnostics in one line, each with its place.
func (e *EvalError) Error() string {
	parts := make([]string, 0, len(e.Diags))
	for _, d := range e.Diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		at := ""
		if d.Subject != nil {
			at = fmt.Sprintf("%s:%d: ", d.Subject.Filename, d.Subject.Start.Line)
		}
		parts = append(parts, at+d.Summary+": "+d.Detail)
	}
	return fmt.Sprintf("evaluating %s: %s", e.Addr, strings.Join(parts, "; "))
}

// UnknownAddressError says that the configuration declares no such thing.
type UnknownAddressError struct{ Addr Address }

// Error names the address.
func (e *UnknownAddressError) Error() string {
	return fmt.Sprintf("looking up %s: the configuration does not declare it", e.Addr)
}
