package state_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/state"
)

// TestBoltDoesWhatMemoryDoes lets both implementations carry out the same random
// changes, reopening the one on disk now and then, and compares what they hold.
func TestBoltDoesWhatMemoryDoes(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			dir := t.TempDir()
			p := pair{t: t, random: rand.New(rand.NewPCG(seed, 7)), memory: state.NewMemory(state.MemoryOptions{})}
			p.bolt = open(t, state.Options{Dir: dir, CommitWindow: 1, MaxCommitWindow: 1})
			for step := range 250 {
				if p.random.IntN(60) == 0 {
					if err := p.bolt.Close(); err != nil {
						t.Fatal(err)
					}
					p.bolt = open(t, state.Options{Dir: dir, CommitWindow: 1, MaxCommitWindow: 1})
				}
				p.step()
				if t.Failed() {
					t.Fatalf("at step %d", step)
				}
			}
			p.compare()
		})
	}
}

type pair struct {
	t      *testing.T
	random *rand.Rand
	bolt   *state.Bolt
	memory *state.Memory
}

func (p *pair) credentialAddress() string {
	return fmt.Sprintf("credential.a.b[%d]", p.random.IntN(12))
}
func (p *pair) sinkAddress() string { return fmt.Sprintf("sink.file.a[%d]", p.random.IntN(12)) }

// version is mostly the stored one.
func (p *pair) version(stored uint64) uint64 {
	if p.random.IntN(8) == 0 {
		return uint64(p.random.IntN(6))
	}
	return stored
}

func (p *pair) change() state.Change {
	ctx := p.t.Context()
	switch p.random.IntN(7) {
	case 0, 1:
		a := p.credentialAddress()
		if p.random.IntN(10) == 0 {
			a = p.sinkAddress()
		}
		c, _, _ := p.memory.Credential(ctx, a)
		c.Head.Address, c.Head.Version = a, p.version(c.Head.Version)
		c.Note = fmt.Sprint(p.random.Uint64())
		change := state.Change{Credential: &c}
		switch p.random.IntN(4) {
		case 0:
			change.ClearIntent = true
		case 1:
			change.Intent = &state.Intent{Op: c.Note}
		}
		return change
	case 2:
		a := p.sinkAddress()
		k, _ := p.memory.Sink(ctx, a)
		k.Head.Address, k.Head.Version = a, p.version(k.Head.Version)
		k.Written = make([]byte, p.random.IntN(9000))
		return state.Change{Sink: &k}
	case 3:
		a := p.credentialAddress()
		c, _, _ := p.memory.Credential(ctx, a)
		return state.Change{Delete: a, DeleteVersion: p.version(c.Head.Version)}
	case 4:
		return state.Change{IntentFor: p.credentialAddress(), Intent: &state.Intent{Op: "refresh", Attempt: p.random.IntN(100)}}
	case 5:
		return state.Change{IntentFor: p.credentialAddress(), ClearIntent: true}
	default:
		change := state.Change{MetaKey: fmt.Sprint(p.random.IntN(4))}
		if n := p.random.IntN(3); n > 0 {
			change.Meta = make([]byte, n-1)
		}
		return change
	}
}

func (p *pair) step() {
	var changes []state.Change
	for range 1 + p.random.IntN(3) {
		changes = append(changes, p.change())
	}
	mine := make([]state.Change, len(changes))
	for i, c := range changes { // versions are set in the records: each store gets its own
		if c.Credential != nil {
			copied := *c.Credential
			c.Credential = &copied
		}
		if c.Sink != nil {
			copied := *c.Sink
			c.Sink = &copied
		}
		mine[i] = c
	}
	var errBolt, errMemory error
	if p.random.IntN(4) == 0 {
		wait := make(chan bool, 2)
		p.bolt.Later(func(err error) { errBolt = err; wait <- true }, changes...)
		p.memory.Later(func(err error) { errMemory = err; wait <- true }, mine...)
		p.heads()
		<-wait
		<-wait
	} else {
		errBolt, errMemory = p.bolt.Commit(p.t.Context(), changes...), p.memory.Commit(p.t.Context(), mine...)
	}
	for _, want := range []error{state.ErrConflict, state.ErrNotFound} {
		if errors.Is(errBolt, want) != errors.Is(errMemory, want) {
			p.t.Errorf("the one on disk said %v, the one in memory %v", errBolt, errMemory)
		}
	}
	if (errBolt == nil) != (errMemory == nil) {
		p.t.Errorf("the one on disk said %v, the one in memory %v", errBolt, errMemory)
	}
	if p.random.IntN(10) == 0 {
		p.blob()
	}
	p.heads()
}

func (p *pair) blob() {
	content := bytes.Repeat([]byte{byte(p.random.IntN(5))}, p.random.IntN(3)*3000)
	for _, s := range []state.Store{p.bolt, p.memory} {
		name, err := s.PutBlob(p.t.Context(), content)
		if err != nil {
			p.t.Errorf("PutBlob = %v", err)
		}
		if got, err := s.Blob(p.t.Context(), name); err != nil || !bytes.Equal(got, content) {
			p.t.Errorf("Blob = %d bytes, %v", len(got), err)
		}
	}
}

func (p *pair) heads() {
	got := [2]map[string]state.Head{}
	for i, s := range []state.Store{p.bolt, p.memory} {
		got[i] = make(map[string]state.Head)
		if err := s.Heads(context.Background(), func(h state.Head) error { got[i][h.Address] = h; return nil }); err != nil {
			p.t.Errorf("Heads = %v", err)
		}
	}
	if d := cmp.Diff(got[1], got[0]); d != "" {
		p.t.Errorf("the heads differ (-memory +disk):\n%s", d)
	}
	a, b := p.bolt.Info(), p.memory.Info()
	if a.Records != b.Records || a.Intents != b.Intents {
		p.t.Errorf("the one on disk counts %d records and %d intents, the one in memory %d and %d", a.Records, a.Intents, b.Records, b.Intents)
	}
}

func (p *pair) compare() {
	ctx := p.t.Context()
	for i := range 12 {
		for _, a := range []string{fmt.Sprintf("credential.a.b[%d]", i), fmt.Sprintf("sink.file.a[%d]", i)} {
			c1, i1, e1 := p.bolt.Credential(ctx, a)
			c2, i2, e2 := p.memory.Credential(ctx, a)
			if d := cmp.Diff(c2, c1) + cmp.Diff(i2, i1); d != "" || (e1 == nil) != (e2 == nil) {
				p.t.Errorf("%s differs (%v, %v):\n%s", a, e1, e2, d)
			}
			k1, e1 := p.bolt.Sink(ctx, a)
			k2, e2 := p.memory.Sink(ctx, a)
			if d := cmp.Diff(k2, k1); d != "" || (e1 == nil) != (e2 == nil) {
				p.t.Errorf("%s differs (%v, %v):\n%s", a, e1, e2, d)
			}
		}
	}
	for i := range 4 {
		m1, e1 := p.bolt.Meta(ctx, fmt.Sprint(i))
		m2, e2 := p.memory.Meta(ctx, fmt.Sprint(i))
		if !bytes.Equal(m1, m2) || (e1 == nil) != (e2 == nil) {
			p.t.Errorf("the value %d differs: %q (%v), %q (%v)", i, m1, e1, m2, e2)
		}
	}
	b1, e1 := p.bolt.Blobs(ctx)
	b2, e2 := p.memory.Blobs(ctx)
	if e1 != nil || e2 != nil || len(b1) != len(b2) || slices.Contains(b1, "") {
		p.t.Errorf("the blobs differ: %d (%v), %d (%v)", len(b1), e1, len(b2), e2)
	}
}
