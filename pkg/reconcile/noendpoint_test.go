package reconcile_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A token that its server takes no back from, since nothing says where, is forgotten
// with a warning: it lives.
func TestATokenThatCannotBeRevokedIsWarnedOf(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		said := &logLines{}
		w.halt()
		w.log = slog.New(slog.NewTextHandler(said, nil))
		w.start()
		one := strings.Replace(services("x", 1, "oauth2", "oauth2"), "  revoke_url    = \"http://oauth2.localhost/revoke\"\n", "", 1)
		other := strings.Replace(one, "each.key\n  client_secret", "\"another\"\n  client_secret", 1)
		w.set(oneProvider + one)
		w.wait(time.Minute)
		w.set(oneProvider + other)
		w.wait(5 * time.Minute)
		if n := said.count("level=WARN msg=\"a token cannot be revoked and is forgotten"); n != 1 {
			t.Errorf("it is warned of %d times", n)
		}
	})
}
