// Package providers interprets provider types: it obtains, refreshes, verifies
// and revokes tokens over HTTP as a `provider_type` block says, without any
// knowledge of a particular API.
//
// Most readers want [NewEndpoint] and the three steps of a call:
//
//	e, err := providers.NewEndpoint(provider, providers.Options{})
//	req, err := e.Prepare(call)      // no I/O: the place to journal the intent after
//	reply, err := e.Send(ctx, req)   // exactly once: the place to record the raw reply after
//	token, err := e.Read(call, reply) // pure
//
// The steps are apart so that a caller can make each durable before the next:
// what was sent can be known before, and a reply can be kept before anybody
// tries to understand it.
//
// # Guarantees
//
// A request is sent exactly once. No redirect is followed, nothing is retried
// here, and the transport is kept from retrying: [Endpoint.Send] says how.
// [Error].Reached tells whether a byte may have been written, by counting the
// bytes of the connection and not by guessing from the error.
//
// Every failure is an *[Error] with a [Class] that says what it means for what
// comes next. A type's own `error` block goes before the rules here, which are
// RFC 6749 section 5.2 and the meaning of the HTTP status.
//
// No error, no String and no [Request.Dump] shows a secret: not an input, not a
// token, not a value derived from one, and not what a reply holds. What a
// provider says in words is cut to one short line and scrubbed.
//
// A request goes only to an origin that the call allows, and in clear only to
// this machine itself or where the provider block says so. Replies are read to
// 1 MiB.
//
// # Speed
//
// Expressions are compiled once for each endpoint into closures over strings,
// members of a reply are found in its text, and what is seldom (for
// expressions, try) is left to HCL. A call builds no tree of values. Plain
// requests over HTTP/1.1 keep their connections, and are written and read by
// whoever calls: no other goroutine is woken for them.
package providers
