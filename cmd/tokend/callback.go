package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"tokend/pkg/providers/login"
)

// callbackServer receives a login's redirect in the command that began it. It
// listens on loopback addresses only, and for as long as the login takes.
type callbackServer struct {
	at        login.Loopback
	port      int
	listeners []net.Listener
}

// listenCallback opens the port of a redirect URI, or a free one where that leaves
// it open. localhost is opened at both of its addresses, as far as the machine has
// them: a browser tries either.
func listenCallback(ctx context.Context, at login.Loopback) (*callbackServer, error) {
	s, err := openCallback(ctx, at)
	for n := 0; err != nil && at.Port == 0 && n < freePorts; n++ { // free at one address, taken at the other
		s, err = openCallback(ctx, at)
	}
	return s, err
}

// freePorts is how many more free ports are tried.
const freePorts = 8

func openCallback(ctx context.Context, at login.Loopback) (*callbackServer, error) {
	s := &callbackServer{at: at, port: at.Port}
	var lc net.ListenConfig
	for i, host := range at.Hosts() {
		ln, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(s.port)))
		if err != nil && i > 0 && (errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)) {
			continue // there is no IPv6 here
		}
		if err != nil {
			s.close()
			return nil, err
		}
		s.listeners = append(s.listeners, ln)
		if tcp, ok := ln.Addr().(*net.TCPAddr); ok {
			s.port = tcp.Port
		}
	}
	return s, nil
}

// takenWhy says in words why a port could not be opened.
func takenWhy(at login.Loopback, err error) string {
	where := net.JoinHostPort(at.Host, strconv.Itoa(at.Port))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return where + " is taken by another process"
	case errors.Is(err, syscall.EACCES):
		return where + " is reserved to root"
	}
	return where + " cannot be opened"
}

func (s *callbackServer) close() {
	for _, ln := range s.listeners {
		_ = ln.Close()
	}
}

const (
	callbackReadTimeout  = 15 * time.Second
	callbackWriteTimeout = 2 * time.Minute // an exchange has its own, shorter ones
	callbackGrace        = 2 * time.Second // for the page to reach the browser
)

// serve hands redirects to finish until ctx ends; then what the browser is being
// told comes to its end.
func (s *callbackServer) serve(ctx context.Context, finish func(ctx context.Context, redirected string) (string, error)) {
	srv := &http.Server{
		Handler: &login.Callback{
			Finish: func(ctx context.Context, _, redirected string) (string, error) {
				return finish(ctx, redirected)
			},
			Host: func(host string) bool { return s.at.Serves(host, s.port) },
			Path: func(path string) bool { return path == s.at.Path },
		},
		ReadHeaderTimeout: callbackReadTimeout, ReadTimeout: callbackReadTimeout, WriteTimeout: callbackWriteTimeout,
		MaxHeaderBytes: login.MaxRedirect,
		ErrorLog:       log.New(io.Discard, "", 0), // what somebody sends to the port is no matter of the person's
	}
	for _, ln := range s.listeners {
		go func() { _ = srv.Serve(ln) }()
	}
	<-ctx.Done()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), callbackGrace)
	defer cancel()
	if srv.Shutdown(end) != nil {
		_ = srv.Close()
	}
}

// uri is the redirect URI that it serves.
func (s *callbackServer) uri() string { return s.at.At(s.port) }

// String says where it listens.
func (s *callbackServer) String() string { return fmt.Sprintf("the callback at %s", s.uri()) }
