package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// fieldOf is one attribute of a credential as text.
func fieldOf(cfg *spec.Config, addr spec.Address, at spec.Attributes, field string) (string, error) {
	switch field {
	case "access_token", "header":
		t := at.AccessToken
		if field == "header" {
			t = at.Header
		}
		if t.Empty() { // empty in a script, it would be a request without a token
			return "", withHint(fmt.Errorf("%s has no %s: its grant gives no access token", addr.Short(), field), "it has: %s", strings.Join(at.Outputs.Names(), ", "))
		}
		return t.Reveal(), nil
	case "header_name":
		return at.HeaderName, nil
	case "token_type":
		return at.TokenType, nil
	case "expires_at":
		return when(at.ExpiresAt), nil
	case "obtained_at":
		return when(at.ObtainedAt), nil
	case "scopes":
		return strings.Join(at.Scopes, " "), nil
	case "generation":
		return fmt.Sprint(at.Generation), nil
	case "refresh_token":
		return refreshToken(cfg, addr, at)
	}
	t, err := at.Outputs.Secret(field)
	if err == nil && !at.Outputs.Has(field) {
		err = fmt.Errorf("%s has no attribute %q", addr.Short(), field)
		err = withHint(err, "it has: %s", strings.Join(append(attributeNames(), at.Outputs.Names()...), ", "))
	}
	return t.Reveal(), err
}

func attributeNames() []string {
	return []string{"access_token", "token_type", "header_name", "header", "expires_at", "obtained_at", "scopes", "generation"}
}

func refreshToken(cfg *spec.Config, addr spec.Address, at spec.Attributes) (string, error) {
	c, err := cfg.Credential(addr)
	if err != nil {
		return "", err
	}
	if !c.ExposeRefreshToken {
		return "", withHint(fmt.Errorf("the refresh token of %s is not exposed", addr.Short()), "set expose_refresh_token = true in its block, if it really has to leave tokend")
	}
	return at.RefreshToken.Reveal(), nil
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func flagWords(f state.Flags) []string {
	var words []string
	for _, x := range []struct {
		f    state.Flags
		word string
	}{
		{state.FlagRetiring, "retiring"}, {state.FlagTainted, "tainted"}, {state.FlagStopped, "stopped"}, {state.FlagPreventDestroy, "prevent_destroy"},
		{state.FlagHookPending, "hook pending"}, {state.FlagRaw, "unread reply"}, {state.FlagForgetOnRemove, "forget on remove"}, {state.FlagRemoving, "removing"},
		{state.FlagVerify, "verified"},
	} {
		if f&x.f != 0 {
			words = append(words, x.word)
		}
	}
	return words
}

// showCredential is a credential's record for people: every secret is only
// said to be there.
func showCredential(c *state.Credential, i *state.Intent, now time.Time) map[string]any {
	m := map[string]any{"generation": c.Head.Generation, "version": c.Head.Version, "lifecycle": lifecycleMap(c.Lifecycle), "orphans": c.Orphans.Living(now)}
	if lost := showOrphans(c.Orphans, now); lost != nil {
		m["orphans_lost"] = lost
	}
	if c.Note != "" {
		m["last_change_because"] = c.Note
	}
	if c.Grant != nil {
		m["grant"] = showGrant(c.Grant)
	}
	var retiring []any
	for n := range c.Retiring {
		g := showGrant(&c.Retiring[n])
		r := c.Retiring[n].Retired
		g["retired"] = map[string]any{"since": when(r.Since), "cause": r.Cause, "delivered_at": when(r.DeliveredAt), "attempts": r.Attempts, "next_at": when(r.NextAt), "message": r.Message}
		retiring = append(retiring, g)
	}
	if retiring != nil {
		m["retiring"] = retiring
	}
	if f := c.Failure; f != nil {
		m["failure"] = showFailure(f)
	}
	if i != nil {
		m["intent"] = map[string]any{"op": i.Op, "attempt": i.Attempt, "at": when(i.At), "generation": i.Generation, "replay": i.Replay}
	}
	if c.Raw != nil {
		m["unread_reply"] = showReply(c.Raw)
	}
	var kept []any
	for n := range c.Kept {
		kept = append(kept, showReply(&c.Kept[n]))
	}
	if kept != nil {
		m["unread_replies_kept"] = kept
	}
	return m
}

// showReply is a reply that could not be read: how much of it there is, and not what.
func showReply(r *state.Raw) map[string]any {
	return map[string]any{"op": r.Op, "at": when(r.At), "status": r.Status, "bytes": r.Body.Len(), "message": r.Message}
}

// showOrphans are the tokens that may live and that nobody knows: since when, and until
// when, as far as that is known.
func showOrphans(all state.Orphans, now time.Time) []map[string]any {
	var out []map[string]any
	for _, o := range all.Left(now) {
		m := map[string]any{"count": o.Count}
		for name, at := range map[string]time.Time{"since": o.Since, "ended_by": o.Until} {
			if !at.IsZero() {
				m[name] = when(at)
			}
		}
		out = append(out, m)
	}
	return out
}

func lifecycleMap(l state.Lifecycle) map[string]any {
	return map[string]any{"on_remove": l.OnRemove, "prevent_destroy": l.PreventDestroy, "overlap": l.Overlap.String(), "max_overlap": l.MaxOverlap.String()}
}

func showFailure(f *state.Failure) map[string]any {
	return map[string]any{"op": f.Op, "class": f.Class, "message": f.Message, "count": f.Count, "first_at": when(f.FirstAt), "next_at": when(f.NextAt), "stopped": f.Stopped}
}

func showGrant(g *state.Grant) map[string]any {
	m := map[string]any{
		"generation": g.Generation, "type": g.Type, "grant": g.GrantType, "provider": g.Provider, "origins": g.Origins, "scopes": g.Scopes, "token_type": g.TokenType,
		"access_token": presence(g.AccessToken), "refresh_token": presence(g.RefreshToken), "granted_at": when(g.GrantedAt),
		"obtained_at": when(g.ObtainedAt), "expires_at": when(g.ExpiresAt), "refresh_until": when(g.RefreshUntil),
	}
	if g.Revision != "" {
		m["commit"] = g.Revision
	}
	return m
}

func presence(t secret.Text) string {
	if t.Empty() {
		return ""
	}
	return secret.Redacted
}

func showSink(s *state.Sink) map[string]any {
	m := map[string]any{"kind": s.SinkKind, "place": reconcile.PlaceOf(s), "delivered": s.Delivered, "written_at": when(s.WrittenAt), "version": s.Head.Version}
	if left := reconcile.LeftOf(s); left != nil {
		m["leaving"] = left
	}
	if len(s.Notify) > 0 {
		m["hooks_pending"] = s.Notify
	}
	if s.Failure != nil {
		m["failure"] = showFailure(s.Failure)
	}
	return m
}

func indentJSON(v any) (string, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return string(b), err
}
