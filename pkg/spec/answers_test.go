package spec

import "testing"

// TestAnswers: what was said of an address is found again, of one as of many.
func TestAnswers(t *testing.T) {
	var k answers[int]
	asked := []Address{"secret.file.a", "secret.file.b", "secret.file.c"}
	for i, a := range asked {
		if v, ok := k.of(a); ok {
			t.Errorf("nothing was said of %s, and it is %d", a, v)
		}
		k.keep(a, i)
		for j, b := range asked[:i+1] {
			if v, ok := k.of(b); !ok || v != j {
				t.Errorf("of %s it was said %d, and it is %d, %v", b, j, v, ok)
			}
		}
	}
	if v, ok := k.of(""); ok {
		t.Errorf("of no address it is %d", v)
	}
}
