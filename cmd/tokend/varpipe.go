package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"tokend/pkg/spec"
)

// readVarPipes reads the variable files that can be read only once: pipes, such as
// a shell's <(…), terminals and devices. Who gives one may take long to write it,
// or never do, so that the end of ctx ends the waiting, too.
func (g *globals) readVarPipes(ctx context.Context) error {
	for _, file := range g.varFiles {
		info, err := os.Stat(file)
		if _, had := g.varContents[file]; had || err != nil || info.Mode().IsRegular() || info.IsDir() {
			continue // what cannot be read is told where the others are read
		}
		content, err := readOnce(ctx, file)
		if err != nil {
			return withHint(fmt.Errorf("reading the file of --var-file %s: %w", file, err), "mend --var-file, or take it away")
		}
		if g.varContents == nil {
			g.varContents = map[string][]byte{}
		}
		g.varContents[file] = content
	}
	return nil
}

// readOnce reads until the end, or until ctx ends: the goroutine that opens and
// reads is left behind then, with the process about to end.
func readOnce(ctx context.Context, file string) ([]byte, error) {
	type result struct {
		content []byte
		err     error
	}
	done := make(chan result, 1)
	go func() {
		f, err := os.Open(file)
		if err != nil {
			done <- result{err: reasonOf(err)}
			return
		}
		defer func() { _ = f.Close() }()
		b, err := io.ReadAll(io.LimitReader(f, spec.MaxFileSize+1)) // one byte more, so that one that is too large is known
		done <- result{b, reasonOf(err)}
	}()
	select {
	case r := <-done:
		return r.content, r.err
	case <-ctx.Done():
		return nil, context.Canceled
	}
}

// reasonOf is an error of the operating system without the path.
func reasonOf(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
