package spec

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// accountClaim says with which account a credential logs in, where an account has one
// session: a hash of its provider, its grant and all inputs of that.
type accountClaim struct {
	account [sha256.Size]byte
	res     *resource
	addr    Address
	at      hcl.Range
}

// accountCheck notes the accounts of a block's instances. Nil notes nothing.
type accountCheck struct {
	k        *checker
	p        *credentialPlan
	res      *resource
	provider Address
	args     map[string]cty.Value // of the first instance, by which the others are as it is
}

// accountsOf is nil where a type's logins end no other session, and where a person
// decides which account it is.
func (k *checker) accountsOf(p *credentialPlan, res *resource) *accountCheck {
	if p.typ.Session != SessionOnePerAccount || p.grant.Interactive() || p.grant.Static || k.l.o.WasInForce {
		return nil
	}
	return &accountCheck{k: k, p: p, res: res}
}

// instance notes the account of one. m are its arguments: of the first all, of the
// others those that differ. What comes from a secret is the same where it is said by
// the same words, whatever it is; other words may mean the same, which is found once
// both log in.
func (a *accountCheck) instance(in *instance, m map[string]cty.Value, first bool) {
	if a == nil || in.set != nil && in.set.guess {
		return
	}
	if first {
		a.args = m
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %q", a.provider, a.p.grant.Name)
	for i := range a.p.inputs {
		input := &a.p.inputs[i]
		arg := a.p.form.arg(input.Name)
		if !input.Given || input.Name == "scopes" {
			continue
		}
		v, has := m[input.Name]
		if !has {
			v, has = a.args[input.Name]
		}
		if b, err := encode(v); has && v != cty.NilVal && v.IsWhollyKnown() && err == nil {
			fmt.Fprintf(h, " %q is %q", input.Name, b)
			continue
		}
		fmt.Fprintf(h, " %q as %q", input.Name, a.p.form.text(arg.name))
		if arg.varies() {
			fmt.Fprintf(h, " of %q", in.address())
		}
	}
	c := accountClaim{res: a.res, addr: in.address(), at: a.p.form.header()}
	h.Sum(c.account[:0])
	a.k.accounts = append(a.k.accounts, c)
}

// text is an argument's expression as it stands in its file.
func (f *form) text(name string) string {
	for _, row := range f.src.attrs[f.row.attrs:f.row.attrsEnd] {
		if f.src.ident(row.name) == name {
			return f.src.cut(row.expr)
		}
	}
	return ""
}

// checkAccounts warns of credentials that end each other's session, once for each block.
func (l *loader) checkAccounts(claims []accountClaim) {
	slices.SortFunc(claims, func(a, b accountClaim) int {
		return cmp.Or(cmp.Compare(a.at.Filename, b.at.Filename), cmp.Compare(a.at.Start.Byte, b.at.Start.Byte), cmp.Compare(a.addr, b.addr))
	})
	first := make(map[[sha256.Size]byte]*accountClaim, len(claims))
	said := map[*resource]bool{}
	for i := range claims {
		b := &claims[i]
		a, taken := first[b.account]
		if !taken {
			first[b.account] = b
			continue
		}
		if said[b.res] {
			continue
		}
		said[b.res] = true
		where := ""
		if a.res != b.res {
			where = fmt.Sprintf(" (%s:%d)", a.at.Filename, a.at.Start.Line)
		}
		d := problem(b.at, "Two credentials with one session", "%s logs in with the account of %s%s, and its type says that an account has one session (session = \"one_per_account\"): "+
			"the login of one ends the token of the other.", b.addr, a.addr, where)
		d.Severity = hcl.DiagWarning
		l.report(hinted(d, "declare one of them and let the sinks of both name it, or give each an account of its own"))
	}
}
