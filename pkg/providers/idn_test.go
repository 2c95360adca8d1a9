package providers_test

import (
	"testing"

	"tokend/pkg/providers"
)

// An origin is told by the bytes of its host. A letter that Unicode has as the
// capital of an ASCII one is another letter to DNS: "İ" is dialled as "i" with a
// dot above, which is another domain, and anybody's.
func TestAnOriginIsNotFoldedIntoAnother(t *testing.T) {
	r, _ := newRig(t, typeOf(t, shop), jsonReply(200, `{}`), map[string]any{"base_url": "https://apİ.example"})
	c := shopCall(r, providers.OpGrant)
	c.Origins = []string{"https://api.example:443"}
	if req, err := r.e.Prepare(c); err == nil {
		t.Errorf("a request to %s was made", req)
	} else if pe := asError(t, err); pe.Class != providers.ClassConfig {
		t.Errorf("%v", pe)
	}
	c.Origins = nil
	req, err := r.e.Prepare(c)
	if err != nil {
		t.Fatal(err)
	}
	if req.Origin != "https://apİ.example:443" {
		t.Errorf("its origin is %s", req.Origin)
	}
}
