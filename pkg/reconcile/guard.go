package reconcile

import (
	"encoding/json"
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
	credentials int // all that the state has
	sinks       int
	// emptied: the new configuration declares no credential at all, while the
	// state has some.
	emptied bool
}

// guardLog holds the times of destructive steps that configuration caused.
type guardLog struct {
	Begun []begun `json:"begun,omitempty"`
}

type begun struct {
	At          time.Time `json:"at"`
	Revocations int       `json:"revocations,omitempty"`
	Sinks       int       `json:"sinks,omitempty"`
}

func readGuardLog(b []byte) (guardLog, error) {
	var g guardLog
	if len(b) == 0 {
		return g, nil
	}
	if err := json.Unmarshal(b, &g); err != nil {
		return g, fmt.Errorf("reading the guard's log: %w", err)
	}
	return g, nil
}

// within keeps what counts at now.
func (g guardLog) within(now time.Time) guardLog {
	kept := guardLog{}
	for _, b := range g.Begun {
		if now.Sub(b.At) < guardWindow {
			kept.Begun = append(kept.Begun, b)
		}
	}
	return kept
}

func (g guardLog) sum() (revocations, sinks int) {
	for _, b := range g.Begun {
		revocations += b.Revocations
		sinks += b.Sinks
	}
	return revocations, sinks
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

// judge says why a change has to wait for a person, or "".
func judge(g spec.Guard, log guardLog, now time.Time, c change) string {
	if c.revocations == 0 && c.removed == 0 {
		return ""
	}
	if c.emptied {
		return "the configuration declares no credential any more, while the state has " + count(c.credentials, "credential")
	}
	revoked, cleaned := log.within(now).sum()
	before := ""
	if revoked+cleaned > 0 {
		before = fmt.Sprintf(" (with %d in the hour before)", revoked+cleaned)
	}
	if n := c.revocations + c.removed + revoked + cleaned; n > g.MaxRevocations {
		return fmt.Sprintf("the change would give up %s and remove %s%s; guard.max_revocations is %d",
			count(c.revocations, "token"), count(c.removed, "sink"), before, g.MaxRevocations)
	}
	if over(c.revocations+revoked, c.credentials+revoked, g.MaxRevokedPercent) {
		return fmt.Sprintf("the change would give up %d of %s%s; guard.max_revoked_percent is %d", c.revocations, count(c.credentials, "token"), before, g.MaxRevokedPercent)
	}
	if over(c.removed+cleaned, c.sinks+cleaned, g.MaxRevokedPercent) {
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
