// Package standin has strict stand-ins of the APIs that tokend knows from the start (Coinify, Coins.ph,
// Cryptohopper, Apirone) and of a plain RFC 6749 authorization server. `tokend dev`, tests and benchmarks
// run against them instead of against somebody's money.
//
// Most readers want one of two calls. A test mounts a handler wherever it likes, also on a net.Pipe inside a
// testing/synctest bubble, for a Server at rest has neither goroutines nor timers and reads the clock through
// Options.Now:
//
//	api := standin.New(standin.Options{Accounts: []standin.Account{{API: standin.Apirone, Login: "apr-1", Password: "key"}}})
//	web := httptest.NewServer(api.Handler(standin.Apirone))
//
// A program listens on loopback, with an origin of its own for each API:
//
//	running, err := standin.Start(ctx, api, standin.Listen{TLS: true})
//	base := running.URLs.Coinify
//
// # Strictness
//
// A stand-in checks method, content type, query, and every field: missing, empty, unknown, repeated and
// wrongly typed ones are refused, as far as the API's own page lets one say what is unknown. The generic
// server ignores unknown parameters, because RFC 6749 section 3.2 demands that. Where a page is silent the
// stand-in takes the reading that is harder on the client, and the doc comment of its file says so. What a
// page leaves open and a client must cope with either way (whether a refresh rotates, whether expires_in is
// there) is a field of Rules.
//
// Tokens are real in all that a client can see: they expire, they die with their session, Apirone's are JWTs
// that carry exp. Refresh tokens and codes hold characters that need encoding in a form, so that a client
// which pastes them together is found out.
//
// # Books
//
// A Server keeps the provider's side of the story: every token with its account, times and end, grants,
// refreshes, replays, reuse of spent refresh tokens, revocations, and the last requests. Books are what
// invariants are checked against; they are true before the reply of a request is written.
//
// # Faults
//
// Fail puts a Fault in line for the requests that it matches; each Fault says whether the request is carried
// out behind the broken reply (Acts), which is how a reply lost after a rotation is made. An armed fault can be
// waited for and a stalled request released, so that a test needs no sleep.
//
// Everything is also reachable over HTTP below /_standin/ (Server.Control), from loopback only, for tests
// whose subject is another process.
//
// All methods of a Server may be called at any time from any goroutine.
package standin
