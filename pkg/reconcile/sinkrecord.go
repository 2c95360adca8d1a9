package reconcile

import (
	"bytes"
	"errors"
	"slices"

	"tokend/pkg/state"
)

// recordOver writes the sink's record with some later commit. Where a hook's answer
// came first, it is written once more, over that: the place holds what it says, and as long
// as the state does not know of it a crash would leave a place behind that a
// removal takes for somebody else's. base is the account that the record had before;
// where it has another by now, the place is compared instead. told are the hooks that
// have to run for this very write, whatever they answered before it.
func (p *sinkPerformer) recordOver(rec *state.Sink, base []byte, told []string) {
	flagOwed(rec)
	addr, kept, was := p.j.addr, *rec, p.ob.owed
	p.later(rec, func(err error) {
		if !errors.Is(err, state.ErrConflict) {
			p.recorded(addr, kept.Written, err)
			return
		}
		go func() { // what says how a commit ended must not wait for the next
			cur, lost := p.w.store.Sink(p.ctx, addr)
			if lost != nil || !bytes.Equal(cur.Written, base) || len(cur.Leaving) > 0 {
				p.recorded(addr, kept.Written, err)
				return
			}
			kept.Head.Version = cur.Head.Version
			kept.Notify = notStruck(kept.Notify, was, cur.Notify, told)
			kept.Notify = p.w.unsaved.unanswered(addr, kept.Written, kept.Notify)
			flagOwed(&kept)
			p.later(&kept, func(err error) { p.recorded(addr, kept.Written, err) })
		}()
	})
}

// record writes the sink's record with some later commit. It tells of no new write.
func (p *sinkPerformer) record(rec *state.Sink) {
	flagOwed(rec)
	addr, account := p.j.addr, rec.Written
	p.later(rec, func(err error) {
		if err != nil {
			p.w.unsaved.unwritten(addr, account)
			p.notRecorded(addr, err)
			return
		}
		p.w.unsaved.outcome(addr, nil, nil)
	})
}

// notStruck are those of some hooks that were not struck off a record since it was
// read: they stood there then, and do not now. What is told of a newer write stays.
func notStruck(hooks, was, is, told []string) []string {
	return slices.DeleteFunc(slices.Clone(hooks), func(h string) bool {
		return slices.Contains(was, h) && !slices.Contains(is, h) && !slices.Contains(told, h)
	})
}

func (p *sinkPerformer) later(rec *state.Sink, done func(error)) {
	p.w.store.Later(done, state.Change{Sink: rec})
}

// recorded takes over whether a sink's record was written.
func (p *sinkPerformer) recorded(addr string, account []byte, err error) {
	if p.w.unsaved.outcome(addr, account, err); err != nil {
		p.notRecorded(addr, err)
	}
}

func (p *sinkPerformer) notRecorded(addr string, err error) {
	p.w.log.Warn("recording what a sink holds failed; it is compared again instead", "address", addr, "error", err)
	p.w.relook(addr, err)
}

// asRecorded says that a place certainly is as the write left it that is recorded:
// what it holds is right for the newer token, too (which may differ in what the
// sink does not name), no write went unrecorded, and there is nobody to tell.
func (p *sinkPerformer) asRecorded(account []byte) bool {
	if p.lastWriteFailed() {
		return false
	}
	_, ok := p.ob.kind.Intact(p.ctx, account)
	return ok
}
