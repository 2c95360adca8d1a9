package reconcile

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"tokend/pkg/secret"
	"tokend/pkg/sinks"
	"tokend/pkg/spec"
)

// Away from the host neither a place can be looked at nor what is hidden in it be
// known. What a sink would be given can still be compared with what it was given:
// its kind renders both with the same invented tokens and secrets, and the hashes
// of that tell whether there is something to write. So a block may be said in
// other words, renamed, or call its credential by another name.
//
// What is invented could happen to look alike where the real thing does not, so it
// is done twice: with what any format takes as it is and that can be read as a
// JWT, and with what has to be quoted. Where the two disagree, only the real thing
// tells.

// ExportedPortrait is what is exported of what a sink's place is: with invented
// values instead of tokens and secrets, and hashed.
type ExportedPortrait struct {
	Holds   []string            `json:"holds"`             // its content, once for each invention; "" where it cannot be made with one
	Parts   string              `json:"parts,omitempty"`   // the names of its parts
	Traits  map[string][]string `json:"traits,omitempty"`  // what else is compared, such as its mode: in clear
	Secrets []string            `json:"secrets,omitempty"` // what it names that may hold what something else holds: secrets and keys
	Target  string              `json:"target,omitempty"`  // what the configuration says of the Vault that it is in
}

// inventions are the ways in which values are invented.
const inventions = 2

// likeness is what a comparison of two portraits says.
type likeness int

const (
	unclear likeness = iota // only what is hidden tells
	alike                   // there is nothing to write
	unlike                  // it has to be written
)

// invent is an invented value, the same for the same place of the same record.
func (x *Export) invent(way int, addr, member string) string {
	b, _ := base64.RawURLEncoding.DecodeString(x.hash("invented", fmt.Appendf(nil, "%d %s %s", way, addr, member))) // it is a hash in this very form
	if way > 0 {
		return `it's "` + hex.EncodeToString(b) + `" $x\y #z`
	}
	part := base64.RawURLEncoding.EncodeToString
	claims := fmt.Sprintf(`{"sub":%q,"iss":%q,"iat":%d,"exp":%d}`, hex.EncodeToString(b[:8]), hex.EncodeToString(b[8:]), 1<<30+int(b[0]), int64(1)<<31+int64(b[1]))
	return part([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + part([]byte(claims)) + "." + part(b)
}

// attributes are those of an exported credential, with an invented token.
func (x *Export) attributes(way int, c *ExportedCredential) (spec.Attributes, error) {
	g := c.Grant
	if g == nil || g.Unspent {
		return spec.Attributes{}, errNoToken
	}
	at := spec.Attributes{Generation: g.Generation, ExpiresAt: g.ExpiresAt, ObtainedAt: g.ObtainedAt, HeaderName: "Authorization", TokenType: "Bearer"}
	if way > 0 {
		at.HeaderName, at.TokenType = "x-token", "token"
	}
	at.Scopes = []string{x.invent(way, c.Address, "scopes")}
	if !g.Tokenless {
		token := x.invent(way, c.Address, "access_token")
		at.AccessToken, at.Header = secret.New(token), secret.New(at.TokenType+" "+token)
	}
	if g.Refreshable {
		at.RefreshToken = secret.New(x.invent(way, c.Address, "refresh_token"))
	}
	outputs := make(map[string]string, len(g.Outputs))
	for _, n := range g.Outputs {
		outputs[n] = x.invent(way, c.Address, "output "+n)
	}
	at.Outputs = spec.TextValues(outputs)
	return at, nil
}

// portraitOf renders a sink as a configuration says it, with what is invented for
// it. at gives the attributes of a credential; written is the account of its last
// write, nil of what it shall be. It is nil where that cannot be made with what is
// invented, and an error says what is wrong with the sink.
func (x *Export) portraitOf(kind sinks.Sink, cfg *spec.Config, addr string, at func(way int, a spec.Address) (spec.Attributes, error), written []byte) (*ExportedPortrait, error) {
	p := &ExportedPortrait{Holds: make([]string, inventions)}
	made := false
	for way := range inventions {
		args, reached, err := cfg.SinkArgsFrom(spec.Address(addr), spec.Scope{
			Credential: func(a spec.Address) (spec.Attributes, error) { return at(way, a) },
			Secret: cfg.InventedSecrets(spec.Address(addr), func(a spec.Address, member string) string {
				return x.invent(way, string(a), member)
			}),
		})
		if err != nil {
			continue // it is made of more than its text
		}
		if reached {
			return nil, nil // what a sensitive variable holds could be guessed from it
		}
		d, err := kind.Render(args)
		if err != nil && way == 0 {
			return nil, err // with values that anything takes: they are not what is wrong
		}
		if err != nil {
			continue
		}
		is, err := kind.Portray(d, written, func(content []byte) string { return x.hash(fmt.Sprint("holds ", way), content) })
		if err != nil {
			return nil, err
		}
		p.Holds[way] = is.Content
		p.Traits, made = is.Traits, true
		if is.Parts != nil {
			p.Parts = x.hash("parts", []byte(strings.Join(is.Parts, "\x00")))
		}
		p.Target = x.target(cfg, spec.Address(d.Target))
	}
	if !made {
		return nil, nil
	}
	return p, nil
}

// target is a hash of what a configuration says of a Vault that is neither hidden
// nor about who logs in there; "" where it says nothing.
func (x *Export) target(cfg *spec.Config, a spec.Address) string {
	vault, err := cfg.Vault(a, spec.Scope{})
	if err != nil {
		return ""
	}
	said := []byte(vault.Kind)
	for _, n := range vault.Args.Names() {
		v := vault.Args.Cty(n)
		if v.IsNull() || !v.IsWhollyKnown() || spec.IsSensitive(v) {
			continue
		}
		if b, err := vault.Args.Canonical(n); err == nil {
			said = fmt.Appendf(said, "\n%q %q", n, b)
		}
	}
	return x.hash("target", said)
}

// likeness compares what a sink shall be with what was exported of it.
func (is *ExportedPortrait) likeness(want *ExportedPortrait) likeness {
	if is == nil || want == nil || len(is.Holds) != len(want.Holds) {
		return unclear
	}
	for trait, values := range want.Traits {
		if !slices.ContainsFunc(values, func(v string) bool { return slices.Contains(is.Traits[trait], v) }) {
			return unlike
		}
	}
	same, other := 0, 0
	for i := range want.Holds {
		switch {
		case is.Holds[i] == want.Holds[i] && is.Holds[i] != "":
			same++
		case is.Holds[i] != want.Holds[i]:
			other++
		}
	}
	switch {
	case same > 0 && other > 0, same+other == 0:
		return unclear
	case other > 0 && is.Parts == want.Parts && !slices.Equal(is.Secrets, want.Secrets):
		return unclear // one secret may hold what another one holds
	case other > 0:
		return unlike
	case is.Target != want.Target:
		return unclear // another Vault, or the same one by other words
	}
	return alike
}

// exportPortrait portrays a sink by what a configuration says of it, and by the
// account of its last write.
func (w *worker) exportPortrait(x *Export, by *spec.Config, s *ExportedSink, account []byte) error {
	if account == nil {
		return nil
	}
	kind, err := w.sinkKind(s.Kind)
	if err != nil {
		return err
	}
	at := func(way int, a spec.Address) (spec.Attributes, error) { return x.attributesAt(way, string(a)) }
	if s.Portrait, err = x.portraitOf(kind, by, s.Address, at, account); err != nil || s.Portrait == nil {

		return nil // what cannot be rendered with invented values is not told
	}
	uses, _ := by.Uses(spec.Address(s.Address)) // it was rendered a moment ago
	s.Portrait.Secrets = x.hiding(uses, func(a string) string { return a })
	return nil
}

// attributesAt are those of the credential that was exported under an address.
func (x *Export) attributesAt(way int, addr string) (spec.Attributes, error) {
	c := x.credential(addr)
	if c == nil {
		return spec.Attributes{}, errNoToken
	}
	return x.attributes(way, c)
}

// credential is what was exported of a credential, nil where that is nothing.
func (x *Export) credential(addr string) *ExportedCredential {
	i, ok := slices.BinarySearchFunc(x.Credentials, addr, func(c ExportedCredential, a string) int { return strings.Compare(c.Address, a) })
	if !ok {
		return nil
	}
	return &x.Credentials[i]
}

// hiding lists what of the things that a sink names may hold the same as another
// one: secrets, and the credentials that are a key. recorded gives the address of
// a record.
func (x *Export) hiding(uses []spec.Address, recorded func(string) string) []string {
	var out []string
	for _, u := range uses {
		a := string(u)
		if u.Kind() == "credential" {
			a = recorded(a)
			if c := x.credential(a); c == nil || c.Grant == nil || !c.Grant.Traits.Static {
				continue
			}
		}
		out = append(out, a)
	}
	slices.Sort(out)
	return out
}
