package state

import (
	"bytes"
	"testing"
)

// What a record was sealed from does not stay in memory, nor in what the next is encoded in.
func TestWhatWasSealedIsCleared(t *testing.T) {
	b := append(draft(64), "a refresh token"...)
	leaveDraft(b)
	if !bytes.Equal(b, make([]byte, len(b))) {
		t.Errorf("it holds %q still", b)
	}
	next := append(draft(64), "short"...)
	if rest := next[len(next):cap(next)]; !bytes.Equal(rest, make([]byte, len(rest))) {
		t.Errorf("behind the next record there is %q", rest)
	}
}
