package policy

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"tokend/pkg/spec"
)

// hint is the next move after a violation.
const hint = "change the configuration, or have the owner of this host change the policy"

const (
	most  = 50 // refusals of one configuration that are told
	named = 3  // further addresses of one refusal that are named
)

// refusals are what a policy forbids of one configuration. What is forbidden of
// the instances of one block, and of several blocks at one place for one reason, is
// said once, with the first of them and how many there are.
type refusals struct {
	list  []*refusal
	known map[refusalKey]*refusal
}

// refusal is one of them: who at one place is forbidden what.
type refusal struct {
	at     *hcl.Range
	first  string // the address
	why    string // of the first
	others []string
}

// refusalKey is what refusals have in common that are one: a place, and a block or
// a reason.
type refusalKey struct {
	place, block, why string
}

// add notes that something of who is forbidden.
func (r *refusals) add(at *hcl.Range, who, why string) {
	place := ""
	if at != nil {
		place = fmt.Sprintf("%s:%d-%d", at.Filename, at.Start.Byte, at.End.Byte)
	}
	block, _, _ := strings.Cut(who, "[")
	if r.known == nil {
		r.known = map[refusalKey]*refusal{}
	}
	like := []refusalKey{{place, "", why}}
	if block != who {
		like = append(like, refusalKey{place, block, ""})
	}
	for _, k := range like {
		same := r.known[k]
		switch {
		case same == nil:
		case same.why == why && same.first == who, len(same.others) > 0 && same.others[len(same.others)-1] == who: // which is asked about at once
			return
		case same.first == who: // another reason of the same one
		default:
			same.others = append(same.others, who)
			return
		}
	}
	if len(r.list) == most {
		return
	}
	n := &refusal{at: at, first: who, why: why}
	r.list = append(r.list, n)
	for _, k := range like {
		if r.known[k] == nil {
			r.known[k] = n
		}
	}
}

func (r *refusals) diagnostics() hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, n := range r.list {
		diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: Summary, Detail: n.detail(), Subject: n.at, Extra: spec.Hinted{Hint: hint}})
	}
	return diags
}

func (n *refusal) detail() string {
	said := fmt.Sprintf("%s: %s.", n.first, n.why)
	if len(n.others) == 0 {
		return said
	}
	shown := n.others
	more := ""
	if len(shown) > named {
		shown, more = shown[:named], fmt.Sprintf(" and %d more", len(n.others)-named)
	}
	return fmt.Sprintf("%s Likewise %s%s.", said, strings.Join(shown, ", "), more)
}
