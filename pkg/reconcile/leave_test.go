package reconcile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Of a place that may hold one of many things the first and the last are
// remembered, each once, and of another place as much.
func TestLeave(t *testing.T) {
	var list [][]byte
	list = leave(list, withPlace([]byte("other"), "there"))
	for i := range 20 {
		list = leave(list, withPlace(fmt.Append(nil, i), "here"))
		list = leave(list, withPlace(fmt.Append(nil, i), "here"))
	}
	var got []string
	for _, a := range list {
		got = append(got, strings.ReplaceAll(string(a), "\n", " "))
	}
	want := []string{"there other", "here 0", "here 1", "here 2", "here 3", "here 16", "here 17", "here 18", "here 19"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is remembered (-want +got):\n%s", diff)
	}
}
