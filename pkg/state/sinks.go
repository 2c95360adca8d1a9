package state

import (
	"context"
	"runtime"
	"sync"

	"go.etcd.io/bbolt"
)

// sinksAtOnce is how many records a reader takes at a time: enough that handing
// them over costs nothing beside unsealing them.
const sinksAtOnce = 256

// Sinks implements [Store]. One goroutine goes through the file, as many as
// there are processors unseal what it finds: the records' bytes are mapped, and
// stay where they are while the transaction is open.
func (s *Bolt) Sinks(ctx context.Context, f func(Sink) error) error {
	if err := s.writer.settle(ctx, ""); err != nil {
		return err
	}
	defer s.Trim()
	return s.view(func(tx *bbolt.Tx) error {
		ctx, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		found := make(chan [][]byte)
		var readers sync.WaitGroup
		for range min(runtime.GOMAXPROCS(0), 8) {
			readers.Go(func() { s.readSinks(found, stop, f) })
		}
		n := 0
		hand := func(values [][]byte) error {
			n++
			s.scanned(tx, n*sinksAtOnce)
			select {
			case found <- values:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		// A damaged page must not keep this from waiting for the readers.
		err := guard(func() error { return eachChunk(tx.Bucket([]byte(bucketRecords)), sinksAtOnce, hand) })
		close(found)
		readers.Wait()
		if err == nil {
			err = context.Cause(ctx)
		}
		return err
	})
}

// eachChunk hands the values of a bucket on, n at a time.
func eachChunk(b *bbolt.Bucket, n int, f func([][]byte) error) error {
	var values [][]byte
	err := b.ForEach(func(_, value []byte) error {
		if values = append(values, value); len(values) < n {
			return nil
		}
		some := values
		values = make([][]byte, 0, n)
		return f(some)
	})
	if err != nil || len(values) == 0 {
		return err
	}
	return f(values)
}

// readSinks unseals what is found until there is no more, or an error stops it.
func (s *Bolt) readSinks(found <-chan [][]byte, stop context.CancelCauseFunc, f func(Sink) error) {
	scratch := s.plain.get()
	defer s.plain.put(scratch)
	damaged := *s.damage.Load()
	for values := range found {
		for _, value := range values {
			// A page that cannot be read is a fault here, in this goroutine.
			if err := guard(func() error { return s.readSink(value, *scratch, damaged, f) }); err != nil {
				stop(err)
				return
			}
		}
	}
}

func (s *Bolt) readSink(value, scratch []byte, damaged damages, f func(Sink) error) error {
	head, _, _, err := splitRecord(value)
	if err != nil || len(head) < headFixed || Kind(head[1]) != KindSink {
		return nil
	}
	h, plain, err := s.sealer.openRecord(value, scratch)
	defer clear(plain)
	if err != nil || h.Kind != KindSink || damaged[h.Address] != nil {
		return nil // who reads it by itself is told
	}
	k, err := decodeSink(plain)
	if err != nil {
		return nil
	}
	k.Head = h
	return f(k)
}
