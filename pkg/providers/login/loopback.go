package login

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Loopback is a redirect URI on the machine where the browser runs (RFC 8252
// section 7.3), taken apart.
type Loopback struct {
	Host string // 127.0.0.1, ::1 or localhost, without brackets
	Port int    // 0: any free one
	Path string
	uri  *url.URL
}

// ParseLoopback takes a redirect URI apart; ok is false for one that a command
// cannot serve: of another machine, of another scheme than http, or none.
func ParseLoopback(uri string) (l Loopback, ok bool) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "http" || u.User != nil || u.Fragment != "" || !isLoopback(u.Hostname()) {
		return Loopback{}, false
	}
	l = Loopback{Host: strings.ToLower(u.Hostname()), Path: u.Path, uri: u}
	if l.Path == "" {
		l.Path = "/" // what a browser asks for then
	}
	if p := u.Port(); p != "" {
		if l.Port, err = strconv.Atoi(p); err != nil || l.Port > 65535 {
			return Loopback{}, false
		}
	}
	return l, true
}

// isLoopback reports whether a host, without port, is this machine to itself.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// At is the URI with another port; 0 leaves the port out.
func (l Loopback) At(port int) string {
	u := *l.uri
	u.Host = l.Host
	if port != 0 {
		u.Host = net.JoinHostPort(l.Host, strconv.Itoa(port))
	} else if strings.Contains(l.Host, ":") {
		u.Host = "[" + l.Host + "]"
	}
	return u.String()
}

// Hosts are the addresses to listen on: a browser tries both of localhost.
func (l Loopback) Hosts() []string {
	if l.Host == "localhost" {
		return []string{"127.0.0.1", "::1"}
	}
	return []string{l.Host}
}

// Serves reports whether a Host header names the redirect's own host and port.
func (l Loopback) Serves(host string, port int) bool {
	name, got, err := net.SplitHostPort(host)
	if err != nil {
		name, got = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), "80"
	}
	return strings.EqualFold(name, l.Host) && got == strconv.Itoa(port)
}
