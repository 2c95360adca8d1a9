package policy

import "tokend/pkg/spec"

// asked is one thing that a block uses: the nested block that says it ("" for
// the block itself), and why it is forbidden, or nil.
type asked struct {
	arg string
	err error
}

func first(all []asked) error {
	for _, a := range all {
		if a.err != nil {
			return a.err
		}
	}
	return nil
}

// VaultUse says whether a vault block may be used as it is: its server, its
// login, the files that it reads. It is asked again whenever tokend logs in,
// since what was accepted before may have met a stricter policy.
func (p *Policy) VaultUse(b *spec.Block) error { return first(p.vault(b)) }

func (p *Policy) vault(b *spec.Block) []asked {
	var all []asked
	if address, ok := text(b.Args, "address"); ok {
		namespace, _ := text(b.Args, "namespace") // what is not known yet is asked about when it is used
		name, _ := text(b.Args, "tls_server_name")
		all = append(all, asked{"", p.Vault(address, namespace, name)})
	}
	for _, n := range []string{"ca_file", "ca_dir", "client_cert_file", "client_key_file"} {
		all = append(all, p.outside(n, b.Args, n)...)
	}
	auth, ok := b.Args.Nested("auth")
	if !ok {
		return all
	}
	if mount, ok := text(auth, "mount"); ok && (mount != "" || b.Kind == "approle" || b.Kind == "jwt") {
		if mount == "" {
			mount = b.Kind
		}
		all = append(all, asked{"auth", p.Mount(mount)})
	}
	return append(all, p.outside("auth", auth, "path")...)
}

// outside asks about a file that must not come with the configuration.
func (p *Policy) outside(arg string, args spec.Values, n string) []asked {
	if v, ok := text(args, n); ok && v != "" {
		return []asked{{arg, p.ReadOutside(v)}}
	}
	return nil
}

// Client says whether a provider of a type may be asked by these settings: its
// proxy, its certificates. It is asked again at each request.
func (p *Policy) Client(typ string, h spec.HTTPSettings) error { return first(p.client(typ, h)) }

func (p *Policy) client(typ string, h spec.HTTPSettings) []asked {
	var all []asked
	if h.Proxy != "" {
		all = append(all, asked{"http", p.Proxy(typ, h.Proxy)})
	}
	for _, f := range []string{h.CAFile, h.ClientCertFile, h.ClientKeyFile} {
		if f != "" {
			all = append(all, asked{"http", p.ReadOutside(f)})
		}
	}
	return all
}
