package web

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// many is a host with as many credentials and file sinks.
func many(n int) *fakeSource {
	src := healthy()
	src.view.Credentials, src.view.Sinks = make([]reconcile.Line, n), make([]reconcile.Line, n)
	for i := range n {
		key := fmt.Sprintf(`.trader["user-%06d"]`, i)
		src.view.Credentials[i] = reconcile.Line{Address: "credential.coinify" + key, Type: "coinify", State: reconcile.Ready, Generation: 3, ExpiresAt: noon().Add(time.Duration(i) * time.Millisecond)}
		src.view.Sinks[i] = reconcile.Line{Address: "sink.file" + key, Type: "file", State: reconcile.Ready}
	}
	return src
}

func TestScrapeOfAHundredThousand(t *testing.T) {
	src := many(100_000)
	for _, c := range []struct {
		name   string
		max    int
		series int
	}{
		{"aggregates", 0, 0},
		{"each of them", 300_000, 300_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := Handler(Options{Source: src, MaxSeries: c.max, Now: noon})
			began := cpuTime(t)
			body := newRecorderFor(t, h, "/metrics")
			took := cpuTime(t) - began
			if n := strings.Count("\n"+body.String(), "\ntokend_credential_"); n != c.series {
				t.Errorf("%d series of single credentials, want %d", n, c.series)
			}
			if !strings.Contains(body.String(), `tokend_credentials{state="ready",type="coinify"} 100000`) {
				t.Error("the aggregate is missing")
			}
			t.Logf("%s, %d bytes", took, body.Len())
			if took > time.Second*slowdown {
				t.Errorf("a scrape took %s, want at most %s", took, time.Second*slowdown)
			}
		})
	}
}

// cpuTime is what this process has used: unlike the time on the wall, it does
// not depend on who else uses the machine.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkScrape(b *testing.B) {
	for _, c := range []struct {
		name string
		n    int
		max  int
	}{{"100000 aggregated", 100_000, 0}, {"6666 each", 6_666, 0}, {"100000 each", 100_000, 300_000}} {
		b.Run(c.name, func(b *testing.B) {
			h := Handler(Options{Source: many(c.n), MaxSeries: c.max, Now: noon})
			b.ReportAllocs()
			for b.Loop() {
				newRecorderFor(b, h, "/metrics")
			}
		})
	}
}
