// Package hostfile is what the kinds of sink that write one file on this host
// have in common: the arguments that say where the file is and whose, and all
// of a sink's work but rendering. [Files] does that work, on top of
// tokend/pkg/atomicfile, whose guarantees are the sink's.
package hostfile
