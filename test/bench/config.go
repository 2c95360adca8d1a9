package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// names are n names of traders.
func names(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s%06d", prefix, i)
	}
	return list
}

// provider is a block that asks the stand-in with so many requests in flight.
func (b *bench) provider(alias string, inFlight int) string {
	return b.providerWith(alias, fmt.Sprintf("  rate_limit { concurrency = %d }\n", inFlight))
}

// providerWith is one with other settings.
func (b *bench) providerWith(alias, settings string) string {
	return fmt.Sprintf(`
provider "coinify" {
  alias      = %q
  base_url   = %q
  http { ca_file = %q }
%s}
`, alias, b.urls.Coinify, b.urls.CAFile, settings)
}

// traders are credentials by for_each, and with out a file for each.
func traders(block, alias, names, out string) string {
	text := fmt.Sprintf(`
credential "coinify" %[1]q {
  for_each   = toset(jsondecode(file(%[3]q)))
  provider   = provider.coinify.%[2]s
  grant      = "password"
  email      = "${each.key}@example.com"
  partner_id = %[4]q
  password   = secret.file.password.value
}
`, block, alias, names, partner)
	if out != "" {
		text += fmt.Sprintf(`
sink "file" %[1]q {
  for_each = credential.coinify.%[1]s
  path     = "%[2]s/${each.key}.token"
  content  = each.value.access_token
}
`, block, out)
	}
	return text
}

// directory makes a configuration with the common parts and one file more.
func (b *bench) directory(dir, text string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	secret := filepath.Join(b.inputs, "password")
	if err := os.WriteFile(secret, []byte(password+"\n"), 0o600); err != nil {
		return err
	}
	text = fmt.Sprintf("secret \"file\" \"password\" { path = %q }\n", secret) + text
	return os.WriteFile(filepath.Join(dir, "main.hcl"), []byte(text), 0o600)
}

// list writes names where a configuration reads them.
func (b *bench) list(name string, names []string) (string, error) {
	text, err := json.Marshal(names)
	if err != nil {
		return "", err
	}
	path := filepath.Join(b.inputs, name)
	return path, os.WriteFile(path, text, 0o600)
}

// put brings a file into the configuration as an editor or a checkout does: in
// one move.
func (b *bench) put(conf, name, text string) error {
	temp := filepath.Join(b.dir, "put.tmp")
	if err := os.WriteFile(temp, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(conf, name))
}

// total is the number of addresses in the large configuration.
func (b *bench) total() int { return 2 * (b.o.records + b.extra*b.o.tokens + b.single) }

// fill obtains everything once, so that the state has all records.
func (b *bench) fill(ctx context.Context) error {
	if b.filled {
		return nil
	}
	path, err := b.list("names.json", names("t", b.o.records))
	if err != nil {
		return err
	}
	if err := b.directory(b.conf, b.provider("wide", 128)+traders("trader", "wide", path, filepath.Join(b.shm, "all"))); err != nil {
		return err
	}
	d, err := b.startDaemon(b.conf, b.state)
	if err != nil {
		return err
	}
	b.running = d
	end, _, err := d.settled(ctx, 50*time.Millisecond, b.total())
	if err != nil {
		return err
	}
	used, err := d.cpu()
	if err != nil {
		return err
	}
	b.say("%d tokens obtained and delivered from an empty state in %s (%s of CPU)", b.o.records, ms(end.Sub(d.started)), ms(used))
	b.filled = true
	return b.down()
}

// up has a daemon run on the state with all records.
func (b *bench) up(ctx context.Context) (*daemon, error) {
	if err := b.fill(ctx); err != nil {
		return nil, err
	}
	if b.running != nil {
		return b.running, nil
	}
	d, err := b.startDaemon(b.conf, b.state)
	if err != nil {
		return nil, err
	}
	b.running = d
	_, _, err = d.settled(ctx, 10*time.Millisecond, b.total())
	return d, err
}

// down stops it.
func (b *bench) down() error {
	d := b.running
	b.running = nil
	if d == nil {
		return nil
	}
	return d.stop()
}
