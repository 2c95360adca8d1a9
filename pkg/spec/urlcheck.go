package spec

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// urlMistake says why a request cannot be sent to an address, in words that
// follow a colon; "" where it can. clear: http is allowed to other machines too.
// The words quote nothing of the address.
func urlMistake(s string, clear bool) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return "it does not begin with https://" + exampleURL(s)
	}
	switch scheme = strings.ToLower(scheme); {
	case scheme != "http" && scheme != "https":
		return "requests are made by https, or http, and no other scheme"
	case strings.TrimLeft(rest, "/") == "":
		return "it has no host"
	}
	u, err := url.Parse(s)
	switch {
	case err != nil && strings.ContainsAny(rest, " \t\r\n"):
		return "there is a blank or the end of a line in it"
	case err != nil:
		return "it is not a URL"
	case u.Hostname() == "":
		return "it has no host"
	case u.User != nil:
		return "there is a user name or a password in it"
	case strings.Contains(s, "#"):
		return "it has a fragment (#)"
	case u.Scheme == "http" && !clear && !loopback(u.Hostname()):
		return "http is not encrypted, and the request carries secrets; use https, or set allow_insecure_http = true on the provider"
	}
	return ""
}

// exampleURL is what an address without a scheme was probably meant to be.
func exampleURL(s string) string {
	host, _, _ := strings.Cut(strings.TrimLeft(s, "/"), "/")
	if u, err := url.Parse("https://" + host); err != nil || u.Hostname() == "" || u.User != nil || !strings.Contains(u.Hostname(), ".") {
		return ""
	}
	return fmt.Sprintf(`, as in "https://%s"`, host)
}

// loopback reports whether a host is this machine itself.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
