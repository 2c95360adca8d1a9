package control

import (
	"context"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Peer is who is at the other end of the socket, as the kernel says it.
type Peer struct {
	PID int
	UID uint32
	GID uint32
}

// PeerOf is who made the request that ctx belongs to.
func PeerOf(ctx context.Context) (Peer, bool) {
	p, ok := ctx.Value(peerKey{}).(Peer)
	return p, ok
}

type peerKey struct{}

// peerOf asks the kernel (SO_PEERCRED): of the process that connected, or that
// listens, at the time it did.
func peerOf(c net.Conn) (Peer, error) {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return Peer{}, fmt.Errorf("asking for the peer of a %T: not a Unix socket", c)
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var cred *unix.Ucred
	if cerr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); cerr != nil {
		return Peer{}, cerr
	}
	if err != nil {
		return Peer{}, fmt.Errorf("asking for the peer: %w", err)
	}
	return Peer{PID: int(cred.Pid), UID: cred.Uid, GID: cred.Gid}, nil
}

// served reports whether a daemon serves the peer: root and its own user.
func (p Peer) served() bool { return p.UID == 0 || p.UID == uint32(os.Geteuid()) }

// trusted reports whether a client may talk to the daemon: root's and its own
// user's. Root talks to any: who could put a socket in its way is root.
func (p Peer) trusted() bool { return p.served() || os.Geteuid() == 0 }
