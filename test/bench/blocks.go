package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"tokend/pkg/state"
)

// blockFiles is how many files the large configuration is spread over when every
// credential and every sink of it is a block of its own.
const blockFiles = 1000

// blocks measures the same credentials and sinks written as separate blocks in
// many files: reading them, starting, memory, and one changed file.
func blocks(ctx context.Context, b *bench) error {
	if err := b.fill(ctx); err != nil {
		return err
	}
	if err := b.down(); err != nil {
		return err
	}
	s := &separate{b: b, conf: filepath.Join(b.dir, "blocks.conf"), state: filepath.Join(b.dir, "blocks.state"), out: filepath.Join(b.shm, "all")}
	if err := s.write(); err != nil {
		return err
	}
	if err := s.load(ctx); err != nil {
		return err
	}
	if err := s.records(ctx); err != nil {
		return fmt.Errorf("bringing the records under the names of blocks: %w", err)
	}
	// The first start brings them in line with what the blocks say.
	if err := s.start(ctx); err != nil {
		return err
	}
	if err := b.down(); err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	took, used := time.Since(b.running.started), time.Duration(0)
	var err error
	if used, err = b.running.cpu(); err != nil {
		return err
	}
	b.table.add(row{
		work: fmt.Sprintf("start with %d recorded tokens, from %d files", b.o.records, s.files()), figure: ms(took),
		against: ms(used) + " of CPU", goal: "≤ 6 s", met: took <= 6*time.Second, share: share(took, 6*time.Second),
	})
	if err := b.rest(ctx, fmt.Sprintf("memory at rest, %d blocks in %d files", 2*b.o.records, s.files()), 192<<20, 384<<20); err != nil {
		return err
	}
	if err := s.change(ctx); err != nil {
		return err
	}
	return b.down()
}

// separate is the configuration of separate blocks.
type separate struct {
	b                *bench
	conf, state, out string
}

func (s *separate) files() int { return min(blockFiles, s.b.o.records) }
func (s *separate) each() int  { return (s.b.o.records + s.files() - 1) / s.files() }

func (s *separate) write() error {
	if err := s.b.directory(s.conf, s.b.provider("wide", 128)); err != nil {
		return err
	}
	for f := range s.files() {
		if err := os.WriteFile(filepath.Join(s.conf, s.file(f)), []byte(s.text(f, "")), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (s *separate) file(f int) string { return fmt.Sprintf("part-%04d.hcl", f) }

// text is one file; mark begins the content of its first sink.
func (s *separate) text(f int, mark string) string {
	var t strings.Builder
	for i := f * s.each(); i < min((f+1)*s.each(), s.b.o.records); i++ {
		fmt.Fprintf(&t, `credential "coinify" "t%06[1]d" {
  provider   = provider.coinify.wide
  grant      = "password"
  email      = "t%06[1]d@example.com"
  partner_id = %[2]q
  password   = secret.file.password.value
}
sink "file" "t%06[1]d" {
  path    = "%[3]s/t%06[1]d.token"
  content = "%[4]s${credential.coinify.t%06[1]d.access_token}"
}
`, i, partner, s.out, mark)
		mark = ""
	}
	return t.String()
}

// load measures reading alone, in a process of its own.
func (s *separate) load(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, s.b.tokend, "validate", "--config", s.conf)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	began := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(began)
	if err != nil {
		return fmt.Errorf("reading %d files: %w\n%s", s.files(), err, out)
	}
	s.b.table.add(row{
		work: fmt.Sprintf("load %d blocks in %d files", 2*s.b.o.records, s.files()), figure: ms(took),
		against: ms(cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()) + " of CPU", goal: "≤ 6 s", met: took <= 6*time.Second, share: share(took, 6*time.Second),
	})
	return nil
}

// records makes a copy of the state whose records have the addresses of blocks,
// so that nothing has to be obtained again.
func (s *separate) records(ctx context.Context) error {
	if err := os.CopyFS(s.state, os.DirFS(s.b.state)); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Join(s.state, state.GeneratedName), 0o600); err != nil {
		return err
	}
	store, err := state.Open(ctx, state.Options{Dir: s.state, Key: state.GeneratedKeyFile(filepath.Join(s.state, state.GeneratedName))})
	if err != nil {
		return err
	}
	var heads []state.Head
	err = store.Heads(ctx, func(h state.Head) error {
		heads = append(heads, h)
		return nil
	})
	for _, h := range heads {
		if err = errors.Join(err, s.rename(ctx, store, h)); err != nil {
			break
		}
	}
	return errors.Join(err, store.Close())
}

func (s *separate) rename(ctx context.Context, store *state.Bolt, h state.Head) error {
	changes := []state.Change{{Delete: h.Address}}
	name, instance := instanceOf(h.Address)
	switch {
	case !instance: // of a part that was measured before
	case h.Kind == state.KindCredential:
		c, _, err := store.Credential(ctx, h.Address)
		if err != nil {
			return err
		}
		c.Head.Address, c.Head.Version = "credential.coinify."+name, 0
		changes = append(changes, state.Change{Credential: &c})
	default:
		k, err := store.Sink(ctx, h.Address)
		if err != nil {
			return err
		}
		k.Head.Address, k.Head.Version = "sink.file."+name, 0
		held := map[string]uint64{}
		for a, gen := range k.Delivered {
			if n, ok := instanceOf(a); ok {
				held["credential.coinify."+n] = gen
			}
		}
		k.Delivered = held
		changes = append(changes, state.Change{Sink: &k})
	}
	store.Later(nil, changes...)
	return nil
}

// instanceOf is the key of an instance of the block that holds all traders.
func instanceOf(address string) (string, bool) {
	_, key, ok := strings.Cut(address, `.trader["`)
	return strings.TrimSuffix(key, `"]`), ok
}

func (s *separate) start(ctx context.Context) error {
	d, err := s.b.startDaemon(s.conf, s.state)
	if err != nil {
		return err
	}
	s.b.running = d
	_, _, err = d.settled(ctx, 10*time.Millisecond, 2*s.b.o.records)
	return err
}

// change measures how long after the move of one changed file the one sink of
// it that changed has its new content.
func (s *separate) change(ctx context.Context) error {
	f := s.files() / 2
	out := filepath.Join(s.out, fmt.Sprintf("t%06d.token", f*s.each()))
	used, err := s.b.running.cpu()
	if err != nil {
		return err
	}
	var took []time.Duration
	for i := range max(s.b.o.changes/10, 2) {
		mark := fmt.Sprintf("v%d ", i)
		if err := s.b.put(s.conf, s.file(f), s.text(f, mark)); err != nil {
			return err
		}
		t, err := s.b.until(ctx, out, func(content []byte) bool { return bytes.HasPrefix(content, []byte(mark)) })
		if err != nil {
			return err
		}
		took = append(took, t)
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	after, err := s.b.running.cpu()
	if err != nil {
		return err
	}
	s.b.table.add(row{
		work:    fmt.Sprintf("one changed file of %d to its sink (p99 of %d)", s.files(), len(took)),
		figure:  ms(quantile(took, 0.99)),
		against: fmt.Sprintf("median %s, %s of CPU each", ms(median(took)), ms((after-used)/time.Duration(len(took)))),
		goal:    "≤ 150 ms", met: quantile(took, 0.99) <= 150*time.Millisecond, share: share(quantile(took, 0.99), 150*time.Millisecond),
	})
	return nil
}
