package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	programs "tokend/test/parts"
)

// Goals of the delivery of Vault's secrets, beside Vault Agent's.
const (
	vaultSpeed  = 5.0
	vaultMemory = 1.0 / 6
)

const kvMount = "bench"

// delivery is how long a program took from its start until the last file was
// there, and the most memory that it had until then.
type delivery struct {
	took, cpu time.Duration
	peak      int64
}

func (d delivery) String() string {
	return fmt.Sprintf("%s (%s of CPU), %s", ms(d.took), ms(d.cpu), mib(d.peak))
}

// vaultSecrets measures the delivery of many secrets of Vault, each into a file of
// its own: tokend beside Vault Agent, one after the other, on one server that holds
// the same for both. What is not on this machine is not measured, which is said.
func vaultSecrets(ctx context.Context, b *bench) error {
	if err := b.down(); err != nil {
		return err
	}
	server, err := b.program(ctx, programs.Vault())
	if err != nil {
		b.notMeasured(err)
		return nil
	}
	agent, noAgent := b.program(ctx, programs.VaultAgent())
	v, err := b.serveVault(ctx, server)
	if err != nil {
		return err
	}
	defer v.stop()
	if err := v.fill(ctx); err != nil {
		return fmt.Errorf("writing secrets into Vault: %w", err)
	}
	var own, other []delivery
	for i := range b.o.runs {
		if noAgent == nil {
			d, err := v.byAgent(ctx, agent, i)
			if err != nil {
				return err
			}
			other = append(other, d)
			b.detail("Vault Agent: %s", d)
		}
		d, err := v.byTokend(ctx, i)
		if err != nil {
			return err
		}
		own = append(own, d)
		b.detail("tokend: %s", d)
	}
	if noAgent != nil {
		b.notMeasured(fmt.Errorf("%w; tokend alone: %s", noAgent, medianOf(own)))
		return nil
	}
	b.compare(medianOf(own), medianOf(other))
	return nil
}

// medianOf is the median of each figure by itself.
func medianOf(list []delivery) (d delivery) {
	var took, cpu []time.Duration
	var peak []int64
	for _, d := range list {
		took, cpu, peak = append(took, d.took), append(cpu, d.cpu), append(peak, d.peak)
	}
	return delivery{median(took), median(cpu), median(peak)}
}

func (b *bench) vaultRows() (speed, memory row) {
	return row{work: fmt.Sprintf("%d Vault KV secrets into %[1]d files", b.o.secrets), goal: fmt.Sprintf("≥ %.0f ×", vaultSpeed)},
		row{work: "  its peak memory", goal: "≤ 1/6"}
}

func (b *bench) compare(own, other delivery) {
	speed, memory := b.vaultRows()
	ratio := other.took.Seconds() / own.took.Seconds()
	speed.figure, speed.against = fmt.Sprintf("%.1f × = %s (%s of CPU)", ratio, ms(own.took), ms(own.cpu)), fmt.Sprintf("Vault Agent %s (%s of CPU)", ms(other.took), ms(other.cpu))
	speed.met, speed.share = ratio >= vaultSpeed, ratio/vaultSpeed
	part := float64(own.peak) / float64(other.peak)
	memory.figure, memory.against = fmt.Sprintf("1/%.1f = %s", 1/part, mib(own.peak)), "Vault Agent "+mib(other.peak)
	memory.met, memory.share = part <= vaultMemory, part/vaultMemory
	b.table.add(speed)
	b.table.add(memory)
}

func (b *bench) notMeasured(why error) {
	b.say("not measured: %v", why)
	speed, memory := b.vaultRows()
	for _, r := range []row{speed, memory} {
		r.figure, r.unmeasured = "-", true
		b.table.add(r)
	}
}

// program is where a part's one file is. It is built when that is allowed, as for
// the tests.
func (b *bench) program(ctx context.Context, p programs.Part) (string, error) {
	if os.Getenv(programs.Install) == "1" && p.Missing() != nil {
		b.say("building the %s, which takes many minutes", p.Name)
		if err := p.Build(ctx, os.Stderr); err != nil {
			return "", err
		}
	}
	return p.Path(p.Files[0])
}

// byAgent has Vault Agent write each secret by a template of its own.
func (v *vaultServer) byAgent(ctx context.Context, agent string, run int) (delivery, error) {
	out := filepath.Join(v.b.shm, fmt.Sprintf("agent%d", run))
	var text strings.Builder
	fmt.Fprintf(&text, `
vault { address = %q }
auto_auth {
  method "token_file" { config = { token_file_path = %q } }
}
`, v.address, v.tokenFile)
	for _, n := range v.names {
		fmt.Fprintf(&text, "template {\n  contents    = %q\n  destination = %q\n  perms       = \"0600\"\n}\n",
			fmt.Sprintf(`{{ with secret "%s/data/%s" }}{{ .Data.data.value }}{{ end }}`, kvMount, n), filepath.Join(out, n+suffix))
	}
	conf := filepath.Join(v.b.dir, "agent.hcl")
	if err := os.WriteFile(conf, []byte(text.String()), 0o600); err != nil {
		return delivery{}, err
	}
	p, err := startProcess(filepath.Join(v.b.dir, "agent.log"), agent, "agent", "-config="+conf, "-log-level=error")
	if err != nil {
		return delivery{}, err
	}
	d, err := v.watch(ctx, p, out)
	p.kill() // who runs would put right what is removed
	return d, errors.Join(err, os.RemoveAll(out))
}

// byTokend has a daemon with an empty state do the same: a secret and a sink for
// each name.
func (v *vaultServer) byTokend(ctx context.Context, run int) (delivery, error) {
	b := v.b
	out := filepath.Join(b.shm, fmt.Sprintf("vault%d", run))
	list, err := b.list("secrets.json", v.names)
	if err != nil {
		return delivery{}, err
	}
	conf := filepath.Join(b.dir, "vault.conf")
	if err := os.MkdirAll(conf, 0o700); err != nil {
		return delivery{}, err
	}
	err = b.put(conf, "main.hcl", fmt.Sprintf(`
vault "main" {
  address = %q
  auth "token_file" { path = %q }
}
secret "vault_kv" "each" {
  for_each = toset(jsondecode(file(%q)))
  mount    = %q
  path     = each.key
}
sink "file" "each" {
  for_each = secret.vault_kv.each
  path     = "%s/${each.key}%s"
  content  = each.value.value["value"]
}
`, v.address, v.tokenFile, list, kvMount, out, suffix))
	if err != nil {
		return delivery{}, err
	}
	d, err := b.startDaemon(conf, filepath.Join(b.dir, fmt.Sprintf("vault%d.state", run)))
	if err != nil {
		return delivery{}, err
	}
	b.running = d
	got, err := v.watch(ctx, d.process, out)
	if err != nil {
		return delivery{}, err
	}
	return got, errors.Join(b.down(), os.RemoveAll(out))
}

// suffix tells files from the temporary names that they are written under.
const suffix = ".secret"

// watch waits for the last file. It ended when that was written, not when it was
// seen, so that looking can be rare: it costs something too.
func (v *vaultServer) watch(ctx context.Context, p *process, out string) (delivery, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		n, err := count(out)
		if err != nil {
			return delivery{}, err
		}
		if n == len(v.names) {
			break
		}
		select {
		case <-tick.C:
		case <-p.ended:
			return delivery{}, fmt.Errorf("%s ended after %d of %d files\n%s", p.cmd.Path, n, len(v.names), p.lastWords())
		case <-ctx.Done():
			return delivery{}, fmt.Errorf("awaiting %d files of %s, %d are there: %w\n%s", len(v.names), p.cmd.Path, n, ctx.Err(), p.lastWords())
		}
	}
	var d delivery
	var err error
	if d.cpu, err = p.cpu(); err != nil {
		return delivery{}, err
	}
	if d.peak, err = p.peak(); err != nil {
		return delivery{}, err
	}
	last, _, err := writtenAfter(out, p.started, time.Now().Add(time.Hour))
	if err != nil {
		return delivery{}, err
	}
	d.took = last.Sub(p.started)
	for _, n := range v.names {
		got, err := os.ReadFile(filepath.Join(out, n+suffix))
		if err != nil {
			return delivery{}, err
		}
		if string(got) != valueOf(n) {
			return delivery{}, fmt.Errorf("%s wrote %q for %s, want %q", p.cmd.Path, got, n, valueOf(n))
		}
	}
	return d, nil
}

// count is how many finished files a directory has, which may not be there yet.
func count(dir string) (int, error) {
	f, err := os.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	n := 0
	for _, name := range names {
		if strings.HasSuffix(name, suffix) && !strings.HasPrefix(name, ".") {
			n++
		}
	}
	return n, err
}

func valueOf(name string) string { return "the secret of " + name }
