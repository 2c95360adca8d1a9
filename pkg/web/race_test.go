//go:build race

package web

// slowdown is what the race detector is allowed to cost.
const slowdown = 20
