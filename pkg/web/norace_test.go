//go:build !race

package web

// slowdown is none without the race detector.
const slowdown = 1
