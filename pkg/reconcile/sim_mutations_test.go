package reconcile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var simFind = flag.Uint64("sim.find", 0, "search so many seeds, from the first on, for those that each mutation fails at, and record them")

// mutation is one way of breaking what must never happen: a few lines of the
// product as they are, and as they would be if somebody had got them wrong. Each
// is a file of testdata/mutations, whose name it has:
//
//	What is wrong then.
//
//	tale login
//	seeds 12 345
//	--- retire.go
//	what stands there
//	+++
//	what stands there when mutated("the-name-of-the-file") is true
//
// The first of the seeds is the first at all, counted from 1, at which the
// simulation fails by it: so many seeds it took. The line with a tale is there
// where only runs that have that story can notice: all of its runs have it then.
type mutation struct {
	name  string
	about string
	tale  string
	seeds []uint64
	hunks []hunk
}

type hunk struct{ file, old, new string }

// mutationFiles is where they are.
const mutationFiles = "testdata/mutations"

func readMutations(t *testing.T) []mutation {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(mutationFiles, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var all []mutation
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m, err := parseMutation(strings.TrimSuffix(filepath.Base(path), ".txt"), string(b))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, m)
	}
	return all
}

func parseMutation(name, text string) (mutation, error) {
	head, rest, ok := strings.Cut(text, "\n--- ")
	about, seeds, said := strings.Cut(head, "\nseeds")
	if !ok || !said {
		return mutation{}, fmt.Errorf("it needs a line that starts with seeds, and one with ---")
	}
	about, tale, _ := strings.Cut(about, "\ntale ")
	m := mutation{name: name, about: strings.TrimSpace(about), tale: tale}
	if tale != "" && !isTale(tale) {
		return m, fmt.Errorf("there is no story %q", tale)
	}
	for _, f := range strings.Fields(seeds) {
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return m, err
		}
		m.seeds = append(m.seeds, n)
	}
	for _, part := range strings.Split(rest, "\n--- ") {
		file, both, _ := strings.Cut(part, "\n")
		before, after, ok := strings.Cut(both, "\n+++\n")
		if !ok || !strings.Contains(after, `mutated("`+name+`")`) {
			return m, fmt.Errorf("the change of %s needs a line +++, and what comes after it has to ask mutated(%q)", file, name)
		}
		m.hunks = append(m.hunks, hunk{file, before, strings.TrimSuffix(after, "\n")})
	}
	return m, nil
}

// mutatedSwitch is added to the product: it says which mutation is in effect.
const mutatedSwitch = `package reconcile

import "os"

var mutatedTo = os.Getenv("TOKEND_MUTATION")

func mutated(name string) bool { return name == mutatedTo }
`

// mutate writes the product's files with all mutations in them, and returns the
// overlay that puts them in place of its own.
func mutate(t *testing.T, all []mutation, dir string) string {
	t.Helper()
	files := map[string]string{}
	for _, m := range all {
		for _, h := range m.hunks {
			src, ok := files[h.file]
			if !ok {
				b, err := os.ReadFile(h.file)
				if err != nil {
					t.Fatal(err)
				}
				src = string(b)
			}
			if n := strings.Count(src, h.old); n != 1 {
				t.Fatalf("%s: what it changes in %s is there %d times and has to be there once; bring the mutation in line with the product:\n%s", m.name, h.file, n, h.old)
			}
			files[h.file] = strings.Replace(src, h.old, h.new, 1)
		}
	}
	files["mutated.go"] = mutatedSwitch
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	for name, src := range files {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(here, name)] = path
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}

// mutants is the tests' program with all mutations in it.
type mutants struct{ binary string }

func buildMutants(t *testing.T, all []mutation) mutants {
	t.Helper()
	dir := t.TempDir()
	x := mutants{filepath.Join(dir, "mutants.test")}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", mutate(t, all, dir), "-o", x.binary, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the product with its mutations: %v\n%s", err, out)
	}
	return x
}

var failedSeed = regexp.MustCompile(`(?m)^\s*(after .*)\n\s*seed (\d+); to see it again`)

// simulate has the program simulate seeds until one fails, and returns that and
// why; 0 when none did.
func (x mutants) simulate(t *testing.T, name, tale string, limit time.Duration, args ...string) (uint64, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, x.binary, append([]string{"-test.run=^TestSimulation$", "-test.timeout=0", "-sim.only", "-sim.tale=" + tale}, args...)...)
	cmd.Env = append(os.Environ(), "TOKEND_MUTATION="+name, "SIMTIME=") // the seeds asked for, and no new ones
	out, err := cmd.CombinedOutput()
	if err == nil {
		return 0, ""
	}
	found := failedSeed.FindSubmatch(out)
	if found == nil {
		t.Fatalf("simulating the mutation %q (%s): %v\n%s", name, strings.Join(args, " "), err, tail(out, 4000))
	}
	seed, err := strconv.ParseUint(string(found[2]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return seed, string(found[1])
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// caught is the first of the seeds in [from, to) at which the simulation fails by
// a mutation, and not without it.
func (x mutants) caught(t *testing.T, m mutation, from, to uint64, limit time.Duration) (uint64, string) {
	t.Helper()
	for from < to {
		seed, why := x.simulate(t, m.name, m.tale, limit, fmt.Sprint("-sim.from=", from), fmt.Sprint("-sim.seeds=", to-from))
		if seed == 0 {
			break
		}
		if !x.failsAnyway(t, m, seed, limit) {
			return seed, why
		}
		from = seed + 1
	}
	return 0, ""
}

func (x mutants) failsAnyway(t *testing.T, m mutation, seed uint64, limit time.Duration) bool {
	t.Helper()
	failed, _ := x.simulate(t, "", m.tale, limit, fmt.Sprint("-sim.from=", seed), "-sim.seeds=1")
	return failed != 0
}

// What a mutation changes is there in the product, once.
func TestMutationsFitTheProduct(t *testing.T) { mutate(t, readMutations(t), t.TempDir()) }

// manySeeds is how many seeds have to be enough for any mutation.
const manySeeds = 1000

// mutantFor is how long one call of a mutated program may take: seconds, but for a
// machine that has much else to do.
const mutantFor = 5 * time.Minute

// Whoever breaks the durable order, or another of the things that must never
// happen be broken, hears of it: each mutation makes the simulation fail. The
// seeds that are known to show it are tried first; since any change of the
// product shifts what a seed comes to, others are searched when those do not.
func TestMutations(t *testing.T) {
	all := readMutations(t)
	if len(all) < 10 {
		t.Fatalf("there are %d mutations", len(all))
	}
	began := time.Now()
	x := buildMutants(t, all)
	t.Logf("built after %s", time.Since(began).Round(time.Second))
	for _, m := range all {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			if *simFind > 0 {
				x.find(t, m)
				return
			}
			for _, seed := range m.seeds {
				if found, why := x.caught(t, m, seed, seed+1, mutantFor); found != 0 {
					t.Logf("seed %d: %s", found, why)
					return
				}
			}
			found, why := x.caught(t, m, 1, manySeeds+1, mutantFor)
			if found == 0 {
				t.Fatalf("%s And no seed of %d notices", m.about, manySeeds)
			}
			t.Logf("seed %d (the recorded ones do not show it any more: go test ./pkg/reconcile -run TestMutations -sim.find=%d): %s", found, manySeeds, why)
		})
	}
}

// seedsKept is how many seeds are recorded with each mutation.
const seedsKept = 2

// find searches the seeds of a mutation anew and records them.
func (x mutants) find(t *testing.T, m mutation) {
	m.seeds = nil
	for from := uint64(1); len(m.seeds) < seedsKept; {
		seed, why := x.caught(t, m, from, *simFind+1, 30*time.Minute)
		if seed == 0 {
			break
		}
		t.Logf("seed %d: %s", seed, why)
		m.seeds, from = append(m.seeds, seed), seed+1
	}
	if len(m.seeds) == 0 {
		t.Errorf("%s And no seed of %d notices", m.about, *simFind)
		return
	}
	if err := os.WriteFile(filepath.Join(mutationFiles, m.name+".txt"), m.text(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (m mutation) text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n\n", m.about)
	if m.tale != "" {
		fmt.Fprintf(&b, "tale %s\n", m.tale)
	}
	b.WriteString("seeds")
	for _, s := range slices.Sorted(slices.Values(m.seeds)) {
		fmt.Fprintf(&b, " %d", s)
	}
	b.WriteByte('\n')
	for _, h := range m.hunks {
		fmt.Fprintf(&b, "--- %s\n%s\n+++\n%s\n", h.file, h.old, h.new)
	}
	return b.Bytes()
}
