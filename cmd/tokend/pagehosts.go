package main

import (
	"net"
	"net/url"
	"strings"

	"tokend/pkg/spec"
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
