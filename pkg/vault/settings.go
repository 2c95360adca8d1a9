package vault

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
)

// DefaultTimeout bounds one request where the block sets no timeout.
const DefaultTimeout = 10 * time.Second

// Settings are those of one `vault` block, evaluated.
type Settings struct {
	Address        string // http:// or https://, host and port
	Namespace      string
	CAFile         string // paths are absolute
	CADir          string
	ClientCertFile string
	ClientKeyFile  string
	TLSServerName  string
	Timeout        time.Duration // of one request; 0: DefaultTimeout
	AuthKind       string        // a name in AuthSchemas
	Auth           spec.Values   // the arguments of the auth block
}

// Schema lists the arguments of a `vault` block, without its `auth` block: see
// [AuthSchemas].
func Schema() spec.Schema {
	str := func(name, doc string) spec.Attr { return spec.Attr{Name: name, Type: cty.String, Doc: doc} }
	file := func(name, doc string) spec.Attr {
		return spec.Attr{Name: name, Type: cty.String, Path: true, Asking: true, Doc: doc}
	}
	certificates := func(name, doc string) spec.Attr {
		at := file(name, doc)
		at.Certificates = true
		return at
	}
	address := str("address", "URL of the server, such as https://vault.example.com:8200")
	address.Required, address.URL = true, true
	timeout := str("timeout", "how long one request may take")
	timeout.Duration, timeout.Default = true, DefaultTimeout.String()
	return spec.Schema{
		Doc: "A Vault server and how to log in to it.",
		Attrs: []spec.Attr{
			address,
			str("namespace", "Vault Enterprise namespace"),
			certificates("ca_file", "PEM file with the certificates that sign Vault's; default: the system's"),
			file("ca_dir", "directory of such files"),
			certificates("client_cert_file", "PEM certificate that is shown to Vault"),
			file("client_key_file", "its private key"),
			str("tls_server_name", "name expected in Vault's certificate, where it is not the host in address"),
			timeout,
		},
	}
}

// SettingsFrom reads an evaluated `vault` block.
func SettingsFrom(b *spec.Block) (Settings, error) {
	s := Settings{AuthKind: b.Kind}
	for name, to := range map[string]*string{
		"address": &s.Address, "namespace": &s.Namespace, "ca_file": &s.CAFile, "ca_dir": &s.CADir,
		"client_cert_file": &s.ClientCertFile, "client_key_file": &s.ClientKeyFile, "tls_server_name": &s.TLSServerName,
	} {
		v, err := b.Args.String(name)
		if err != nil {
			return Settings{}, fmt.Errorf("reading the settings of %s: %w", b.Addr, err)
		}
		*to = v
	}
	timeout, err := b.Args.Duration("timeout", DefaultTimeout)
	if err != nil {
		return Settings{}, fmt.Errorf("reading the settings of %s: %w", b.Addr, err)
	}
	s.Timeout = timeout
	s.Auth, _ = b.Args.Nested("auth")
	return s, s.check(b.Addr)
}

// check finds what would only fail later, and less clearly.
func (s Settings) check(name spec.Address) error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("reading the settings of %s: %s", name, fmt.Sprintf(format, a...))
	}
	u, err := url.Parse(s.Address)
	switch {
	case s.Address == "":
		return bad("address is missing")
	case err != nil, u.Host == "", u.Scheme != "http" && u.Scheme != "https":
		return bad("address must be a URL like https://vault.example.com:8200")
	case u.User != nil:
		return bad("address must not contain a user or password")
	case u.RawQuery != "" || u.Fragment != "":
		return bad("address must not contain ? or #")
	case (s.ClientCertFile == "") != (s.ClientKeyFile == ""):
		return bad("client_cert_file and client_key_file go together")
	case s.Timeout < 0:
		return bad("timeout must not be negative")
	case s.AuthKind == "":
		return bad("an auth block is missing: add one like auth \"token_file\" { path = … }")
	}
	if _, ok := authKinds()[s.AuthKind]; !ok {
		return bad("there is no auth kind %q", s.AuthKind)
	}
	return nil
}

// insecure reports whether the token would cross a network in clear.
func (s Settings) insecure() bool {
	u, err := url.Parse(s.Address)
	if err != nil || u.Scheme != "http" {
		return false
	}
	host := u.Hostname()
	return host != "localhost" && host != "::1" && !strings.HasPrefix(host, "127.")
}

// fingerprint is equal for settings that are the same. It is made from secrets:
// it stays in memory.
type fingerprint [sha256.Size]byte

// server identifies where requests go and how the connection is secured.
func (s Settings) server() fingerprint {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %q %q %q %q %d", s.Address, s.Namespace, s.CAFile, s.CADir, s.ClientCertFile, s.ClientKeyFile, s.TLSServerName, s.Timeout)
	return fingerprint(h.Sum(nil))
}

// stamps change when the certificates of authorities do.
func (s Settings) stamps() string {
	var out string
	for _, file := range []string{s.CAFile, s.CADir} {
		if file != "" {
			out += stamp(file) + "/"
		}
	}
	return out
}

// proof identifies what a login is made with: the auth block's values, and the
// state of the file that they name, where they name one.
type proof struct {
	values fingerprint
	file   string
	stamp  string
}

// proof is taken before the file is read: a change in between is then seen.
func (s Settings) proof() (proof, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%q", s.AuthKind)
	for _, name := range s.Auth.Names() {
		b, err := s.Auth.Canonical(name)
		if err != nil {
			return proof{}, fmt.Errorf("reading the auth block: %w", err)
		}
		fmt.Fprintf(h, " %q=%q", name, b)
	}
	p := proof{values: fingerprint(h.Sum(nil))}
	if argument := authKinds()[s.AuthKind].file; argument != "" {
		file, err := s.Auth.String(argument)
		if err != nil {
			return proof{}, fmt.Errorf("reading the auth block: %w", err)
		}
		p.file, p.stamp = file, stamp(file)
	}
	return p, nil
}

// fileChanged reports whether the file is another now, and not the one with the
// stamp tried either.
func (p proof) fileChanged(tried string) bool {
	if p.file == "" {
		return false
	}
	now := stamp(p.file)
	return now != p.stamp && now != tried
}

// secrets are what no error may show.
func (s Settings) secrets() []secret.Text {
	var out []secret.Text
	for _, name := range s.Auth.Names() {
		if !spec.IsSensitive(s.Auth.Cty(name)) {
			continue
		}
		if t, err := s.Auth.Secret(name); err == nil {
			out = append(out, t)
		}
	}
	return out
}

// stamp changes when a file is written or replaced (the inode tells a file from
// one that replaced it within a tick of the file system's clock); "" when it
// cannot be seen.
func stamp(path string) string {
	fi, err := os.Stat(path)
	if err != nil {
		return ""
	}
	var inode uint64
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		inode = uint64(st.Ino)
	}
	return fmt.Sprintf("%d %d %d", fi.ModTime().UnixNano(), fi.Size(), inode)
}
