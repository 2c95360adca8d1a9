package spec

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/secret"
)

// manyInstances is a directory with n credentials by for_each and a file sink
// for each, whose names come from a JSON file.
func manyInstances(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir()
	var b strings.Builder
	b.WriteString("[")
	for i := range n {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, "%q", fmt.Sprintf("user-%06d", i))
	}
	b.WriteString("]")
	write(t, dir, "users.json", b.String())
	write(t, dir, "main.hcl", `
locals { domain = "example.com" }
secret "file" "pw" { path = "pw" }
credential "apirone" "trader" {
  for_each = toset(jsondecode(file("users.json")))
  grant    = "login"
  login    = "${each.key}@${local.domain}"
  password = secret.file.pw.value[each.key]
  refresh { at = 0.5 }
}
sink "file" "trader" {
  for_each = credential.apirone.trader
  path     = "/run/tokend/${each.key}.token"
  content  = each.value.access_token
  notify   = [hook.systemd.app]
}
hook "systemd" "app" { unit = "app.service" }
`)
	return dir
}

// manyBlocks is a directory of files×each credential blocks and as many sinks.
func manyBlocks(t testing.TB, files, each int) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "main.hcl", "secret \"file\" \"pw\" { path = \"pw\" }\nvariable \"partner\" { default = 7 }\n")
	for f := range files {
		write(t, dir, fmt.Sprintf("part-%04d.hcl", f), blocksFile(f, each, ""))
	}
	return dir
}

func blocksFile(f, each int, more string) string {
	var b strings.Builder
	for i := range each {
		id := fmt.Sprintf("c%04d-%03d", f, i)
		fmt.Fprintf(&b, `credential "apirone" %q {
  grant      = "login"
  login      = "user-%s@example.com"
  partner_id = var.partner
  password   = secret.file.pw.value
}
sink "file" %q {
  path    = "/run/tokend/%s.token%s"
  content = credential.apirone.%s.access_token
}
`, id, id, id, id, more, id)
	}
	return b.String()
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// heapOf is the heap that make's result holds.
func heapOf(b *testing.B, make func() *Config) (*Config, float64) {
	b.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	c := make()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return c, float64(after.HeapAlloc-before.HeapAlloc) / (1 << 20)
}

func benchLoad(b *testing.B, dir string, o Options) *Config {
	b.Helper()
	c, diags := Load(dir, o)
	if c == nil {
		b.Fatal(diags.Error())
	}
	return c
}

func BenchmarkLoadForEach(b *testing.B) {
	dir := manyInstances(b, benchInstances)
	for range b.N {
		c, heap := heapOf(b, func() *Config { return benchLoad(b, dir, testOptions()) })
		b.ReportMetric(heap, "MiB")
		runtime.KeepAlive(c)
	}
}

func BenchmarkLoadBlocks(b *testing.B) {
	dir := manyBlocks(b, 1000, 100)
	for range b.N {
		c, heap := heapOf(b, func() *Config { return benchLoad(b, dir, testOptions()) })
		b.ReportMetric(heap, "MiB")
		runtime.KeepAlive(c)
	}
}

func BenchmarkReloadOneFile(b *testing.B) {
	dir := manyBlocks(b, 1000, 100)
	o := testOptions()
	o.Previous = benchLoad(b, dir, o)
	b.ResetTimer()
	for i := range b.N {
		write(b, dir, "part-0500.hcl", blocksFile(500, 100, fmt.Sprint(i)))
		o.Previous = benchLoad(b, dir, o)
	}
}

func BenchmarkCredentialAndInputs(b *testing.B) {
	dir := manyInstances(b, 10_000)
	c := benchLoad(b, dir, testOptions())
	pws := map[string]cty.Value{}
	for i := range 10 {
		pws[fmt.Sprintf("user-%06d", i)] = cty.StringVal("x")
	}
	all := cty.ObjectVal(pws)
	s := Scope{Secret: func(Address) (cty.Value, error) { return all, nil }}
	addrs := c.Credentials()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		a := addrs[i%10]
		if _, err := c.Credential(a); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Inputs(a, nil, s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSinkArgs(b *testing.B) {
	dir := manyInstances(b, 10_000)
	c := benchLoad(b, dir, testOptions())
	s := Scope{Credential: func(Address) (Attributes, error) { return Attributes{AccessToken: secret.New("t")}, nil }}
	addrs := c.Sinks()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		a := addrs[i%len(addrs)]
		if _, err := c.Sink(a); err != nil {
			b.Fatal(err)
		}
		if _, err := c.SinkArgs(a, s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	dir := manyInstances(b, 10_000)
	c := benchLoad(b, dir, testOptions())
	addrs := c.Credentials()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Digest(addrs[i%len(addrs)])
	}
}

// benchInstances is how many instances the memory of one block is measured with.
const benchInstances = 100_000
