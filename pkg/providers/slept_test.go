package providers_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"tokend/pkg/providers"
)

// A reply that was on its way while the machine slept counts from its request: what
// it brings may have been issued as long ago as that.
func TestAReplyFromBeforeASuspendIsAsOldAsItsRequest(t *testing.T) {
	for slept, old := range map[time.Duration]bool{0: false, 20 * time.Second: false, 7 * time.Hour: true} {
		var r *rig
		r, _ = newRig(t, typeOf(t, ways), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			r.clock.Move(slept)
			_, _ = w.Write([]byte("{}"))
		}), nil)
		sent := r.clock.Now()
		req, err := r.e.Prepare(providers.Call{Op: providers.OpGrant, Grant: "post_json", Now: sent})
		if err != nil {
			t.Fatal(err)
		}
		reply, err := r.e.Send(context.Background(), req)
		if err != nil {
			t.Fatal(err)
		}
		want, late := sent.Add(slept), time.Duration(0)
		if old {
			want, late = sent, slept
		}
		if !reply.At.Equal(want) || reply.Slept != late {
			t.Errorf("after %s the reply is of %s, and perhaps %s younger; want %s and %s", slept, reply.At, reply.Slept, want, late)
		}
	}
}
