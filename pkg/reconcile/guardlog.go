package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tokend/pkg/state"
)

// guardLog holds the destructive steps that the guard has let go, from before
// they can begin until they no longer count. It is on disk before the first of
// them can act, so that no crash makes room for more.
type guardLog struct {
	Steps []letGo `json:"steps,omitempty"`
}

// letGo is one step that may go ahead.
type letGo struct {
	Address string `json:"address"`
	// Digest is what exactly it was let go for: the same address may be destroyed
	// for another reason later, which is another step.
	Digest   string    `json:"digest"`
	At       time.Time `json:"at"`              // when it was let go, then when it began
	Begun    bool      `json:"begun,omitempty"` // it acts or has acted; before, it counts however long it waits
	Sink     bool      `json:"sink,omitempty"`
	Replaced bool      `json:"replaced,omitempty"` // its credential lives on with another token, or the sink at another place
	// Approved: a person has let this very step go, so that it counts for nothing:
	// the guard limits what goes without one.
	Approved bool `json:"approved,omitempty"`
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

// since keeps what counts from a time on.
func (g guardLog) since(from time.Time) guardLog {
	kept := guardLog{}
	for _, s := range g.Steps {
		if !s.Begun || s.At.After(from) {
			kept.Steps = append(kept.Steps, s)
		}
	}
	return kept
}

// pending are the steps that were let go and have not begun: address -> what
// exactly for.
func (g guardLog) pending() map[string]string {
	m := map[string]string{}
	for _, s := range g.Steps {
		if !s.Begun {
			m[s.Address] = s.Digest
		}
	}
	return m
}

// withdraw takes out the steps that were let go and will not come, because the
// configuration changed again, but those that work which is under way may have begun
// (atWork): nobody was told yet. After a start it is not known whether one that is not
// there any more has begun, so all of those count as if they had.
func (g guardLog) withdraw(all []candidate, started bool, atWork func(addr string) bool) guardLog {
	comes := map[string]string{}
	for _, c := range all {
		comes[c.addr] = c.digest
	}
	kept := guardLog{}
	for _, s := range g.Steps {
		switch {
		case s.Begun || comes[s.Address] == s.Digest || comes[s.Address] == "" && atWork(s.Address):
		case started:
			s.Begun = true
		default:
			continue
		}
		kept.Steps = append(kept.Steps, s)
	}
	return kept
}

// notBegun are the candidates without those whose step was waiting in an earlier log,
// and has begun since: they were looked at before, and count already.
func (g guardLog) notBegun(all []candidate, waited map[string]string) []candidate {
	begun := map[string]string{}
	for _, s := range g.Steps {
		if s.Begun && s.Digest != "" && waited[s.Address] == s.Digest {
			begun[s.Address] = s.Digest
		}
	}
	return slices.DeleteFunc(all, func(c candidate) bool { return begun[c.addr] == c.digest })
}

// with adds steps that may go ahead, but those that are there, that revoke
// nothing, or that a person does.
func (g guardLog) with(all []candidate, at time.Time) guardLog {
	there := g.pending()
	out := guardLog{Steps: slices.Clone(g.Steps)}
	for _, c := range all {
		if there[c.addr] == c.digest || c.forget || c.person {
			continue
		}
		out.Steps = append(out.Steps, letGo{Address: c.addr, Digest: c.digest, At: at, Sink: c.sink, Replaced: c.replaced})
	}
	return out
}

// withApproved adds steps that a person has let go.
func (g guardLog) withApproved(all []candidate, at time.Time) guardLog {
	out := g.with(all, at)
	agreed := map[string]string{}
	for _, c := range all {
		agreed[c.addr] = c.digest
	}
	for i := range out.Steps {
		s := &out.Steps[i]
		if digest, ok := agreed[s.Address]; ok && !s.Begun && s.Digest == digest {
			s.Approved = true
		}
	}
	return out
}

// tally counts the steps of a log that nobody has approved.
type tally struct {
	revocations int // credentials removed or replaced
	gone        int // of those, removed, and not counted among what the state has any more
	sinks       int
	sinksGone   int
}

func (g guardLog) tally() tally {
	var t tally
	for _, s := range g.Steps {
		switch {
		case s.Approved:
		case s.Sink:
			t.sinks++
			if s.Begun && !s.Replaced {
				t.sinksGone++
			}
		default:
			t.revocations++
			if s.Begun && !s.Replaced {
				t.gone++
			}
		}
	}
	return t
}

// begun is a destructive step that a worker has begun.
type begun struct {
	Revocations int
	Sinks       int
	Replaced    bool
}

// began notes in the guard's log that a step acts. That it may is on disk
// already, so this is written without haste: with the next such note, if one
// is on its way.
func (l *Loop) began(addr string, b begun) {
	now, found := l.o.Now(), false
	for i := range l.guard.Steps {
		if s := &l.guard.Steps[i]; s.Address == addr && !s.Begun {
			s.Begun, s.At, found = true, now, true
			break
		}
	}
	if !found {
		l.guard.Steps = append(l.guard.Steps, letGo{Address: addr, At: now, Begun: true, Sink: b.Sinks > 0, Replaced: b.Replaced})
	}
	l.writeGuardLog()
}

// takeLog makes a log that was worked out from a copy the one in force. What
// began since the copy was taken has begun in it, too. It runs in the loop's
// goroutine.
func (l *Loop) takeLog(log guardLog) {
	later, hour := false, l.o.Now().Add(-guardWindow)
	for _, s := range l.guard.Steps {
		// One that the copy has dropped for its age is no news of what it lets go now.
		if s.Begun && s.At.After(hour) && !slices.Contains(log.Steps, s) {
			log, later = log.withBegun(s), true
		}
	}
	l.guard = log
	if later {
		l.writeGuardLog()
	}
}

// withBegun is the log with a step that has begun: one that was let go, or one
// more.
func (g guardLog) withBegun(s letGo) guardLog {
	out := guardLog{Steps: slices.Clone(g.Steps)}
	i := slices.IndexFunc(out.Steps, func(t letGo) bool {
		return !t.Begun && t.Address == s.Address && t.Digest == s.Digest
	})
	if i < 0 {
		out.Steps = append(out.Steps, s)
	} else {
		out.Steps[i] = s
	}
	return out
}

func (l *Loop) writeGuardLog() {
	if l.guardWriting {
		l.guardStale = true
		return
	}
	from := l.o.Now()
	if l.held != nil {
		from = l.held.Since // which is judged by the hour before it came, however long it is held
	}
	l.guard = l.guard.since(from.Add(-guardWindow))
	raw, err := json.Marshal(l.guard)
	if err != nil {
		l.log.Error("encoding the guard's log", "error", err)
		return
	}
	l.guardWriting, l.guardStale = true, false
	l.o.Store.Later(func(err error) {
		if err != nil {
			l.log.Error("recording the guard's log", "error", err)
		}
		// Whoever calls this must not be made to wait for the loop.
		go func() {
			_ = l.do(context.Background(), func() {
				if l.guardWriting = false; l.guardStale {
					l.writeGuardLog()
				}
			})
		}()
	}, state.Change{MetaKey: metaGuardLog, Meta: raw})
}
