package state

import (
	"testing"
	"time"

	"tokend/pkg/secret"
)

// What a record from an older copy leaves in doubt, and counts.
func TestDoubt(t *testing.T) {
	copied := time.Date(2026, 10, 12, 12, 0, 0, 0, time.UTC)
	now := copied.Add(24 * time.Hour)
	refreshable := Grant{RefreshToken: secret.New("r"), ObtainedAt: copied.Add(-time.Minute), ExpiresAt: copied.Add(time.Hour)}
	kept := refreshable
	kept.Rotation = RotationKept
	plain := Grant{AccessToken: secret.New("a"), ObtainedAt: copied.Add(-time.Minute), ExpiresAt: copied.Add(time.Hour)}
	static, young := plain, plain
	static.ExpiresAt = time.Time{}
	young.ExpiresAt = now.Add(time.Hour)
	later := refreshable
	later.ObtainedAt = copied.Add(time.Minute)
	for name, c := range map[string]struct {
		rec     Credential
		before  time.Time
		orphans int
	}{
		"a refresh token that works once":      {Credential{Grant: &refreshable}, now, 1},
		"one that stays the same":              {Credential{Grant: &kept}, now, 0},
		"obtained since":                       {Credential{Grant: &later}, copied, 0},
		"no refresh token, expired since":      {Credential{Grant: &plain}, now, 1},
		"no refresh token, due since":          {Credential{Head: Head{Due: copied.Add(time.Hour)}, Grant: &young}, now, 1},
		"no refresh token, not due yet":        {Credential{Head: Head{Due: now.Add(time.Hour)}, Grant: &young}, now, 0},
		"a key that does not expire":           {Credential{Grant: &static}, now, 0},
		"no refresh token, in doubt before":    {Credential{Grant: &plain, Restored: copied}, now, 0},
		"nothing but a token that is given up": {Credential{Retiring: []Grant{refreshable}}, now, 0},
	} {
		rec := c.rec
		if rec.Grant != nil {
			g := *rec.Grant
			rec.Grant = &g
		}
		doubted := rec.Doubt(now, c.before)
		if rec.Orphans.Total() != c.orphans || doubted != (c.orphans > 0 || len(rec.Retiring) > 0) || (c.orphans > 0) != rec.Restored.Equal(now) {
			t.Errorf("%s: in doubt %v, %d orphans, restored %s", name, doubted, rec.Orphans.Total(), rec.Restored)
		}
		if spent := rec.Grant != nil && rec.Grant.RefreshState == RefreshIndeterminate; spent != (c.orphans > 0 && !rec.Grant.RefreshToken.Empty()) {
			t.Errorf("%s: its refresh token is in doubt: %v", name, spent)
		}
		if rec.Doubt(now, c.before) {
			t.Errorf("%s: it is put in doubt twice", name)
		}
	}
}
