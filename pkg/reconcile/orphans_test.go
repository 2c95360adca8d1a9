package reconcile

import (
	"testing"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/state"
)

// When a token that nobody saw has ended is what its type says and what came before by
// the same grant, whichever is longer; where one of its tokens may live for ever, it is
// not known.
func TestWhenAnUnseenTokenHasEnded(t *testing.T) {
	const day = 24 * time.Hour
	like := func(life, refresh time.Duration, change func(*state.Grant)) *state.Grant {
		g := &state.Grant{AccessToken: secret.New("a"), RefreshToken: secret.New("r"), ObtainedAt: t0}
		if life > 0 {
			g.ExpiresAt = t0.Add(life)
		}
		if refresh > 0 {
			g.RefreshUntil = t0.Add(refresh)
		}
		if change != nil {
			change(g)
		}
		return g
	}
	plain := func(g *state.Grant) { g.RefreshToken = secret.Text{} }
	for name, c := range map[string]struct {
		traits Traits
		like   *state.Grant
		fresh  bool
		want   time.Duration // 0: not known
	}{
		"nothing is known":                           {Traits{}, nil, false, 0},
		"the type says how long":                     {Traits{Lifetime: time.Hour}, nil, false, time.Hour},
		"a refresh token may come, of unknown life":  {Traits{Lifetime: time.Hour}, nil, true, 0},
		"a refresh token, as the type says":          {Traits{Lifetime: time.Hour, RefreshLifetime: day}, nil, true, day},
		"that one before lived as long":              {Traits{}, like(2*time.Hour, 0, plain), false, 2 * time.Hour},
		"the one before lived longer":                {Traits{Lifetime: time.Hour}, like(2*time.Hour, 0, plain), false, 2 * time.Hour},
		"the one before lived shorter":               {Traits{Lifetime: 3 * time.Hour}, like(2*time.Hour, 0, plain), false, 3 * time.Hour},
		"the one before does not say":                {Traits{Lifetime: time.Hour}, like(0, 0, plain), false, 0},
		"no refresh token comes by this grant":       {Traits{}, like(time.Hour, 0, plain), true, time.Hour},
		"the refresh token before did not say":       {Traits{}, like(time.Hour, 0, nil), true, 0},
		"the refresh token before lived a day":       {Traits{}, like(time.Hour, day, nil), true, day},
		"the refresh token before was kept for long": {Traits{}, like(time.Hour, time.Hour, func(g *state.Grant) { g.Rotation, g.GrantedAt = state.RotationKept, t0.Add(-29*day) }), true, 29*day + time.Hour},
		"the refresh token stays":                    {Traits{}, like(time.Hour, day, nil), false, time.Hour},
		"the machine slept while it was on its way":  {Traits{}, like(time.Hour, 0, func(g *state.Grant) { plain(g); g.Late = time.Minute }), false, time.Hour + time.Minute},
		"taken over and not used":                    {Traits{}, like(0, 0, func(g *state.Grant) { g.AccessToken = secret.Text{} }), true, 0},
		"the access token outlives the refresh one":  {Traits{Lifetime: day, RefreshLifetime: time.Hour}, nil, true, day},
		"a refresh token of unknown life, not fresh": {Traits{Lifetime: time.Hour}, like(time.Hour, 0, nil), false, time.Hour},
	} {
		got, want := unseenUntil(c.traits, c.like, c.fresh, t0), time.Time{}
		if c.want > 0 {
			want = t0.Add(c.want + orphanMargin)
		}
		if !got.Equal(want) {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// When tokens that are known have ended is when the last of them has.
func TestWhenAGrantHasEnded(t *testing.T) {
	a, r := secret.New("a"), secret.New("r")
	hour, day := t0.Add(time.Hour), t0.Add(24*time.Hour)
	for name, c := range map[string]struct {
		g    state.Grant
		want time.Time
	}{
		"no token":                 {state.Grant{}, time.Time{}},
		"an access token":          {state.Grant{AccessToken: a, ExpiresAt: hour}, hour},
		"both":                     {state.Grant{AccessToken: a, ExpiresAt: hour, RefreshToken: r, RefreshUntil: day}, day},
		"both, slept over":         {state.Grant{AccessToken: a, ExpiresAt: hour, RefreshToken: r, RefreshUntil: day, Late: time.Minute}, day.Add(time.Minute)},
		"an endless refresh token": {state.Grant{AccessToken: a, ExpiresAt: hour, RefreshToken: r}, time.Time{}},
		"an endless access token":  {state.Grant{AccessToken: a, RefreshToken: r, RefreshUntil: day}, time.Time{}},
		"a refresh token alone":    {state.Grant{RefreshToken: r, RefreshUntil: day}, day},
	} {
		if got := endsBy(&c.g); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// Orphans that were looked after are counted no more; where there are none, or they
// have ended, there is nothing to do for it. Nothing else follows from the order.
func TestDecideAboutOrphans(t *testing.T) {
	for name, c := range map[string]struct {
		orphans state.Orphans
		want    Action
	}{
		"none":           {nil, ActNone},
		"one":            {state.Orphans{{Count: 1}}, ActNote},
		"one that ended": {state.Orphans{{Count: 1, Until: t0}}, ActNone},
	} {
		in := anInput(func(in *Input) { in.Record.Orphans, in.Order = c.orphans, Order{Kind: OrderOrphans} })
		if s := Decide(in); s.Action != c.want || s.Action == ActNote && s.Cause != causeOrphans {
			t.Errorf("%s: %q (%s)", name, s.Action, s.Reason)
		}
	}
}
