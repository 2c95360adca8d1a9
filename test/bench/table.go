package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// table is what is printed, each row as soon as it is known: whoever has to end a
// run early keeps what it has found out.
type table struct {
	out  io.Writer
	rows []row
}

// row is one number beside its goal.
type row struct {
	work    string
	figure  string
	against string // what it was measured against
	goal    string // "" where the product names none
	met     bool
	share   float64 // the figure in relation to the goal; 0: they have none

	unmeasured bool // what it takes is not on this machine
}

// newTable begins a table with its header.
func newTable(out io.Writer) *table {
	line(out, "WORK", "MEASURED", "AGAINST", "GOAL", "OF IT", "")
	return &table{out: out}
}

func (t *table) add(r row) {
	t.rows = append(t.rows, r)
	verdict, of := "", ""
	switch {
	case r.goal == "":
	case r.unmeasured:
		verdict = "NOT MEASURED"
	case r.met:
		verdict = "MET"
	default:
		verdict = "SHORT"
	}
	if r.goal != "" && r.share > 0 {
		of = fmt.Sprintf("%.2f ×", r.share)
	}
	line(t.out, r.work, r.figure, r.against, r.goal, of, verdict)
}

// line is wide enough for what there is to say; a longer word moves the rest of
// its own line.
func line(out io.Writer, work, figure, against, goal, of, verdict string) {
	text := fmt.Sprintf("%-58s  %-32s  %-32s  %-9s  %-6s  %s", work, figure, against, goal, of, verdict)
	fmt.Fprintln(out, strings.TrimRight(text, " "))
}

// median of a list that is not empty; of an even number, the lower one.
func median[T cmp.Ordered](list []T) T { return quantile(list, 0.5) }

// quantile is the smallest value that a share q of the list does not exceed.
func quantile[T cmp.Ordered](list []T, q float64) T {
	sorted := slices.Sorted(slices.Values(list))
	at := int(q*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(at, 0), len(sorted)-1)]
}

// share is a figure in relation to its goal.
func share[T ~int64](figure, goal T) float64 { return float64(figure) / float64(goal) }

func ms(d time.Duration) string {
	if d >= 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
}

func mib(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }
