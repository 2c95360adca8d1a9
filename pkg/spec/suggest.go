package spec

import (
	"fmt"
	"sort"
	"strings"

	"github.com/agext/levenshtein"
)

// nearest returns the known name that given was probably meant to be, or "".
func nearest(given string, known []string) string {
	best, bestDist := "", 4
	for _, k := range known {
		if strings.EqualFold(strings.ReplaceAll(k, "-", "_"), strings.ReplaceAll(given, "-", "_")) {
			return k
		}
		limit := min(3, (len(given)+2)/3)
		if len(given) == 1 {
			limit = 0 // every other letter would be near
		}
		d := levenshtein.Distance(given, k, nil)
		if d == 2 && swapped(given, k) {
			d = 1
		}
		if d <= limit && d < bestDist {
			best, bestDist = k, d
		}
	}
	return best
}

// swapped reports whether two neighbouring letters were typed in the wrong order.
func swapped(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i+1 < len(a); i++ {
		if a[i] != b[i] {
			return a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
		}
	}
	return false
}

// didYouMean is " Did you mean …?" or, when few names are known, the list of
// them; "" where neither helps.
func didYouMean(given string, known []string) string {
	if n := nearest(given, known); n != "" {
		return fmt.Sprintf(" Did you mean %q?", n)
	}
	if len(known) == 0 || len(known) > 12 {
		return ""
	}
	list := append([]string(nil), known...)
	sort.Strings(list)
	if len(list) == 1 {
		return fmt.Sprintf(" There is %s and nothing else.", list[0])
	}
	return fmt.Sprintf(" There are: %s.", strings.Join(list, ", "))
}
