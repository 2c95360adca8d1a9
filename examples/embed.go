// Package examples holds a configuration directory for each way of using
// tokend, and embeds the one that `tokend dev` runs when it is given none.
// Every directory here is loaded and run by a test.
package examples

import "embed"

// Quickstart is the directory quickstart.
//
//go:embed all:quickstart
var Quickstart embed.FS
