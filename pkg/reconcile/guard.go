package reconcile

import (
	"fmt"
	"strings"
	"time"

	"tokend/pkg/spec"
)

// guardWindow is how far back the guard looks: many small changes within it
// count like one.
const guardWindow = time.Hour

// guardMinimum is the number of credentials (of sinks) from which on the
// percentage counts.
const guardMinimum = 5

// change is what one change of configuration would destroy.
type change struct {
	revocations int // credentials removed or replaced
	removed     int // sinks removed
	credentials int // all that the state has, but for those whose removal has begun
	sinks       int
	// emptied: the new configuration declares no credential at all, while the
	// state has some.
	emptied bool
}

// stricter is the limit that applies while a change is judged: a change that
// loosens the guard is judged by the guard as it was.
func stricter(a, b spec.Guard) spec.Guard {
	return spec.Guard{
		MaxRevocations:    min(a.MaxRevocations, b.MaxRevocations),
		MaxRevokedPercent: min(a.MaxRevokedPercent, b.MaxRevokedPercent),
		Settle:            max(a.Settle, b.Settle),
	}
}

// judge says by which rule, and why, a change that came at a time has to wait for
// a person; "" when it has not to.
func judge(g spec.Guard, log guardLog, came time.Time, c change) (HeldRule, string) {
	if c.revocations == 0 && c.removed == 0 {
		return "", ""
	}
	if c.emptied {
		return HeldEmptied, "the configuration declares no credential any more, while the state has " + count(c.credentials, "credential")
	}
	earlier := log.since(came.Add(-guardWindow)).tally()
	if n := c.revocations + c.removed + earlier.revocations + earlier.sinks; n > g.MaxRevocations {
		before := ""
		if n := earlier.revocations + earlier.sinks; n > 0 {
			before = fmt.Sprintf(" (with %d in the hour before)", n)
		}
		return HeldRevocations, fmt.Sprintf("the change would %s%s; guard.max_revocations is %d", c.words(), before, g.MaxRevocations)
	}
	tokens := share{c.revocations, c.credentials, earlier.revocations, earlier.gone}
	if tokens.over(g.MaxRevokedPercent) {
		return HeldPercent, fmt.Sprintf("the change would give up %s; guard.max_revoked_percent is %d", tokens.words("token"), g.MaxRevokedPercent)
	}
	places := share{c.removed, c.sinks, earlier.sinks, earlier.sinksGone}
	if places.over(g.MaxRevokedPercent) {
		return HeldPercent, fmt.Sprintf("the change would remove %s; guard.max_revoked_percent is %d", places.words("sink"), g.MaxRevokedPercent)
	}
	return "", ""
}

// words are what a change would do, without what it would not.
func (c change) words() string {
	var does []string
	if c.revocations > 0 {
		does = append(does, "give up "+count(c.revocations, "token"))
	}
	if c.removed > 0 {
		does = append(does, "remove "+count(c.removed, "sink"))
	}
	return strings.Join(does, " and ")
}

// share is what part of something a change would give up.
type share struct {
	now, of      int // of what the state has
	before, gone int // in the hour before: in all, and of those what the state does not have any more
}

func (s share) all() (n, of int) { return s.now + s.before, s.of + s.gone }

func (s share) over(percent int) bool {
	n, of := s.all()
	return s.now > 0 && over(n, of, percent)
}

// words are such as "3 of 12 tokens (25 %)" or, with those of the hour before,
// "1 token after 3 in the hour before, together 33 % of 12". Who is replaced again
// and again counts each time, so that it can be more than all.
func (s share) words(noun string) string {
	n, of := s.all()
	if s.before == 0 {
		return fmt.Sprintf("%d of %s (%d %%)", n, count(of, noun), n*100/of)
	}
	return fmt.Sprintf("%s after %d in the hour before, together %d %% of %d", count(s.now, noun), s.before, n*100/of, of)
}

func over(n, of, percent int) bool {
	return n > 0 && of >= guardMinimum && n*100 > of*percent
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if strings.HasSuffix(noun, "s") {
		noun += "e"
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
