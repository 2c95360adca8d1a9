// Package sinktest is the conformance suite of package sinks: what every kind
// of sink must do, whatever it writes to.
//
// A kind's test gives [Run] a function that sets up a fresh [Rig]: the sink and
// a few hands that look at its places and meddle with them by other means than
// the sink itself.
package sinktest
