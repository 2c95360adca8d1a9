package main

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"tokend/pkg/providers/login"
	"tokend/pkg/spec"
	"tokend/pkg/web"
)

// pageHosts are the names by which the status page is asked for. The one of
// public_url is that of a reverse proxy; it is the configuration's in force, and
// that of begin until one is.
func (d *service) pageHosts(begin *spec.Config) []string {
	in := begin
	if cfg := d.loop.Config(); cfg != nil {
		in = cfg
	}
	return namesOfPage(hostName(), begin.Settings().Listen, in.Settings().PublicURL)
}

func namesOfPage(host, listen, public string) []string {
	short, _, _ := strings.Cut(host, ".")
	names := []string{host, short}
	if name, _, err := net.SplitHostPort(listen); err == nil {
		names = append(names, name)
	}
	if u, err := url.Parse(public); err == nil {
		names = append(names, u.Hostname())
	}
	return names
}

// pageServes reports whether the daemon's pages, which listen at host:port, are
// where a redirect URI leads: at its own port on this machine, or behind public_url.
func pageServes(pages, public, uri string, local login.Loopback, isLocal bool) bool {
	if web.Reserved(pathOf(uri)) {
		return false
	}
	if !isLocal {
		at, err1 := url.Parse(uri)
		base, err2 := url.Parse(public)
		return err1 == nil && err2 == nil && public != "" && strings.EqualFold(at.Scheme, base.Scheme) && strings.EqualFold(at.Host, base.Host)
	}
	host, port, err := net.SplitHostPort(pages)
	if err != nil || port != strconv.Itoa(local.Port) {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsUnspecified() || ip != nil && ip.IsLoopback() && slices.Contains(local.Hosts(), ip.String())
}

func pathOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	return u.Path
}
