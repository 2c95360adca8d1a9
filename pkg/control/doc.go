// Package control is how the command line talks to the daemon: a Unix socket
// that only root and the daemon's own user get an answer from.
//
// The daemon calls [Listen] and [Serve] with a handler whose requests are made
// by [Handle] and [HandleStream] from plain functions; the command line calls
// [Dial], [Client.Do] and [Client.Stream]. What is asked and answered is the
// caller's; this package is the transport.
//
//	mux.Handle("POST /v1/refresh", control.Handle(func(ctx context.Context, in Refresh) (Refreshed, error) { … }))
//
// # Guarantees
//
//   - The socket has mode 0600 from the moment it exists, whatever the umask is,
//     and the kernel names each peer's user: root and the daemon's own are
//     served, everybody else gets [KindDenied]. A client checks the daemon the
//     same way before it says anything.
//   - A socket that a killed daemon left behind is replaced; one that is served
//     is not ([ErrInUse]); what is no socket is not touched. A closed listener
//     removes its own socket and nobody else's.
//   - A request is sent once. When the answer does not arrive, the error says
//     that the outcome is unknown ([KindInterrupted]).
//   - When the client goes, the handler's context ends, and when the daemon
//     stops, so does every handler's.
//   - An error crosses the socket as an [Error]: its kind decides the exit
//     status, its hint is the next move. A panic in a handler is told to the
//     client without its value, which may hold a secret, and ends nothing else.
//   - Sizes are bounded on both sides, and a client that does not read holds up
//     nothing for long.
//
// # Protocol
//
// HTTP/1.1 with JSON bodies. Both sides name the protocol's version in the
// header Tokend-Control; a daemon that runs on after an upgrade of the command
// line, or the other way round, is told apart by it and by arguments that it
// does not know, and the error says which side to restart. A stream is lines
// {"item":…}, closed by {"end":true} or {"error":…}, so that one that breaks off
// is not mistaken for one that ended. curl --unix-socket works.
package control
