package spec

import (
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// absentFiles warns of files that a block names in order to ask a server, and that
// are not there ([Attr.Asking]) or of no use: they may come later, and another host
// may have them. It looks at no more than whether they are there, and whether those of
// certificates hold one.
func absentFiles(f *form, sc *Schema, m map[string]cty.Value, whose string) Diagnostics {
	var diags Diagnostics
	for i := range sc.Attrs {
		at := &sc.Attrs[i]
		path, named := namedFile(m[at.Name])
		if !at.Asking || !named || m[at.Name].HasMark(sensitiveMark{}) {
			continue
		}
		// What else is in its way, such as its owner, is another's on the host.
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			d := problem(rangeIn(f, at.Name), "File is not there", "%s of %s: %s is not there. Nothing is asked of its server until it is; nothing else is concerned.", at.Name, whose, path)
			d.Severity = hcl.DiagWarning
			diags = append(diags, hinted(d, "create the file %s, or mend its name; it is looked for again by itself", path))
		case err == nil && at.Certificates && info.Mode().IsRegular() && !holdsCertificate(path):
			d := problem(rangeIn(f, at.Name), "File without a certificate", "%s of %s: %s holds no certificate in PEM. Nothing is asked of its server until it does; nothing else is concerned.", at.Name, whose, path)
			d.Severity = hcl.DiagWarning
			diags = append(diags, hinted(d, "put the certificate into it, from -----BEGIN CERTIFICATE----- on; it is read again by itself"))
		}
	}
	return diags
}

// certificatesAtMost is how much of a file of certificates is looked into: that of a
// whole system has a few hundred KiB.
const certificatesAtMost = 4 << 20

// holdsCertificate reports whether a file holds a certificate, or cannot be read here.
func holdsCertificate(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return true
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, certificatesAtMost))
	return err != nil || x509.NewCertPool().AppendCertsFromPEM(b)
}

// absentOf is absentFiles of a block inside a block, where it is given.
func (l *loader) absentOf(f *form, sc *Schema, m map[string]cty.Value, name, whose string) {
	inner, given := section{f: f, v: NewValues(m)}.block(name)
	if !given {
		return
	}
	for i := range sc.Blocks {
		if b := &sc.Blocks[i]; b.Name == name {
			l.report(absentFiles(inner.f, &b.Schema, m[name].AsValueMap(), whose)...)
		}
	}
}

// AskingFiles are the files without which nothing can be asked of servers of providers
// and Vaults ([Attr.Asking]), there or not: whoever watches them knows when one that
// failed may be asked again. Where a file is named by a secret it is not among them.
func (c *Config) AskingFiles() []string {
	var out []string
	for _, a := range sortedAddressKeys(c.providers) {
		if p, err := c.Provider(a, Scope{}); err == nil {
			out = append(out, p.HTTP.CAFile, p.HTTP.ClientCertFile, p.HTTP.ClientKeyFile)
		}
	}
	for _, a := range c.Vaults() {
		b, err := c.Vault(a, Scope{})
		if err != nil {
			continue
		}
		for i := range c.vaultSchema.Attrs {
			at := &c.vaultSchema.Attrs[i]
			if path, named := namedFile(b.Args.Cty(at.Name)); at.Asking && named {
				out = append(out, path)
			}
		}
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" })
}
