package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// MemoryOptions shape a [Memory] for tests.
type MemoryOptions struct {
	// BeforeCommit is called with the changes of each commit (each Later by
	// itself) before they are applied; its error is the commit's, and nothing is
	// applied. It must not call the store.
	BeforeCommit func([]Change) error
	// LaterWindow is how long Later's changes wait for a commit to ride along
	// with. Zero: 800 ms.
	LaterWindow time.Duration
}

// Memory is a [Store] that keeps everything in memory and seals nothing: for
// the tests of its callers. What it hands out and takes in is copied, as by a
// store on disk.
type Memory struct {
	opts   MemoryOptions
	hasher *hasher

	mu      sync.Mutex
	durable memoryState
	queue   []memoryLater
	timer   *time.Timer
	closed  bool
	syncs   uint64
}

type memoryState struct {
	serial  uint64
	records map[string]memoryRecord
	intents map[string][]byte
	values  map[string][]byte
	blobs   map[string][]byte
}

type memoryRecord struct {
	kind       Kind
	version    uint64
	head, rest []byte
}

type memoryLater struct {
	ops     []op
	changes []Change
	done    func(error)
}

// NewMemory makes an empty store.
func NewMemory(o MemoryOptions) *Memory {
	if o.LaterWindow <= 0 {
		o.LaterWindow = 800 * time.Millisecond
	}
	return &Memory{opts: o, hasher: newHasher([]byte("memory")), durable: memoryState{
		records: make(map[string]memoryRecord), intents: make(map[string][]byte),
		values: make(map[string][]byte), blobs: make(map[string][]byte)}}
}

// Crash ends the store as a crash of its process would: what Later has not
// brought to disk is lost, and m refuses everything from now on. It returns the
// store as the next process finds it.
func (m *Memory) Crash() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed, m.queue = true, nil
	m.stopTimer()
	return &Memory{opts: m.opts, hasher: m.hasher, durable: m.durable}
}

func (m *Memory) stopTimer() {
	if m.timer != nil {
		m.timer.Stop()
		m.timer = nil
	}
}

// locked brings what Later queued into effect and then runs f.
func (m *Memory) locked(f func() error) error {
	m.mu.Lock()
	tell := m.flush()
	err := ErrClosed
	if !m.closed {
		err = f()
	}
	m.mu.Unlock()
	for _, t := range tell {
		t()
	}
	return err
}

// flush applies what Later queued and returns the calls that say so.
func (m *Memory) flush() []func() {
	if m.closed || len(m.queue) == 0 {
		return nil
	}
	m.stopTimer()
	tell := make([]func(), 0, len(m.queue))
	for _, l := range m.queue {
		err := m.apply(l.ops, l.changes)
		tell = append(tell, func() { l.done(err) })
	}
	m.queue = nil
	return tell
}

// apply is one commit.
func (m *Memory) apply(ops []op, changes []Change) error {
	if m.opts.BeforeCommit != nil && changes != nil {
		if err := m.opts.BeforeCommit(changes); err != nil {
			return err
		}
	}
	for i := range ops {
		if o := &ops[i]; o.kind < opMeta {
			r, ok := m.durable.records[o.address]
			if err := permitted(o, ok, r.kind, r.version); err != nil {
				return err
			}
		}
	}
	for i := range ops {
		m.change(&ops[i])
	}
	m.durable.serial++
	m.syncs++
	return nil
}

func (m *Memory) change(o *op) {
	d := &m.durable
	switch o.kind {
	case opRecord:
		d.records[o.address] = memoryRecord{kind: o.record, version: o.version + 1, head: o.head, rest: o.value}
	case opDelete:
		delete(d.records, o.address)
		delete(d.intents, o.address)
	case opIntent:
		if _, ok := d.records[o.address]; !ok {
			h := Head{Address: o.address, Kind: KindCredential}
			d.records[o.address] = memoryRecord{kind: KindCredential, head: appendHead(nil, &h), rest: appendCredential(nil, &Credential{})}
		}
		d.intents[o.address] = o.value
	case opClear:
		delete(d.intents, o.address)
		if r, ok := d.records[o.address]; ok && r.version == 0 {
			delete(d.records, o.address)
		}
	case opMeta:
		if o.now != nil {
			o = &op{address: o.address, value: o.now()}
		}
		keep(d.values, o)
	case opBlob:
		keep(d.blobs, o)
	case opDropBlob:
		delete(d.blobs, o.address)
	}
}

func keep(m map[string][]byte, o *op) {
	if o.value == nil {
		delete(m, o.address)
		return
	}
	m[o.address] = append([]byte{}, o.value...)
}

func (m *Memory) head(address string) (Head, error) {
	h, err := decodeHead(m.durable.records[address].head)
	_, h.Intent = m.durable.intents[address]
	return h, err
}

// record finds one record of a kind.
func (m *Memory) record(address string, kind Kind) (memoryRecord, Head, error) {
	r, ok := m.durable.records[address]
	if !ok {
		return r, Head{}, fmt.Errorf("reading the record of %s: %w", address, ErrNotFound)
	}
	if r.kind != kind {
		return r, Head{}, fmt.Errorf("reading the record of %s as a %s: %w: it is a %s", address, kind, ErrNotFound, r.kind)
	}
	h, err := m.head(address)
	return r, h, err
}

// Heads implements [Store], in the order of the addresses.
func (m *Memory) Heads(ctx context.Context, f func(Head) error) error {
	return m.locked(func() error {
		for _, a := range slices.Sorted(maps.Keys(m.durable.records)) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			h, err := m.head(a)
			if err != nil {
				return err
			}
			if err := f(h); err != nil {
				return err
			}
		}
		return nil
	})
}

// Credential implements [Store].
func (m *Memory) Credential(_ context.Context, address string) (c Credential, open *Intent, err error) {
	err = m.locked(func() error {
		r, h, err := m.record(address, KindCredential)
		if err != nil {
			return err
		}
		if c, err = decodeCredential(r.rest); err != nil {
			return err
		}
		c.Head = h
		if b, ok := m.durable.intents[address]; ok {
			i, err := decodeIntent(b)
			open = &i
			return err
		}
		return nil
	})
	return c, open, err
}

// Sink implements [Store].
func (m *Memory) Sink(_ context.Context, address string) (k Sink, err error) {
	err = m.locked(func() error {
		r, h, err := m.record(address, KindSink)
		if err != nil {
			return err
		}
		k, err = decodeSink(r.rest)
		k.Head = h
		return err
	})
	return k, err
}

// Sinks implements [Store], in the order of the addresses.
func (m *Memory) Sinks(ctx context.Context, f func(Sink) error) error {
	var all []Sink
	err := m.locked(func() error {
		for _, a := range slices.Sorted(maps.Keys(m.durable.records)) {
			r := m.durable.records[a]
			if r.kind != KindSink {
				continue
			}
			k, err := decodeSink(r.rest)
			if err != nil {
				return err
			}
			if k.Head, err = m.head(a); err != nil {
				return err
			}
			all = append(all, k)
		}
		return nil
	})
	for i := 0; err == nil && i < len(all); i++ {
		if err = f(all[i]); ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}
	return err
}

// Commit implements [Store].
func (m *Memory) Commit(ctx context.Context, changes ...Change) error {
	if len(changes) == 0 {
		return nil
	}
	ops, err := prepare(changes)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := m.locked(func() error { return m.apply(ops, changes) }); err != nil {
		return err
	}
	setVersions(changes)
	return nil
}

// Later implements [Store]; what it queues is lost in a [Memory.Crash]. As in
// [Bolt.Later], the versions are set at once.
func (m *Memory) Later(done func(error), changes ...Change) {
	if done == nil {
		done = func(error) {}
	}
	ops, err := prepare(changes)
	if err != nil || len(ops) == 0 {
		done(err)
		return
	}
	kept := slices.Clone(changes)
	setVersions(changes)
	m.mu.Lock()
	closed := m.closed
	if !closed {
		m.queue = append(m.queue, memoryLater{ops: ops, changes: kept, done: done})
		if m.timer == nil {
			m.timer = time.AfterFunc(m.opts.LaterWindow, func() { _ = m.locked(func() error { return nil }) })
		}
	}
	m.mu.Unlock()
	if closed {
		done(ErrClosed)
	}
}

// Blob implements [Store].
func (m *Memory) Blob(_ context.Context, name string) ([]byte, error) {
	return m.named(m.durable.blobs, "blob", name)
}

// Meta implements [Store].
func (m *Memory) Meta(_ context.Context, key string) ([]byte, error) {
	return m.named(m.durable.values, "value", key)
}

func (m *Memory) named(from map[string][]byte, what, name string) (b []byte, err error) {
	err = m.locked(func() error {
		v, ok := from[name]
		if !ok {
			return fmt.Errorf("reading the %s %q: %w", what, name, ErrNotFound)
		}
		b = append([]byte{}, v...)
		return nil
	})
	return b, err
}

// PutBlob implements [Store].
func (m *Memory) PutBlob(_ context.Context, content []byte) (string, error) {
	name := m.hasher.hash("blob", content)
	err := m.locked(func() error {
		if _, ok := m.durable.blobs[name]; ok {
			return nil
		}
		return m.apply([]op{{kind: opBlob, address: name, value: append([]byte{}, content...)}}, nil)
	})
	if err != nil {
		return "", err
	}
	return name, nil
}

// Blobs implements [Store].
func (m *Memory) Blobs(context.Context) (names []string, err error) {
	err = m.locked(func() error {
		names = slices.Sorted(maps.Keys(m.durable.blobs))
		return nil
	})
	return names, err
}

// DropBlobs implements [Store].
func (m *Memory) DropBlobs(_ context.Context, names []string) error {
	return m.locked(func() error {
		ops := make([]op, len(names))
		for i, n := range names {
			ops[i] = op{kind: opDropBlob, address: n}
		}
		return m.apply(ops, nil)
	})
}

// Hash implements [Store] under a fixed key, so that runs can be compared.
func (m *Memory) Hash(label string, b []byte) string { return m.hasher.hash(label, b) }

// Info implements [Store].
func (m *Memory) Info() Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := Info{Path: "memory", Lineage: "memory", Serial: m.durable.serial, Schema: Schema,
		Records: len(m.durable.records), Intents: len(m.durable.intents), Syncs: m.syncs}
	if m.closed {
		i.Err = ErrClosed
	}
	return i
}

// Close implements [Store]: it applies what Later queued, and refuses all that
// comes after.
func (m *Memory) Close() error {
	err := m.locked(func() error {
		m.closed = true
		m.stopTimer()
		return nil
	})
	if errors.Is(err, ErrClosed) {
		return nil
	}
	return err
}

var _ Store = (*Memory)(nil)
