package web

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// known serves next to requests that name this host, and refuses the others with
// 421 (RFC 9110, section 15.5.20). A page of anybody's may lead a name of its own
// to this port (DNS rebinding), and a browser would then let it read what is
// served here. Such a request names a host that is none of ours: not an address,
// which nobody can rebind, but a name. One without any Host comes from no browser.
func (h *health) known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := hostOf(r.Host)
		if _, err := netip.ParseAddr(host); err == nil || host == "" || host == "localhost" || h.named(host) {
			next.ServeHTTP(w, r)
			return
		}
		h.fail(w, r, http.StatusMisdirectedRequest, "tokend does not know itself as "+host+
			"; ask it by an IP address, localhost or the host's own name; behind a reverse proxy, set public_url in the tokend block to the URL that people use")
	})
}

// named reports whether a host is one of Options.Hosts.
func (h *health) named(host string) bool {
	return h.o.Hosts != nil && slices.ContainsFunc(h.o.Hosts(), func(name string) bool { return hostOf(name) == host })
}

// hostOf is a Host header's host as it is compared: without port, brackets and
// the dot of a full name, in lower case.
func hostOf(s string) string {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	} else {
		s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	}
	return strings.ToLower(strings.TrimSuffix(s, "."))
}
