package state

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"tokend/pkg/secret"
)

// anyRecord generates records with every field of every struct filled in, by
// reflection: a field that the codec does not know of fails the round trip.
func anyRecord() rapid.MakeConfig {
	text := rapid.Custom(func(t *rapid.T) any { return secret.New(rapid.String().Draw(t, "secret")) })
	moment := rapid.Custom(func(t *rapid.T) any {
		if rapid.Bool().Draw(t, "zero") {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "sec"), rapid.Int64Range(0, 999_999_999).Draw(t, "nsec")).UTC()
	})
	return rapid.MakeConfig{Types: map[reflect.Type]*rapid.Generator[any]{
		reflect.TypeFor[secret.Text](): text,
		reflect.TypeFor[time.Time]():   moment,
		reflect.TypeFor[[]Grant]():     rapid.Custom(func(t *rapid.T) any { return rapid.SliceOfN(anyGrant(text, moment), 0, 2).Draw(t, "grants") }),
	}}
}

func anyGrant(text, moment *rapid.Generator[any]) *rapid.Generator[Grant] {
	return rapid.MakeCustom[Grant](rapid.MakeConfig{Types: map[reflect.Type]*rapid.Generator[any]{
		reflect.TypeFor[secret.Text](): text, reflect.TypeFor[time.Time](): moment}})
}

func same(t *rapid.T, want, got any, err error) {
	if err != nil {
		t.Fatalf("decoding what was encoded: %v", err)
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("the round trip changed it (-want +got):\n%s", d)
	}
}

func TestRecordsSurviveTheCodec(t *testing.T) {
	t.Run("credential", func(t *testing.T) {
		gen := rapid.MakeCustom[Credential](anyRecord())
		rapid.Check(t, func(t *rapid.T) {
			want := gen.Draw(t, "credential")
			want.Head = Head{}
			got, err := decodeCredential(appendCredential(nil, &want))
			same(t, want, got, err)
		})
	})
	t.Run("sink", func(t *testing.T) {
		gen := rapid.MakeCustom[Sink](anyRecord())
		rapid.Check(t, func(t *rapid.T) {
			want := gen.Draw(t, "sink")
			want.Head = Head{}
			got, err := decodeSink(appendSink(nil, &want))
			same(t, want, got, err)
		})
	})
	t.Run("intent", func(t *testing.T) {
		gen := rapid.MakeCustom[Intent](anyRecord())
		rapid.Check(t, func(t *rapid.T) {
			want := gen.Draw(t, "intent")
			got, err := decodeIntent(appendIntent(nil, &want))
			same(t, want, got, err)
		})
	})
	t.Run("head", func(t *testing.T) {
		gen := rapid.MakeCustom[Head](anyRecord())
		rapid.Check(t, func(t *rapid.T) {
			want := gen.Draw(t, "head")
			want.Kind = rapid.SampledFrom([]Kind{KindCredential, KindSink}).Draw(t, "kind")
			want.Intent = false // told by the intents, not by the head
			if want.Orphans.Count <= 0 {
				want.Orphans = Orphan{}
			}
			b := appendHead(nil, &want)
			got, err := decodeHead(b)
			same(t, want, got, err)
			if a := headAddress(b); string(a) != want.Address {
				t.Fatalf("headAddress = %q, want %q", a, want.Address)
			}
		})
	})
}

func TestTimesOutsideOfNanosecondsSurvive(t *testing.T) {
	for _, want := range []time.Time{time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), time.Unix(0, 0).UTC(),
		time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("x", 3600))} {
		r := &reader{b: appendTime(nil, want)}
		if got := r.time(); !got.Equal(want) || r.end() != nil {
			t.Errorf("%v came back as %v (%v)", want, got, r.err)
		}
	}
}

func TestDecodersRefuseWhatTheyDoNotKnow(t *testing.T) {
	good := appendCredential(nil, &Credential{Note: "n", Grant: &Grant{AccessToken: secret.New("canary")}})
	newer := append([]byte{credentialFormat + 1}, good[1:]...)
	for _, test := range []struct {
		name string
		b    []byte
		want string
	}{
		{"newer", newer, fmt.Sprintf("its credential format is %d and this tokend knows 1 to %d", credentialFormat+1, credentialFormat)},
		{"no format", append([]byte{0}, good[1:]...), "format is 0"},
		{"longer", append(append([]byte{}, good...), 1, 2), "2 bytes follow"},
		{"empty", nil, "ends too early"},
		{"neither yes nor no", append([]byte{credentialFormat, 7}, good[2:]...), "neither"},
	} {
		_, err := decodeCredential(test.b)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: decodeCredential = %v, want an error with %q", test.name, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error shows a token: %v", test.name, err)
		}
	}
	for i := range good {
		if _, err := decodeCredential(good[:i]); err == nil {
			t.Errorf("decodeCredential of the first %d of %d bytes = nil, want an error", i, len(good))
		}
	}
	if _, err := decodeHead(appendHead(nil, &Head{Kind: 9, Address: "a"})); err == nil || !strings.Contains(err.Error(), "kind is 9") {
		t.Errorf("decodeHead of an unknown kind = %v", err)
	}
}

// A record that a newer tokend wrote is not said to be damaged, nor to be given up: its
// tokens live.
func TestARecordOfANewerTokendIsNotCalledDamaged(t *testing.T) {
	good := appendCredential(nil, &Credential{Note: "n"})
	_, err := decodeCredential(append([]byte{credentialFormat + 1}, good[1:]...))
	err = fmt.Errorf("looking at it: %w", damagedRecord("credential.mine.a", err))
	if !errors.Is(err, ErrSchema) || !errors.Is(err, ErrDamaged) {
		t.Errorf("%v is told apart from others that cannot be read", err)
	}
	for _, word := range []string{ErrDamaged.Error(), "state rm"} {
		if strings.Contains(err.Error(), word) {
			t.Errorf("%q says %q", err, word)
		}
	}
	if !strings.Contains(err.Error(), "install the newer tokend again") {
		t.Errorf("%q does not say what to do", err)
	}
}

func FuzzDecoders(f *testing.F) {
	c := Credential{Grant: &Grant{Scopes: []string{"a"}, InputHashes: map[string]string{"a": "b"}, Retired: &Retired{}}, Retiring: []Grant{{}},
		Failure: &Failure{InputHash: map[string]string{"x": "y"}}, Raw: &Raw{Header: map[string][]string{"A": {"b"}}}, Removing: &Removing{},
		Kept: []Raw{{Op: "refresh", Until: time.Unix(1, 0).UTC()}, {}}}
	f.Add(appendCredential(nil, &c))
	f.Add(appendSink(nil, &Sink{Delivered: map[string]uint64{"a": math.MaxUint64}, Notify: []string{"h"}, Left: map[string]map[string]uint64{"p": {"a": 1}}}))
	f.Add(appendIntent(nil, &Intent{Op: "grant"}))
	f.Add(appendHead(nil, &Head{Kind: KindSink, Address: "sink.file.a"}))
	f.Add([]byte{1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		// What decodes at all must be the same again after another round.
		if v, err := decodeCredential(b); err == nil {
			if w, err := decodeCredential(appendCredential(nil, &v)); err != nil || !cmp.Equal(v, w) {
				t.Errorf("a second round gave %v, %v", w, err)
			}
		}
		if v, err := decodeSink(b); err == nil {
			if w, err := decodeSink(appendSink(nil, &v)); err != nil || !cmp.Equal(v, w) {
				t.Errorf("a second round gave %v, %v", w, err)
			}
		}
		if v, err := decodeIntent(b); err == nil {
			if w, err := decodeIntent(appendIntent(nil, &v)); err != nil || !cmp.Equal(v, w) {
				t.Errorf("a second round gave %v, %v", w, err)
			}
		}
		if v, err := decodeHead(b); err == nil {
			if w, err := decodeHead(appendHead(nil, &v)); err != nil || !cmp.Equal(v, w) || string(headAddress(b)) != v.Address {
				t.Errorf("a second round gave %v, %v, and the address %q", w, err, headAddress(b))
			}
		}
		if content, err := unpack(b); err == nil {
			if again, err := unpack(pack(content)); err != nil || string(again) != string(content) {
				t.Errorf("packing again gave %q, %v", again, err)
			}
		}
		_, _, _, _ = splitRecord(b)
		_, _ = parseMeta(b, 0)
	})
}

func benchRecord() *Credential {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return &Credential{
		Head: Head{Address: `credential.coinify.trader["alice"]`, Kind: KindCredential, Due: now, ExpiresAt: now},
		Grant: &Grant{Generation: 3, Endpoint: "0123456789abcdefghijkl", Provider: "provider.coinify.default", Type: "coinify", GrantType: "password",
			AccessToken: secret.New(strings.Repeat("a", 300)), RefreshToken: secret.New(strings.Repeat("r", 100)), TokenType: "Bearer", HeaderName: "Authorization",
			Header: secret.New(strings.Repeat("a", 307)), Scopes: []string{"read", "trade"}, GrantedAt: now, ObtainedAt: now, ExpiresAt: now, Origins: []string{"https://api.example.com:443"},
			InputHashes: map[string]string{"email": "0123456789abcdefghijkl", "password": "0123456789abcdefghijkl", "grant": "0123456789abcdefghijkl"}, Inputs: make([]byte, 60)},
		Lifecycle: Lifecycle{OnRemove: "revoke", Overlap: time.Minute},
	}
}

func BenchmarkCodec(b *testing.B) {
	c := benchRecord()
	plain := appendCredential(nil, c)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = appendCredential(make([]byte, 0, 1536), c)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = decodeCredential(plain)
		}
	})
	s, err := newSealer(make([]byte, keySize))
	if err != nil {
		b.Fatal(err)
	}
	head := encodeHead(c.Head, KindCredential)
	sealed := s.sealRecord(head, plain)
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = s.sealRecord(head, plain)
		}
	})
	scratch := make([]byte, 0, plainSize)
	b.Run("unseal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := s.openRecord(sealed, scratch); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("check head", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.openHead(sealed); err != nil {
				b.Fatal(err)
			}
		}
	})
}
