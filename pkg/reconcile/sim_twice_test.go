package reconcile_test

import (
	"flag"
	"strings"
	"testing"
)

var simTwice = flag.Uint64("sim.twice", 12, "how many seeds to simulate twice: of each story a third")

// A run of a seed is the same twice, or a failure could not be looked at; also one
// in which most is done by others than the loop and the one who tells the story.
func TestSimulationIsTheSameTwice(t *testing.T) {
	said := *simTale
	defer func() { *simTale = said }()
	tales := []string{said}
	if said == "" {
		for _, tale := range simTales {
			tales = append(tales, tale.name)
		}
	}
	for _, tale := range tales {
		*simTale = tale
		n := *simTwice
		if said == "" && tale != "" {
			n = (n + 2) / 3
		}
		sameTwice(t, n)
	}
}

func sameTwice(t *testing.T, n uint64) {
	configs := newConfigs()
	for seed := *simFrom; seed < *simFrom+n; seed++ {
		first, second := simulate(t, configs, seed).story(1<<30), simulate(t, configs, seed).story(1<<30)
		if first == second {
			continue
		}
		a, b := strings.Split(first, "\n"), strings.Split(second, "\n")
		i := 0
		for i < min(len(a), len(b)) && a[i] == b[i] {
			i++
		}
		t.Errorf("tale %q, seed %d: after %s\nthe first run has\n%s\nand the second\n%s", *simTale, seed, strings.Join(a[max(0, i-12):i], "\n"), strings.Join(a[i:min(i+6, len(a))], "\n"), strings.Join(b[i:min(i+6, len(b))], "\n"))
	}
}
