package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"
)

const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	// writeTimeout lets a slow reader have a list of a hundred thousand addresses.
	writeTimeout = time.Minute
	idleTimeout  = 2 * time.Minute
	// maxHeaderBytes has room for the longest redirect that a login may end with.
	maxHeaderBytes = 64 << 10
	// maxConnections is how many there are at once, each of some 20 KiB: whoever
	// reaches the port could take the daemon's memory otherwise. The next one takes
	// the place of one that is idle between requests, or waits until one ends.
	maxConnections = 512
	// grace is how long requests under way may take to end after a stop.
	grace = 5 * time.Second
)

// Listen opens host:port, as `listen` has it. A caller that listens before it
// says that it has started finds a port that is taken in time.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, fmt.Errorf(`listening on %q: listen is host:port, as in "127.0.0.1:8250": %w`, addr, err)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %s: %w", addr, listenHint(addr, err), err)
	}
	return ln, nil
}

// listenHint says what a person can do about it.
func listenHint(addr string, err error) string {
	_, port, _ := net.SplitHostPort(addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Sprintf("another process has taken port %s (`ss -ltnp 'sport = :%s'` shows which); stop it, or set another port as listen in the tokend block", port, port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine has no such address; set listen in the tokend block to one that it has, or to 127.0.0.1"
	case errors.Is(err, syscall.EACCES):
		return fmt.Sprintf("port %s is reserved to root; set listen in the tokend block to a port above 1023", port)
	}
	return "check listen in the tokend block"
}

// Serve listens on addr (host:port) and serves h until ctx ends, which is no
// error. Then no connection is taken any more, and requests under way have a
// few seconds to end.
func Serve(ctx context.Context, addr string, h http.Handler, log *slog.Logger) error {
	ln, err := Listen(ctx, addr)
	if err != nil {
		return err
	}
	return ServeListener(ctx, ln, h, log)
}

// ServeListener is Serve on what [Listen] opened. It closes ln.
func ServeListener(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	room := newBounded(ln, maxConnections)
	srv := &http.Server{
		Handler:           h,
		ConnState:         room.state,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(room) }()
	log.Info("serving health and metrics", "listen", ln.Addr().String())
	select {
	case err := <-failed:
		return fmt.Errorf("serving %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	// ctx has ended; what is under way may still end well.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := srv.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close() // whoever reads that slowly has to ask again
	}
	<-failed
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("closing %s: %w", ln.Addr(), err)
	}
	return nil
}
