package state

import (
	"encoding/binary"
	"errors"
)

// The newest formats that this program writes.
const (
	credentialFormat = 13 // 2: a grant's revision; 3: when the state went back to an older copy; 4: what verifying found, and without what nothing reads; 5: a lost refresh of a grant; 6: a kept reply whose tokens a revocation took along; 7: how much later a token may end; 8: that a kept reply was slept over; 9: how many of a revocation's failures were alike, and a lost question about a device code; 10: since when orphans are, and until when; 11: replies that a newer token came after; 12: of whose account a kept reply is; 13: when a refresh token was refused, and why
	sinkFormat       = 3  // 2: without what nothing reads; 3: what the places hold that a sink has left
	intentFormat     = 1
)

func appendCredential(b []byte, c *Credential) []byte {
	b = append(b, credentialFormat)
	b = appendBool(b, c.Grant != nil)
	if c.Grant != nil {
		b = appendGrant(b, c.Grant)
	}
	b = binary.AppendUvarint(b, uint64(len(c.Retiring)))
	for i := range c.Retiring {
		b = appendGrant(b, &c.Retiring[i])
	}
	b = appendFailure(b, c.Failure)
	b = appendRaw(b, c.Raw)
	b = binary.AppendUvarint(b, uint64(len(c.Orphans)))
	for _, o := range c.Orphans {
		b = binary.AppendUvarint(b, uint64(o.Count))
		b = appendTime(b, o.Since)
		b = appendTime(b, o.Until)
	}
	b = appendString(b, c.Lifecycle.OnRemove)
	b = appendBool(b, c.Lifecycle.PreventDestroy)
	b = binary.AppendVarint(b, int64(c.Lifecycle.Overlap))
	b = binary.AppendVarint(b, int64(c.Lifecycle.MaxOverlap))
	b = appendBool(b, c.Lifecycle.RevokeOnShutdown)
	b = appendRemoving(b, c.Removing)
	b = appendString(b, c.Note)
	b = appendTime(b, c.Restored) // since format 3
	b = appendVerified(b, &c.Verified)
	b = appendString(b, c.LostPoll)
	b = binary.AppendUvarint(b, uint64(len(c.Kept)))
	for i := range c.Kept {
		b = appendRaw(b, &c.Kept[i])
	}
	return b
}

// decodeCredential reads everything but the head.
func decodeCredential(b []byte) (Credential, error) {
	r := &reader{b: b}
	var c Credential
	format := r.version("credential", credentialFormat)
	r.full = format < 4
	if r.bool() {
		c.Grant = new(Grant)
		r.grant(c.Grant, format)
	}
	if n := r.count(grantMin); n > 0 {
		c.Retiring = make([]Grant, n)
		for i := range c.Retiring {
			r.grant(&c.Retiring[i], format)
		}
	}
	c.Failure = r.failure()
	c.Raw = r.rawReply(format)
	c.Orphans = r.orphans(format)
	c.Lifecycle.OnRemove = r.str()
	c.Lifecycle.PreventDestroy = r.bool()
	c.Lifecycle.Overlap = r.duration()
	c.Lifecycle.MaxOverlap = r.duration()
	c.Lifecycle.RevokeOnShutdown = r.bool()
	c.Removing = r.removing()
	r.dropped(func() { r.str() })
	c.Note = r.str()
	r.dropped(func() { r.int(); r.time() })
	if format >= 3 {
		c.Restored = r.time()
	}
	if format >= 4 {
		c.Verified = r.verified()
	}
	if format >= 9 {
		c.LostPoll = r.str()
	}
	if format >= 11 {
		c.Kept = r.kept(format)
	}
	if err := r.end(); err != nil {
		return Credential{}, err
	}
	return c, nil
}

// rawMin is the least that a reply takes which is kept beside a token: a byte for each
// of its fields in format 11, and that it is there.
const rawMin = 15

// kept reads replies that are kept beside a token.
func (r *reader) kept(format byte) []Raw {
	var all []Raw
	for range r.count(rawMin) {
		w := r.rawReply(format)
		if w == nil {
			r.fail(errors.New("a reply that it counts is not there"))
			return nil
		}
		all = append(all, *w)
	}
	return all
}

// orphans reads orphans; until format 10 there was a number alone.
func (r *reader) orphans(format byte) Orphans {
	if format < 10 {
		if n := r.int(); n > 0 {
			return Orphans{{Count: n}}
		}
		return nil
	}
	var all Orphans
	for range r.count(3) {
		all = append(all, Orphan{Count: int(r.uvarint()), Since: r.time(), Until: r.time()})
	}
	return all
}

func appendVerified(b []byte, v *Verified) []byte {
	b = binary.AppendUvarint(b, v.Refused)
	b = appendTime(b, v.At)
	b = appendString(b, v.Why)
	b = binary.AppendUvarint(b, v.Refreshed)
	b = binary.AppendUvarint(b, uint64(len(v.Renewed)))
	for _, t := range v.Renewed {
		b = appendTime(b, t)
	}
	return b
}

func (r *reader) verified() Verified {
	v := Verified{Refused: r.uvarint(), At: r.time(), Why: r.str(), Refreshed: r.uvarint()}
	for range r.count(1) {
		v.Renewed = append(v.Renewed, r.time())
	}
	return v
}

// dropped reads past what only older formats have.
func (r *reader) dropped(read func()) {
	if r.full {
		read()
	}
}

// grantMin is the least that a grant takes: a byte for each of the fields that the first format had.
const grantMin = 23

func appendGrant(b []byte, g *Grant) []byte {
	b = binary.AppendUvarint(b, g.Generation)
	b = appendString(b, g.Endpoint)
	b = appendString(b, g.Provider)
	b = appendString(b, g.Type)
	b = appendString(b, g.GrantType)
	b = appendString(b, g.AccessToken.Reveal())
	b = appendString(b, g.TokenType)
	b = appendString(b, g.RefreshToken.Reveal())
	b = appendString(b, g.HeaderName)
	b = appendString(b, g.Header.Reveal())
	b = appendStrings(b, g.Scopes)
	b = appendBytes(b, g.Outputs)
	b = appendTime(b, g.GrantedAt)
	b = appendTime(b, g.ObtainedAt)
	b = appendTime(b, g.ExpiresAt)
	b = appendTime(b, g.RefreshUntil)
	b = append(b, byte(g.Rotation), byte(g.RefreshState))
	b = appendString(b, g.RedirectURI)
	b = appendStrings(b, g.Origins)
	b = appendMap(b, g.InputHashes)
	b = appendBytes(b, g.Inputs)
	b = appendString(b, g.Revision)
	b = appendBool(b, g.LostRefresh)
	b = binary.AppendVarint(b, int64(g.Late))
	b = appendString(appendTime(b, g.RefusedAt), g.Refused)
	b = appendBool(b, g.Retired != nil)
	if t := g.Retired; t != nil {
		b = appendTime(b, t.Since)
		b = appendString(b, t.Cause)
		b = appendTime(b, t.DeliveredAt)
		b = binary.AppendVarint(b, int64(t.Attempts))
		b = appendTime(b, t.NextAt)
		b = appendString(b, t.Message)
		b = binary.AppendVarint(b, int64(t.Alike))
	}
	return b
}

func (r *reader) grant(g *Grant, format byte) {
	g.Generation = r.uvarint()
	g.Endpoint = r.str()
	g.Provider = r.str()
	g.Type = r.str()
	g.GrantType = r.str()
	g.AccessToken = r.text()
	g.TokenType = r.str()
	g.RefreshToken = r.text()
	g.HeaderName = r.str()
	g.Header = r.text()
	g.Scopes = r.strs()
	g.Outputs = r.bytes()
	g.GrantedAt = r.time()
	g.ObtainedAt = r.time()
	g.ExpiresAt = r.time()
	g.RefreshUntil = r.time()
	g.Rotation = Rotation(r.byte())
	g.RefreshState = RefreshState(r.byte())
	g.RedirectURI = r.str()
	g.Origins = r.strs()
	g.InputHashes = r.strMap()
	g.Inputs = r.bytes()
	if format >= 2 {
		g.Revision = r.str()
	}
	if format >= 5 {
		g.LostRefresh = r.bool()
	}
	if format >= 7 {
		g.Late = r.duration()
	}
	if format >= 13 {
		g.RefusedAt, g.Refused = r.time(), r.str()
	}
	if r.bool() {
		g.Retired = &Retired{
			Since:       r.time(),
			Cause:       r.str(),
			DeliveredAt: r.time(),
			Attempts:    r.int(),
			NextAt:      r.time(),
			Message:     r.str(),
		}
		r.dropped(func() { r.bool() })
		if format >= 9 {
			g.Retired.Alike = r.int()
		}
	}
}

func appendFailure(b []byte, f *Failure) []byte {
	b = appendBool(b, f != nil)
	if f == nil {
		return b
	}
	b = appendString(b, f.Op)
	b = appendString(b, f.Class)
	b = appendString(b, f.Message)
	b = appendString(b, f.Hint)
	b = binary.AppendVarint(b, int64(f.Count))
	b = binary.AppendVarint(b, int64(f.Reached))
	b = appendTime(b, f.FirstAt)
	b = appendTime(b, f.LastAt)
	b = appendTime(b, f.NextAt)
	b = appendBool(b, f.Stopped)
	return appendMap(b, f.InputHash)
}

func (r *reader) failure() *Failure {
	if !r.bool() {
		return nil
	}
	f := &Failure{
		Op:        r.str(),
		Class:     r.str(),
		Message:   r.str(),
		Hint:      r.str(),
		Count:     r.int(),
		Reached:   r.int(),
		FirstAt:   r.time(),
		LastAt:    r.time(),
		NextAt:    r.time(),
		Stopped:   r.bool(),
		InputHash: r.strMap(),
	}
	r.dropped(func() { r.bool() })
	return f
}

func appendRaw(b []byte, w *Raw) []byte {
	b = appendBool(b, w != nil)
	if w == nil {
		return b
	}
	b = appendString(b, w.Op)
	b = appendString(b, w.Endpoint)
	b = appendString(b, w.GrantType)
	b = appendTime(b, w.At)
	b = binary.AppendVarint(b, int64(w.Status))
	b = binary.AppendUvarint(b, uint64(len(w.Header)))
	for k, v := range w.Header {
		b = appendStrings(appendString(b, k), v)
	}
	b = appendString(b, w.Body.Reveal())
	b = appendBytes(b, w.Inputs)
	b = appendString(b, w.Redirect)
	b = binary.AppendUvarint(b, w.Generation)
	b = appendBool(appendString(b, w.Message), w.Revoked)
	b = appendTime(binary.AppendVarint(b, int64(w.Slept)), w.Until)
	return appendMap(appendString(b, w.Type), w.InputHashes)
}

func (r *reader) rawReply(format byte) *Raw {
	if !r.bool() {
		return nil
	}
	w := &Raw{Op: r.str(), Endpoint: r.str(), GrantType: r.str(), At: r.time(), Status: r.int()}
	if n := r.count(2); n > 0 {
		w.Header = make(map[string][]string, n)
		for range n {
			k := r.str()
			w.Header[k] = r.strs()
		}
	}
	w.Body = r.text()
	w.Inputs = r.bytes()
	r.dropped(func() { r.strMap() })
	w.Redirect = r.str()
	w.Generation = r.uvarint()
	w.Message = r.str()
	if format >= 6 {
		w.Revoked = r.bool()
	}
	if format >= 8 {
		w.Slept = r.duration()
	}
	if format >= 11 {
		w.Until = r.time()
	}
	if format >= 12 {
		w.Type, w.InputHashes = r.str(), r.strMap()
	}
	return w
}

func appendRemoving(b []byte, m *Removing) []byte {
	b = appendBool(b, m != nil)
	if m == nil {
		return b
	}
	return appendString(appendTime(b, m.Since), m.Reason)
}

func (r *reader) removing() *Removing {
	if !r.bool() {
		return nil
	}
	m := &Removing{Since: r.time(), Reason: r.str()}
	r.dropped(func() { r.bool() })
	return m
}
