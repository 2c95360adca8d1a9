package kvsink_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/sinks"
	"tokend/pkg/sinks/kvsink"
	"tokend/pkg/spec"
	"tokend/pkg/vault"
	"tokend/test/rig"
)

func tokens(value string) cty.Value {
	return cty.ObjectVal(map[string]cty.Value{"access_token": spec.Sensitive(cty.StringVal("canary-" + value))})
}

func render(t *testing.T, s *kvsink.Sink, args spec.Values) sinks.Desired {
	t.Helper()
	d, err := s.Render(args)
	if err != nil {
		t.Fatalf("Render: %v", err)
	}
	return d
}

func write(t *testing.T, s *kvsink.Sink, d sinks.Desired, last []byte) []byte {
	t.Helper()
	written, err := s.Write(t.Context(), d, last)
	if err != nil {
		t.Fatalf("Write: %v", err)
	}
	return written
}

func drift(t *testing.T, s *kvsink.Sink, d sinks.Desired, last []byte, want string) {
	t.Helper()
	got, err := s.Check(t.Context(), d, last)
	if err != nil || got != want {
		t.Errorf("Check = %q, %v, want %q", got, err, want)
	}
}

func TestRenderNamesWhatIsWrong(t *testing.T) {
	s := kvsink.New(nil)
	ok := argsFor("kv", "a/b", tokens("1"))
	for name, tt := range map[string]struct {
		args spec.Values
		says string
	}{
		"no vault":          {ok.With("vault", cty.NullVal(cty.String)), "reading vault"},
		"no mount":          {ok.With("mount", cty.StringVal("/")), "reading mount"},
		"no path":           {ok.With("path", cty.StringVal("")), "reading path"},
		"upwards":           {ok.With("path", cty.StringVal("a/../b")), `contains the part ".."`},
		"secret path":       {ok.With("path", spec.Sensitive(cty.StringVal("canary"))), "is sensitive"},
		"on_remove":         {ok.With("on_remove", cty.StringVal("drop")), `none of "delete", "destroy", "keep"`},
		"no data":           {ok.With("data", cty.NullVal(cty.DynamicPseudoType)), "a map is required"},
		"data a string":     {ok.With("data", spec.Sensitive(cty.StringVal("canary"))), "a map is required, not string"},
		"data a list":       {ok.With("data", cty.TupleVal([]cty.Value{cty.StringVal("canary")})), "a map is required"},
		"empty":             {ok.With("data", cty.EmptyObjectVal), "it is empty"},
		"nothing but nulls": {ok.With("data", cty.ObjectVal(map[string]cty.Value{"a": cty.NullVal(cty.String)})), "it is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Render(tt.args)
			if !errors.Is(err, sinks.ErrPermanent) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "canary") {
				t.Errorf("error = %v, want ErrPermanent with %q and no secret", err, tt.says)
			}
		})
	}
	d := render(t, s, argsFor("/kv/", "/a/b/", tokens("1")))
	if d.Place != "vault_kv:vault.main/kv/a/b" || d.Target != "vault.main" {
		t.Errorf("the place is %q at %q", d.Place, d.Target)
	}
	if text := fmt.Sprintf("%v %+v %#v", d, d, d); strings.Contains(text, "canary") {
		t.Errorf("a Desired prints its content: %s", text)
	}
	if _, err := s.Check(t.Context(), sinks.Desired{Place: d.Place}, nil); !errors.Is(err, sinks.ErrUnknown) {
		t.Errorf("Check without content: %v, want ErrUnknown", err)
	}
}

func TestDataOfAllTypesIsDelivered(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	v.EnableKV("old", 1)
	s := kvsink.New(poolFor(t, v.Addr, v.Token))
	data := cty.ObjectVal(map[string]cty.Value{
		"token": spec.Sensitive(cty.StringVal("a\n\"b\" <&> ü")), "n": cty.NumberIntVal(3600), "big": cty.MustParseNumberVal("12345678901234567890"), "f": cty.MustParseNumberVal("0.1"),
		"on": cty.True, "none": cty.NullVal(cty.String), "scopes": cty.SetVal([]cty.Value{cty.StringVal("y"), cty.StringVal("x")}),
		"nested": cty.MapVal(map[string]cty.Value{"k": cty.StringVal("v"), "none": cty.NullVal(cty.String)}),
	})
	want := map[string]any{"token": "a\n\"b\" <&> ü", "n": 3600.0, "big": 12345678901234567890.0, "f": 0.1, "on": true, "scopes": []any{"x", "y"}, "nested": map[string]any{"k": "v"}}
	for _, mount := range []string{"kv", "old"} {
		d := render(t, s, argsFor(mount, "x", data))
		last := write(t, s, d, nil)
		got, _ := v.GetKV("kv", "x")
		if mount == "old" {
			got = v.Read("old/x")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", mount, diff)
		}
		drift(t, s, d, last, "")
		drift(t, s, d, nil, "")
	}
}

func TestDriftIsSaidInWords(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	g, address := newGate(t, v.Addr)
	_ = g
	s := kvsink.New(poolFor(t, address, v.Token))
	args := argsFor("kv", "x", tokens("1"))
	d := render(t, s, args)
	drift(t, s, d, nil, "not written yet")
	v.Write("kv/metadata/x", map[string]any{"custom_metadata": map[string]any{"team": "trading"}})
	drift(t, s, d, nil, "not written yet")
	v.PutKV("kv", "x", map[string]any{"a": "b"})
	drift(t, s, d, nil, "holds something else (version 1)")
	last := write(t, s, d, nil)
	drift(t, s, d, last, "")
	drift(t, s, render(t, s, args.With("data", tokens("2"))), last, "other content is to be written (version 2 is there)")
	drift(t, s, render(t, s, args.With("on_remove", cty.StringVal("keep"))), last, `on_remove is "keep", recorded was "delete"`)
	v.PutKV("kv", "x", map[string]any{"a": "c"})
	drift(t, s, d, last, "changed by someone else (version 3, written was 2)")
	v.Delete("kv/data/x")
	drift(t, s, d, last, "deleted (version 3)")
	last = write(t, s, d, last)
	v.Delete("kv/data/x")
	drift(t, s, d, last, "deleted by someone else (version 4)")
	v.Delete("kv/metadata/x")
	drift(t, s, d, last, "removed by someone else")
	if about := v.Read("kv/metadata/x"); about != nil {
		t.Errorf("Check made something: %v", about)
	}
	// Made anew by somebody: the same number, another secret.
	for range 4 {
		v.PutKV("kv", "x", map[string]any{"a": "d"})
	}
	drift(t, s, d, last, "changed by someone else (version 4, written was 4)")
	if err := s.Remove(t.Context(), last); !errors.Is(err, sinks.ErrForeign) || !strings.Contains(err.Error(), "vault_kv:vault.main/kv/x") {
		t.Errorf("Remove of another secret with the same version: %v", err)
	}
	last = write(t, s, d, last)
	drift(t, s, d, last, "")
	if custom := v.Read("kv/metadata/x")["custom_metadata"]; !cmp.Equal(custom, map[string]any{"owner": "tokend"}) {
		t.Errorf("custom metadata = %v", custom)
	}
}

// requests counts what goes through to Vault.
func TestALookAtAWellKnownPlaceIsOneRequest(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	var calls []string
	g, _ := newGate(t, v.Addr)
	counted := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls = append(calls, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/v1/"))
		g.ServeHTTP(w, r)
	}))
	t.Cleanup(counted.Close)
	s := kvsink.New(poolFor(t, counted.URL, v.Token))
	d := render(t, s, argsFor("kv", "x", tokens("1")))
	last := write(t, s, d, nil)
	want := []string{"GET auth/token/lookup-self", "GET sys/internal/ui/mounts/kv", "GET kv/metadata/x", "PUT kv/data/x", "PUT kv/metadata/x"}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Errorf("the first write (-want +got):\n%s", diff)
	}
	calls = nil
	drift(t, s, d, last, "")
	last = write(t, s, d, last)
	write(t, s, render(t, s, argsFor("kv", "x", tokens("2"))), last)
	want = []string{"GET kv/metadata/x", "GET kv/metadata/x", "GET kv/metadata/x", "PUT kv/data/x"}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Errorf("a look, a write of the same, a write of something new (-want +got):\n%s", diff)
	}
}

func TestAnAppliedWriteWhoseAnswerWasLost(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	g, _ := newGate(t, v.Addr)
	lose := false
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if lose && r.Method == http.MethodPut {
			g.ServeHTTP(httptest.NewRecorder(), r)
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		g.ServeHTTP(w, r)
	}))
	t.Cleanup(gateway.Close)
	s := kvsink.New(poolFor(t, gateway.URL, v.Token))
	last := write(t, s, render(t, s, argsFor("kv", "x", tokens("1"))), nil)
	d := render(t, s, argsFor("kv", "x", tokens("2")))
	lose = true
	if _, err := s.Write(t.Context(), d, last); !errors.Is(err, vault.ErrUnreachable) || errors.Is(err, sinks.ErrPermanent) {
		t.Fatalf("Write with a lost answer: %v", err)
	}
	lose = false
	drift(t, s, d, last, "")
	last = write(t, s, d, last)
	if _, version := v.GetKV("kv", "x"); version != 2 {
		t.Errorf("version %d is there, want 2: the same was written again", version)
	}
	if err := s.Remove(t.Context(), last); err != nil {
		t.Error(err)
	}
}

func TestWhatARemovalLeaves(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	s := kvsink.New(poolFor(t, v.Addr, v.Token))
	written := func(path, onRemove string) []byte {
		args := argsFor("kv", path, tokens("1")).With("on_remove", cty.StringVal(onRemove))
		last := write(t, s, render(t, s, args), nil)
		return write(t, s, render(t, s, args.With("data", tokens("2"))), last)
	}
	remove := func(account []byte) {
		t.Helper()
		if err := s.Remove(t.Context(), account); err != nil {
			t.Error(err)
		}
	}
	remove(written("deleted", "delete"))
	v.Write("kv/undelete/deleted", map[string]any{"versions": []int{2}})
	if got, version := v.GetKV("kv", "deleted"); got["access_token"] != "canary-2" || version != 2 {
		t.Errorf("undeleted: %v, version %d", got, version)
	}
	remove(written("destroyed", "destroy"))
	if about := v.Read("kv/metadata/destroyed"); about != nil {
		t.Errorf("left of what was destroyed: %v", about)
	}
	remove(written("kept", "keep"))
	if got, version := v.GetKV("kv", "kept"); got == nil || version != 2 {
		t.Errorf("kept: %v, version %d", got, version)
	}
	// Deleted by somebody, but to be destroyed.
	account := written("both", "destroy")
	v.Delete("kv/data/both")
	remove(account)
	if about := v.Read("kv/metadata/both"); about != nil {
		t.Errorf("left of what was deleted and then destroyed: %v", about)
	}
	// Written over and deleted by somebody: only what is ours is destroyed.
	account = written("theirs", "destroy")
	v.PutKV("kv", "theirs", map[string]any{"a": "b"})
	v.Delete("kv/data/theirs")
	remove(account)
	versions := v.Read("kv/metadata/theirs")["versions"].(map[string]any)
	for n, want := range map[string]bool{"1": false, "2": true, "3": false} {
		if got := versions[n].(map[string]any)["destroyed"]; got != want {
			t.Errorf("version %s destroyed: %v, want %v", n, got, want)
		}
	}
}

// The policy of the package's documentation, and no more, does all of it.
func TestTheDocumentedPolicySuffices(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	v.Policy("documented", `
path "kv/data/delivered/*"     { capabilities = ["create", "read", "update", "delete"] }
path "kv/metadata/delivered/*" { capabilities = ["create", "read", "update", "delete"] }
path "kv/delete/delivered/*"   { capabilities = ["update"] }
`)
	s := kvsink.New(poolFor(t, v.Addr, v.CreateToken(map[string]any{"policies": []string{"documented"}, "ttl": "1h"})))
	for _, onRemove := range []string{"delete", "destroy"} {
		args := argsFor("kv", "delivered/x", tokens("1")).With("on_remove", cty.StringVal(onRemove))
		last := write(t, s, render(t, s, args), nil)
		v.PutKV("kv", "delivered/x", map[string]any{"a": "b"})
		d := render(t, s, args.With("data", tokens("2")))
		last = write(t, s, d, last)
		drift(t, s, d, last, "")
		if err := s.Remove(t.Context(), last); err != nil {
			t.Errorf("%s: %v", onRemove, err)
		}
		if got, _ := v.GetKV("kv", "delivered/x"); got != nil {
			t.Errorf("%s left %v", onRemove, got)
		}
	}
	for name, path := range map[string]string{"elsewhere": "other/x"} {
		_, err := s.Write(t.Context(), render(t, s, argsFor("kv", path, tokens("1"))), nil)
		if !errors.Is(err, vault.ErrDenied) || errors.Is(err, sinks.ErrPermanent) || !strings.Contains(err.Error(), `"create" and "update" on "kv/data/other/x"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCleaningWithALoginThatNoLongerWorks(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	token := v.CreateToken(map[string]any{"policies": []string{"root"}, "ttl": "1h"})
	s := kvsink.New(poolFor(t, v.Addr, token))
	d := render(t, s, argsFor("kv", "x", tokens("1")))
	last := write(t, s, d, nil)
	v.Write("auth/token/revoke", map[string]any{"token": token})
	err := s.Remove(t.Context(), last)
	if !errors.Is(err, vault.ErrDenied) || !strings.Contains(err.Error(), "vault.main") || strings.Contains(err.Error(), token) {
		t.Errorf("Remove with a revoked token: %v", err)
	}
	if err := s.Remove(t.Context(), last); !errors.Is(err, vault.ErrLogin) {
		t.Errorf("Remove once more: %v, want ErrLogin", err)
	}
	if got, _ := v.GetKV("kv", "x"); got == nil {
		t.Error("it is gone all the same")
	}
}

func TestASealedVaultIsCaughtUpWith(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	s := kvsink.New(poolFor(t, v.Addr, v.Token))
	last := write(t, s, render(t, s, argsFor("kv", "x", tokens("1"))), nil)
	v.Seal()
	d := render(t, s, argsFor("kv", "x", tokens("2")))
	_, writeErr := s.Write(t.Context(), d, last)
	_, checkErr := s.Check(t.Context(), d, last)
	for name, err := range map[string]error{"Write": writeErr, "Check": checkErr, "Remove": s.Remove(t.Context(), last)} {
		if !errors.Is(err, vault.ErrSealed) || errors.Is(err, sinks.ErrPermanent) || errors.Is(err, sinks.ErrForeign) {
			t.Errorf("%s at a sealed Vault: %v", name, err)
		}
	}
	v.Unseal()
	last = write(t, s, d, last)
	drift(t, s, d, last, "")
	v.Restart()
	drift(t, s, d, last, "")
}

func TestWrongConfigurationIsPermanent(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	v.EnableTransit("transit", "k")
	s := kvsink.New(poolFor(t, v.Addr, v.Token))
	for mount, says := range map[string]string{"transit": "not kv", "kv/deeper": `set mount = "kv"`} {
		_, err := s.Write(t.Context(), render(t, s, argsFor(mount, "x", tokens("1"))), nil)
		if !errors.Is(err, sinks.ErrPermanent) || !errors.Is(err, vault.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("mount %q: %v, want ErrPermanent with %q", mount, err, says)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	if _, err := s.Write(ctx, render(t, s, argsFor("kv", "x", tokens("1"))), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without time: %v", err)
	}
}

// A place says in its custom metadata which state delivered there, and which
// generation of which token; a Check tells it, whoever wrote the data since.
func TestAPlaceBearsAMark(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	v.EnableKV("old", 1)
	s := kvsink.New(poolFor(t, v.Addr, v.Token))
	mark := sinks.Mark{Lineage: "0a1b", Address: `credential.coinify.trader["alice"]`, Generation: 9, At: time.Date(2026, 10, 12, 12, 0, 0, 0, time.UTC)}
	found := func(d sinks.Desired, last []byte) (all []sinks.Mark) {
		t.Helper()
		d.Found = func(m sinks.Mark) { all = append(all, m) }
		if _, err := s.Check(t.Context(), d, last); err != nil {
			t.Fatal(err)
		}
		return all
	}
	d := render(t, s, argsFor("kv", "x", tokens("1")))
	last := write(t, s, d, nil)
	if got := found(d, last); len(got) != 0 {
		t.Errorf("without a mark it says %v", got)
	}
	d.Mark = mark
	last = write(t, s, d, last)
	if got := found(d, last); len(got) != 1 || got[0] != mark {
		t.Errorf("it says %v, want %v", got, mark)
	}
	mark.Generation, mark.At = 10, mark.At.Add(time.Hour)
	next := render(t, s, argsFor("kv", "x", tokens("2")))
	next.Mark = mark
	write(t, s, next, last)
	if got := found(d, last); len(got) != 1 || got[0] != mark {
		t.Errorf("to who knows of an earlier version only it says %v, want %v", got, mark)
	}
	v1 := render(t, s, argsFor("old", "x", tokens("1")))
	v1.Mark = mark
	if got := found(v1, write(t, s, v1, nil)); len(got) != 0 {
		t.Errorf("a version 1 engine says %v", got)
	}
}

// A first write says what it replaces, and only that.
func TestAFirstWriteSaysWhatItReplaces(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	v.EnableKV("old", 1)
	s := kvsink.New(poolFor(t, v.Addr, v.Token))
	v.PutKV("kv", "theirs", map[string]any{"a": "b"})
	v.PutKV("kv", "theirs", map[string]any{"a": "c"})
	v.Write("old/theirs", map[string]any{"a": "b"})
	v.PutKV("kv", "gone", map[string]any{"a": "b"})
	v.Delete("kv/data/gone")
	for _, c := range []struct{ mount, path, want string }{
		{"kv", "theirs", "version 2 of a secret"}, {"old", "theirs", "a secret"}, {"kv", "none", ""}, {"old", "none", ""}, {"kv", "gone", ""},
	} {
		said := ""
		first := render(t, s, argsFor(c.mount, c.path, tokens("1")))
		first.Replaces = func(what string) { said += what }
		last := write(t, s, first, nil)
		if said != c.want {
			t.Errorf("%s/%s: it said %q, want %q", c.mount, c.path, said, c.want)
		}
		said = ""
		next := render(t, s, argsFor(c.mount, c.path, tokens("2")))
		next.Replaces = first.Replaces
		if write(t, s, next, last); said != "" {
			t.Errorf("%s/%s: its own was called %q", c.mount, c.path, said)
		}
	}
}
