package providers

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// recent says that a connection was used a short time ago, by the clock that
// stands still while the machine sleeps and by the one of the wall: a machine
// that slept has lost its connections. Where the latter went back nobody knows.
func (c *keptConn) recent(now time.Time) bool {
	wall := now.Round(0).Sub(c.since.Round(0))
	return now.Sub(c.since) < idleTimeout && wall >= 0 && wall < idleTimeout
}

// drained says that nothing is held back of what came with the last reply: the
// server's end (close_notify), or something that nobody has asked for, in records
// of TLS that were taken from the socket together with those of the reply.
//
// TLS is read for that with a deadline that is over, so that nothing is taken
// from the socket; a read that ends so leaves the connection as it was.
func (c *keptConn) drained(deadline time.Time) bool {
	if c.in.Buffered() > 0 {
		return false
	}
	t, ok := c.Conn.(*tls.Conn)
	if !ok {
		return true
	}
	if c.SetReadDeadline(time.Unix(1, 0)) != nil {
		return false
	}
	if _, err := c.in.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	records, ok := t.NetConn().(*recordConn)
	return ok && records.whole() && c.SetReadDeadline(deadline) == nil
}

// quiet says that nothing came while the connection was idle: neither its end
// nor something that nobody has asked for.
func (c *keptConn) quiet() bool {
	under, ok := c.counted.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := under.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Read(func(fd uintptr) bool {
		quiet = nothingThere(fd, c.peek[:])
		return true
	})
	return err == nil && quiet
}

// recordConn is what TLS reads from. It follows where records end (RFC 8446
// section 5.1), to know whether TLS holds the beginning of one: of that, nothing
// can be read before its rest has come.
type recordConn struct {
	net.Conn
	header [5]byte // of the record that comes
	have   int     // how much of its header has come
	rest   int     // how much of its body has not
}

// NetConn returns the connection below.
func (c *recordConn) NetConn() net.Conn { return c.Conn }

func (c *recordConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	for b = b[:n]; len(b) > 0; {
		k := min(c.rest, len(b))
		c.rest, b = c.rest-k, b[k:]
		k = copy(c.header[c.have:], b)
		c.have, b = c.have+k, b[k:]
		if c.have == len(c.header) {
			c.have, c.rest = 0, int(c.header[3])<<8|int(c.header[4])
		}
	}
	return n, err
}

// whole says that what was read so far ends where a record does.
func (c *recordConn) whole() bool { return c.have == 0 && c.rest == 0 }
