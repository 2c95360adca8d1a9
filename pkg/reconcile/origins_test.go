package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

const upHost, goneHost = "https://up.example:443", "https://gone.example:443"

func atHost(origin string) health {
	return health{down: true, why: "no route to host", origin: origin, at: strings.TrimSuffix(origin, ":443")}
}

// bar has a host taken for away while another answers.
func bar(o *origins, now time.Time) {
	o.answered(upHost)
	for _, addr := range []string{"a", "b", "c"} {
		o.unanswered(addr, atHost(goneHost), now, 0)
	}
}

// One failed call of one credential says nothing of a host: what waits for another that
// is away goes on waiting, and the provider is not taken for away.
func TestOneFailedCallTakesNoHostForAway(t *testing.T) {
	var o origins
	now := time.Now()
	bar(&o, now)
	if o.bars(goneHost, "d", false, now) == nil {
		t.Fatal("nothing waits for the host that is away")
	}
	if others, away := o.unanswered("x", atHost(upHost), now, 0); others || away {
		t.Errorf("after one failed call of the host that answered: others answer %v, it is away %v", others, away)
	}
	if o.bars(goneHost, "d", false, now) == nil {
		t.Error("nothing waits any more for the host that is away, since one call of another failed")
	}
	if others, away := o.unanswered("d", atHost(goneHost), now, 0); !others || away {
		t.Errorf("the host that is away fails again: others answer %v, it is away from now on %v", others, away)
	}
	for _, addr := range []string{"y", "z"} {
		o.unanswered(addr, atHost(upHost), now, 0)
	}
	if o.bars(goneHost, "d", false, now) != nil {
		t.Error("where no host answers it is not one of them that is waited for")
	}
}

// What waits for a host is told when that answers, once, and is looked at less often
// the more of it waits.
func TestWhatWaitsForAHostIsToldOfItsAnswer(t *testing.T) {
	for waiting, want := range map[int]time.Duration{1: 10 * time.Second, 50: 10 * time.Second, 500: 100 * time.Second, 10_000: barredLast, 100_000: barredLast} {
		if least, most := barredFor(waiting, 0), barredFor(waiting, 1); least != want || most != 2*want {
			t.Errorf("with %d that wait: %v to %v, want %v to twice that", waiting, least, most, want)
		}
	}
	now := time.Now()
	for name, end := range map[string]func(o *origins){
		"it answers":       func(o *origins) { o.answered(goneHost) },
		"all is forgotten": (*origins).forget,
		"too many hosts are known": func(o *origins) {
			for i := range originsKnown {
				o.unanswered("x", atHost(fmt.Sprintf("https://host%d.example:443", i)), now, 0)
			}
		},
	} {
		var o origins
		bar(&o, now)
		for i, addr := range []string{"d", "e", "d"} {
			var e *barredError
			if err := o.bars(goneHost, addr, false, now); !errors.As(err, &e) || e.waiting != min(i+1, 2) || e.origin != goneHost {
				t.Errorf("%s: %s waits with %+v", name, addr, e)
			}
		}
		if got := o.released(); len(got) != 0 {
			t.Errorf("%s: %v need not wait before it", name, got)
		}
		end(&o)
		if got := o.released(); !slices.Equal(slices.Sorted(slices.Values(got)), []string{"d", "e"}) {
			t.Errorf("%s: %v need not wait, want d and e", name, got)
		}
		if got := o.released(); len(got) != 0 {
			t.Errorf("%s: told twice: %v", name, got)
		}
	}
}

// metadata is an endpoint whose issuer answers.
type metadata struct{ Endpoint }

func (metadata) Undiscovered(string, spec.Values) string { return "https://gone.example/tenant" }

func (metadata) Discover(context.Context, string, spec.Values, []string) error { return nil }

// An issuer that gives its metadata again answers, and that is said with its name, as
// for any host.
func TestAnIssuerThatGivesItsMetadataAnswers(t *testing.T) {
	now := time.Now()
	var log bytes.Buffer
	w := &worker{now: func() time.Time { return now.Add(time.Hour) }, log: slog.New(slog.NewTextHandler(&log, nil))}
	j := &job{addr: "a", lane: &lane{name: "provider.x"}}
	bar(&j.lane.origins, now)
	if err := w.discover(t.Context(), j, metadata{}, "", spec.Values{}, nil); err != nil {
		t.Fatal(err)
	}
	if v := j.lane.origins.view(now); len(v) != 0 {
		t.Errorf("does not answer: %+v", v)
	}
	if !strings.Contains(log.String(), "answers again") || !strings.Contains(log.String(), "origin=https://gone.example ") {
		t.Errorf("the log says %s", log.String())
	}
}

// An address may be longer than a key of the state: that a device code was answered is
// recorded with its token, so it must be possible for each.
func TestAnyAddressCanRecordThatItsDeviceCodeWasAnswered(t *testing.T) {
	s := state.NewMemory(state.MemoryOptions{})
	addr := "credential.oauth2." + strings.Repeat("x", 4000)
	if err := s.Commit(t.Context(), state.Change{MetaKey: exchangedKey(s, addr), Meta: []byte("hash")}); err != nil {
		t.Error(err)
	}
}
