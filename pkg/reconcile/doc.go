// Package reconcile is the heart of tokend: it compares what the configuration
// declares with what the state records and the sinks hold, and does what is
// missing, one step of one address at a time.
//
// Most readers want [New], [Loop.Run] and [Loop.Set]. A token's way through the
// package is a straight line through few files: queue.go yields the address
// that is due; observe.go gathers what is known of it; decide.go says what to
// do (a pure function: one ordered table of rules with reasons in words, which
// plan, apply, the daemon and status share); grant.go, refresh.go and retire.go
// carry the step out in the durable order, and granted.go records what came of
// it; sink.go delivers; hook.go tells the consumers; finish.go takes the result
// over, and loop.go queues the address again.
//
// # The durable order
//
// Nothing that can spend or create a token is sent before an intent is on
// disk; nobody is told of a token before it is on disk; no place is written for
// the first time before its record names it; no configuration acts before it is on
// disk as the one in force; nothing is revoked before every
// sink has let go of it, at the place that it has and at those that it left. A reply that never came leaves the intent
// open, in a crash and in a living process alike, and the next look decides
// what that means by the rules at the top of the table.
//
// Where an API answers a repeated refresh alike for a while, a lost one is sent
// once more, if it is there before that while is over (replay.go): the request has
// to have its connection [spec.ReplayMargin] before the end, by the clock that
// nobody can put and that runs while the machine sleeps, or it is not sent: that
// clock is asked again when the connection is there. A shorter window is none.
//
// A simulation (sim_test.go) holds all of this against seeds: configurations and
// their changes, lost replies, full disks, slow places, crashes at every step and
// clocks that jump, over simulated providers whose own books are compared after
// every step.
//
// # What the guard holds
//
// A step that would give something up because the configuration changed is
// performed only when the guard has let it: [Loop.Set] finds all such steps of
// a change before any of them can happen and lets all of them go ahead, or
// none. A destructive decision that the guard has not seen is judged first.
// What is held back lives on by the configuration before.
//
// # Concurrency
//
// One goroutine owns the queue and the items. Workers, as many as their lanes
// let through, do the work of one address at a time and hand back results;
// nothing else touches a credential, so nothing overtakes. Whoever asks the
// loop something (status, an order) does so through its goroutine.
package reconcile
