package reconcile

import "testing"

// Of several known addresses that are as near, it is always the same one that somebody
// is asked about.
func TestTheNearestAddressIsAlwaysTheSame(t *testing.T) {
	l := &Loop{items: map[string]*item{}}
	for _, a := range []string{"credential.x.e", "credential.x.d", "credential.x.b", "credential.x.c"} {
		l.items[a] = &item{addr: a}
	}
	for range 50 {
		if got := l.near("credential.x.a"); got != "credential.x.b" {
			t.Fatalf("it is %s", got)
		}
	}
}
