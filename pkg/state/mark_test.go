package state

import (
	"testing"
	"time"

	"tokend/pkg/secret"
)

// A restored copy is doubted whole, also by a clock that is behind the one that
// wrote it.
func TestDoubtByASlowClock(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	c := Credential{Grant: &Grant{ObtainedAt: now.Add(time.Minute), RefreshToken: secret.New("r"), RefreshState: RefreshUsable, Rotation: RotationRotated}}
	if !c.doubt(now) {
		t.Error("a refresh token of an older copy is taken for unspent")
	}
}
