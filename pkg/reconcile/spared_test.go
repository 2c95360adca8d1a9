package reconcile_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A sink moves, and somebody else has changed what is at its earlier place: that is
// left alone, and nobody is told that it was cleaned.
func TestAPlaceThatIsLeftAloneIsNotSaidToBeCleaned(t *testing.T) {
	for name, changed := range map[string]bool{"changed by somebody else": true, "as it was written": false} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				var said bytes.Buffer
				w.halt()
				w.log = slog.New(slog.NewTextHandler(&said, nil))
				w.start()
				config := trader("a@example.com", "")
				w.set(config)
				<-time.After(time.Minute)
				if changed {
					w.places.forge("trader", "somebody else's")
				}
				w.set(strings.Replace(config, `"trader"`+"\n  content", `"elsewhere"`+"\n  content", 1))
				<-time.After(time.Minute)
				w.halt()
				defer w.start()
				if strings.Contains(said.String(), "msg=cleaned") == changed {
					t.Errorf("it was said:\n%s", said.String())
				}
			})
		})
	}
}
