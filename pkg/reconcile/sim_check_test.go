package reconcile_test

import (
	"slices"
	"strings"
	"time"

	"tokend/pkg/state"
)

// simRecord is what a credential's record said when it was last written.
type simRecord struct {
	access, refresh string
	grant           *simGrant
	retiring        []simRetired
	removing        time.Time
	ends            time.Time // since when it ends with the daemon; zero: it does not
	lifecycle       state.Lifecycle
	orphans         state.Orphans
	raw, rawOp      string
	kept            []string // replies that could not be read, beside the token
	open            string   // the operation of the open intent
	generation      uint64
}

type simRetired struct {
	access, refresh, cause string
	since                  time.Time
	grant                  *simGrant
}

// written looks at what a commit brought to disk.
func (s *simRun) written(changes []state.Change) {
	for i := range changes {
		c := &changes[i]
		switch {
		case c.Credential != nil:
			s.recorded(c.Credential)
			if c.ClearIntent || c.Intent != nil {
				s.intent(firstName(c.Credential.Head.Address), c.Intent)
			}
		case c.Sink != nil:
			s.recordedSink(c.Sink)
		case c.Delete != "" && recordedAnew(changes, c.Delete):
			s.note("moved", c.Delete, "", 0)
		case c.Delete != "":
			s.deleted(firstName(c.Delete))
		case c.IntentFor != "":
			s.intent(firstName(c.IntentFor), c.Intent)
		case c.MetaKey == "accepted":
			s.tookOver()
		}
	}
	for i := range changes {
		if a := firstName(addressIn(changes[i])); strings.HasPrefix(a, "credential.") {
			s.checkForgotten(a)
		}
	}
}

func (s *simRun) record(addr string) *simRecord {
	r, ok := s.records[addr]
	if !ok {
		r = &simRecord{}
		s.records[addr] = r
	}
	return r
}

func (s *simRun) intent(addr string, i *state.Intent) {
	r := s.record(addr)
	if r.open = ""; i != nil {
		r.open = i.Op
		s.books.triesByOrder(addr)
	} else {
		s.books.recordedRefusal(addr)
	}
	s.note("intent", addr, r.open, 0)
}

func (s *simRun) recorded(c *state.Credential) {
	addr := firstName(c.Head.Address)
	old := s.record(addr)
	if len(c.Orphans) > 0 && c.Grant == nil && len(c.Retiring) == 0 && c.Raw == nil && c.Lifecycle == (state.Lifecycle{}) {
		s.leaves(addr, c.Orphans, repliesKept(c))
		return
	}
	s.mostOrphans[addr] += newOrphans(old.orphans, c.Orphans)
	now := &simRecord{open: old.open, lifecycle: c.Lifecycle, orphans: c.Orphans, generation: c.Head.Generation, kept: repliesKept(c)}
	if now.lifecycle.RevokeOnShutdown {
		if now.ends = old.ends; now.ends.IsZero() {
			now.ends = s.wall()
		}
	}
	if g := c.Grant; g != nil {
		now.access, now.refresh = g.AccessToken.Reveal(), g.RefreshToken.Reveal()
		if r := s.books.refresh[now.refresh]; r != nil {
			if r.heldAs == nil {
				r.heldAs = map[string]state.RefreshState{}
			}
			r.heldAs[addr] = g.RefreshState
		}
		if a := s.books.access[now.access]; a != nil {
			now.grant = a.grant
		} else if now.access == "" {
			now.grant = s.imported(addr, old, g)
		}
		s.known[now.access] = true
	}
	for i := range c.Retiring {
		g := &c.Retiring[i]
		r := simRetired{access: g.AccessToken.Reveal(), refresh: g.RefreshToken.Reveal(), cause: g.Retired.Cause, since: g.Retired.Since}
		if a := s.books.access[r.access]; a != nil {
			r.grant = a.grant
		} else if t := s.books.refresh[r.refresh]; r.access == "" && t != nil {
			r.grant = t.grant // taken over, and given up before its first access token
		}
		now.retiring = append(now.retiring, r)
	}
	if c.Raw != nil {
		now.rawOp = c.Raw.Op
		if now.raw = c.Raw.Body.Reveal(); now.raw != old.raw {
			s.books.readNot(addr, now.raw)
		}
	}
	if c.Removing != nil {
		now.removing = c.Removing.Since
		if old.removing.IsZero() && c.Lifecycle.OnRemove != "forget" { // of which nothing is revoked
			s.checkGuard(addr)
		}
		s.sparedBy(c.Head.Address, old)
		if old.removing.IsZero() && old.lifecycle.PreventDestroy && old.grant != nil {
			s.fail("%s is given up, and prevent_destroy was set", addr)
		}
	}
	s.checkSpared(addr, old, now)
	s.checkOrdered(addr, old, now)
	s.checkPrevented(addr, old, now)
	s.rereadTooLate(addr, old, now)
	s.checkReplies(addr, old, now)
	if now.grant != nil && (now.grant != old.grant || s.config.shared && now.generation > old.generation && old.open == "grant") {
		s.books.succeeded(addr)
	}
	if s.records[addr] = now; now.access != old.access {
		s.took[addr] = s.real()
	}
	s.note("record", addr, now.access+" "+now.refresh+" "+now.raw, len(now.retiring)*100+now.orphans.Total())
	s.checkKept(addr, old, now)
}

func (s *simRun) deleted(addr string) {
	if !strings.HasPrefix(addr, "credential.") {
		s.note("record gone", addr, "", 0)
		delete(s.named, addr)
		delete(s.contents, addr)
		return
	}
	s.leaves(addr, nil, nil)
}

// recordedSink remembers what a sink is recorded to hold.
func (s *simRun) recordedSink(k *state.Sink) {
	_, account, _ := strings.Cut(string(k.Written), "\n")
	place, content, ok := strings.Cut(account, " ")
	s.named[k.Head.Address] = map[string]bool{place: ok}
	for _, left := range k.Leaving {
		_, account, _ := strings.Cut(string(left), "\n")
		at, _, _ := strings.Cut(account, " ")
		s.named[k.Head.Address][at] = true
	}
	switch {
	case !ok:
		return
	case k.WrittenAt.IsZero():
		s.note("intend sink", k.Head.Address, place+": "+content, len(k.Leaving))
		return
	}
	s.note("record sink", k.Head.Address, content, 0)
	s.contents[k.Head.Address] = content
	for _, t := range strings.Fields(content) {
		if a := s.books.access[t]; a != nil {
			key := place + " " + a.grant.addr
			s.delivered[key] = max(s.delivered[key], s.books.order(a))
		}
	}
}

// checkKept: a refresh token that was recorded is not lost, and what is dropped
// from a record although it lives may be dropped.
func (s *simRun) checkKept(addr string, old, now *simRecord) {
	real := s.real()
	if old.grant != nil && old.grant == now.grant && old.refresh != "" && now.refresh == "" {
		if r := s.books.refresh[old.refresh]; r != nil && r.lives(real) && r.spent.IsZero() {
			s.fail("the refresh token %s of %s is in no record any more", old.refresh, addr)
		}
	}
	if old.grant != nil && !now.has(old.grant) && old.grant.lives(real) {
		s.forgive(addr, old.grant, "remove", now)
	}
	for _, r := range old.retiring {
		if r.grant != nil && !now.has(r.grant) && r.grant.lives(real) {
			s.forgive(addr, r.grant, r.cause, now)
		}
	}
}

// rereadTooLate: a reply was kept so long that the access token in it has ended,
// and the refresh token that it came by, of which there is but one, was given up
// meanwhile with the access token before it.
func (s *simRun) rereadTooLate(addr string, old, now *simRecord) {
	gone := slices.DeleteFunc(slices.Clone(old.kept), func(raw string) bool { return slices.Contains(now.kept, raw) })
	if old.raw != "" && now.raw == "" && old.grant == nil {
		gone = append(gone, old.raw)
	}
	for _, g := range s.books.grants {
		last := g.access[len(g.access)-1]
		if g.addr == addr && !g.typ.rotates && len(g.access) > 1 && !last.lives(s.real()) && strings.Contains(strings.Join(gone, " "), `"`+last.token+`"`) {
			g.forgiven = "its access token has ended, and its refresh token was given up"
		}
	}
}

func (r *simRecord) has(g *simGrant) bool {
	if r.grant == g {
		return true
	}
	for _, x := range r.retiring {
		if x.grant == g {
			return true
		}
	}
	return false
}

// forgive notes why a grant that lives may be forgotten, if it may.
func (s *simRun) forgive(addr string, g *simGrant, cause string, now *simRecord) {
	tr := g.typ.traits
	on := func(c string) bool {
		for _, x := range tr.RevokeOn {
			if x == c {
				return true
			}
		}
		return false
	}
	wanted := on(cause) || cause == "revoke" || (cause == "taint" || cause == "expired") && on("replace")
	switch {
	case !tr.HasRevoke:
		g.forgiven = "its API revokes nothing"
	case !wanted:
		g.forgiven = "its API revokes nothing on " + cause
	case tr.Session == "shared_grant" && now.grant != nil && cause != "revoke":
		g.forgiven = "it shares its grant with the one in force"
	case tr.Session == "shared_grant" && now.grant != nil && !now.removing.IsZero() && now.lifecycle.OnRemove == "forget":
		g.forgiven = "it shares its grant with the one that is left alone"
	case now.lifecycle.OnRemove == "forget" && now.generation == 0 && now.access == "":
		g.forgiven = "on_remove says so"
	case now.generation == 0 && now.access == "" && s.blockForgets(addr):
		g.forgiven = "a removed block says so"
	case s.given[addr]:
		g.forgiven = "a person gave it up"
	case s.skewed:
		g.forgiven = "the clock stepped, so when it ends is not known"
	}
}

// newOrphans is how many came to the orphans of a record, of which others may have gone
// because they have ended.
func newOrphans(was, are state.Orphans) int {
	n := max(0, are.Total()-was.Total())
	if len(are) > 0 && (len(was) == 0 || are[len(are)-1] != was[len(was)-1]) {
		n = max(1, n)
	}
	return n
}

// checkForgotten: every grant that lives is in its record, or counted.
func (s *simRun) checkForgotten(addr string) {
	r := s.record(addr)
	if r.open != "" {
		return
	}
	real := s.real()
	counted := s.counted(addr, r)
	var missing []string
	for _, g := range s.books.grants {
		if !g.isOf(addr) || g.forgiven != "" || r.has(g) || !g.lives(real) || s.elsewhere(addr, g) {
			continue
		}
		if last := g.access[len(g.access)-1].token; !strings.Contains(r.raw, `"`+last+`"`) {
			missing = append(missing, last)
		}
	}
	if len(missing) > counted {
		s.fail("%s has forgotten what lives: %s, with %d orphans counted", addr, strings.Join(missing, ", "), counted)
	}
}

// checkPrevented: a change of configuration replaces no token that
// prevent_destroy keeps. A reply that came before that was set is read all the
// same.
func (s *simRun) checkPrevented(addr string, old, now *simRecord) {
	if !now.lifecycle.PreventDestroy || now.grant == nil || old.raw != "" || now.grant.typ.traits.Interactive {
		return
	}
	for _, r := range now.retiring {
		if r.cause == "replace" && r.grant != nil && r.grant == old.grant && !slices.ContainsFunc(old.retiring, func(x simRetired) bool { return x.access == r.access }) {
			s.fail("%s is replaced, and prevent_destroy is set", addr)
		}
	}
}

// checkDelivery: nobody is told of a token before it is on disk, and no place
// goes back to an older one.
func (s *simRun) checkDelivery(place, content string) {
	if !s.isNamed(place) {
		s.fail("%s is given %q, and no record names it", place, content)
	}
	var last *simAccess
	for _, t := range strings.Fields(content) {
		if strings.HasPrefix(t, "no") {
			s.checkNumber(place, last, t)
			continue
		}
		a := s.books.access[t]
		if last = a; a == nil {
			s.fail("%s is given %q, which nobody issued", place, t)
			continue
		}
		if !s.known[t] {
			s.fail("%s is given %s, which is not on disk", place, t)
		}
		if s.books.order(a) < s.delivered[place+" "+a.grant.addr] && !a.grant.typ.repeats { // which gives an older one again
			s.fail("%s is given %s after a newer one was recorded there", place, t)
		}
	}
}

// isNamed says that a record names a place: what is left there is found.
func (s *simRun) isNamed(place string) bool {
	for _, places := range s.named {
		if places[place] {
			return true
		}
	}
	return false
}

// order is the place of an access token in the order of all of its credential.
func (b *simBooks) order(a *simAccess) int {
	n := 0
	for i, x := range a.grant.access {
		if x == a {
			n = i
		}
	}
	return a.grant.came*100000 + n
}

// hold changes what a place holds.
func (s *simRun) hold(place, content string) {
	p := s.place(place)
	if p.content == content {
		return
	}
	for _, t := range strings.Fields(p.content) {
		if !strings.Contains(" "+content+" ", " "+t+" ") {
			s.leaving(t, place)
		}
	}
	p.content = content
	s.changes++
}

func (s *simRun) place(name string) *simPlace {
	p, ok := s.places[name]
	if !ok {
		p = &simPlace{}
		s.places[name] = p
	}
	return p
}

// checkOrigin: nothing of a grant goes to another address than its own.
func (b *simBooks) checkOrigin(e *simEndpoint, g *simGrant) {
	if e.base != g.origin {
		b.s.fail("a token of %s was sent to %s", g.origin, e.base)
	}
}

// checkSpend: a refresh token that works once is used once, but for one replay
// within the window and one last try where only a person could go on: by a login,
// or by letting a change of what it is obtained with go ahead. One that may be spent
// for all that tokend knows is held to the same, and one that was refused is not sent
// again, whoever asks for it.
func (b *simBooks) checkSpend(r *simRefresh, real time.Time, by string) {
	g := r.grant
	if rec := b.s.record(by); rec.open != "refresh" && rec.open != "revive" {
		b.s.fail("%s is spent, and no intent says so", r.token)
	}
	refreshes := b.s.record(by).open == "refresh"
	if refreshes && r.heldAs[by] == state.RefreshRefused {
		b.s.fail("%s was refused, and is sent again", r.token)
	}
	doubt := refreshes && r.heldAs[by] == state.RefreshIndeterminate
	if !g.typ.rotates || r.dead || r.spent.IsZero() && !doubt {
		return
	}
	switch {
	case !doubt && real.Sub(r.spent)-b.slept <= g.typ.traits.ReplayWindow && r.used == 1:
	case (g.typ.traits.Interactive || b.wantsAnother(g)) && !r.tried && (b.s.skewed || g.typ.traits.InvalidatesAccessToken || b.endsSoon(g, real)):
		r.tried = true
	default:
		b.s.fail("%s is spent for the %dth time, %s after the first", r.token, r.used+1, real.Sub(r.spent))
	}
}

// endsSoon says whether the access token that tokend has of a grant is about to
// end, or has.
func (b *simBooks) endsSoon(g *simGrant, real time.Time) bool {
	a := b.access[b.s.record(g.addr).access]
	return a == nil || a.dead || a.expires.Sub(real) < time.Minute || a.asked.Add(g.typ.life).Sub(real) < time.Minute
}

// wantsAnother says that the configuration declares what a grant is for with
// another account or address than it has: with these it may not be obtained anew.
func (b *simBooks) wantsAnother(g *simGrant) bool {
	i := slices.Index(simCredentials[:], g.addr)
	said := b.s.saidOfLate()
	if !b.s.config.declares(i) {
		said = append(said, b.s.lastOf[i]) // by which it lives on while the guard holds its removal
	}
	return slices.ContainsFunc(said, func(c simConfig) bool {
		_, _, base, _ := c.shape()
		return c.declares(i) && (g.origin != base || g.account != c.account(i) || g.rich != (c.richness(i) > 0))
	})
}

// saidOfLate are the configuration in force and the one before, by which a step may
// go that began a moment before it was changed.
func (s *simRun) saidOfLate() []simConfig {
	if s.real().Sub(s.changedAt) < time.Minute {
		return []simConfig{s.config, s.before}
	}
	return []simConfig{s.config}
}
