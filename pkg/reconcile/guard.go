package reconcile

import (
	"fmt"
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

// judge says why a change that came at a time has to wait for a person, or "".
func judge(g spec.Guard, log guardLog, came time.Time, c change) string {
	if c.revocations == 0 && c.removed == 0 {
		return ""
	}
	if c.emptied {
		return "the configuration declares no credential any more, while the state has " + count(c.credentials, "credential")
	}
	earlier := log.since(came.Add(-guardWindow)).tally()
	before := ""
	if n := earlier.revocations + earlier.sinks; n > 0 {
		before = fmt.Sprintf(" (with %d in the hour before)", n)
	}
	if n := c.revocations + c.removed + earlier.revocations + earlier.sinks; n > g.MaxRevocations {
		return fmt.Sprintf("the change would give up %s and remove %s%s; guard.max_revocations is %d",
			count(c.revocations, "token"), count(c.removed, "sink"), before, g.MaxRevocations)
	}
	if c.revocations > 0 && over(c.revocations+earlier.revocations, c.credentials+earlier.gone, g.MaxRevokedPercent) {
		return fmt.Sprintf("the change would give up %d of %s%s; guard.max_revoked_percent is %d", c.revocations, count(c.credentials, "token"), before, g.MaxRevokedPercent)
	}
	if c.removed > 0 && over(c.removed+earlier.sinks, c.sinks+earlier.sinksGone, g.MaxRevokedPercent) {
		return fmt.Sprintf("the change would remove %d of %s%s; guard.max_revoked_percent is %d", c.removed, count(c.sinks, "sink"), before, g.MaxRevokedPercent)
	}
	return ""
}

func over(n, of, percent int) bool {
	return n > 0 && of >= guardMinimum && n*100 > of*percent
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
