package vault_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/vault"
	"tokend/test/rig"
)

// as gives a client with a policy of its own.
func as(t *testing.T, v *rig.VaultServer, rules string) *vault.Client {
	t.Helper()
	v.Policy("own", rules)
	p, _, _ := newPool(t, byToken(v.Addr, v.CreateToken(map[string]any{"policies": []string{"own"}, "ttl": "1h"})))
	return client(t, p)
}

const everything = `path "*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }`

func token(n string) map[string]any { return map[string]any{"access_token": "canary-" + n} }

func mustWrite(t *testing.T, c *vault.Client, mount, path string, data map[string]any, w vault.KVWrite) vault.KVMeta {
	t.Helper()
	meta, err := c.WriteKV(t.Context(), mount, path, data, w)
	if err != nil {
		t.Fatalf("WriteKV: %v", err)
	}
	return meta
}

// there fails unless the secret holds data in this version, as root sees it.
func there(t *testing.T, v *rig.VaultServer, path string, version int, data map[string]any) {
	t.Helper()
	got, at := v.GetKV("kv", path)
	if diff := cmp.Diff(data, got); diff != "" || at != version {
		t.Errorf("version %d is there, want %d (-want +got):\n%s", at, version, diff)
	}
}

func TestWritesAreVersionsByCheckAndSet(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	v.Write("kv/config", map[string]any{"cas_required": true})
	c := as(t, v, everything)

	one := mustWrite(t, c, "kv", "a/b", token("1"), vault.KVWrite{})
	there(t, v, "a/b", 1, token("1"))
	if again := mustWrite(t, c, "kv", "a/b", token("1"), vault.KVWrite{Last: one, Unchanged: true}); !again.Same(one) {
		t.Errorf("the same was written again: %+v after %+v", again, one)
	}
	if again := mustWrite(t, c, "kv", "a/b", token("1"), vault.KVWrite{}); !again.Same(one) {
		t.Errorf("what a lost answer had written was written again: %+v after %+v", again, one)
	}
	two := mustWrite(t, c, "kv", "a/b", token("2"), vault.KVWrite{Last: one})
	there(t, v, "a/b", 2, token("2"))

	v.Write("kv/data/a/b", map[string]any{"data": token("theirs"), "options": map[string]any{"cas": 2}})
	three := mustWrite(t, c, "kv", "a/b", token("2"), vault.KVWrite{Last: two, Unchanged: true})
	there(t, v, "a/b", 4, token("2"))

	v.Delete("kv/data/a/b")
	mustWrite(t, c, "kv", "a/b", token("3"), vault.KVWrite{Last: three})
	there(t, v, "a/b", 5, token("3"))

	v.Write("kv/destroy/a/b", map[string]any{"versions": []int{5}})
	mustWrite(t, c, "kv", "a/b", token("4"), vault.KVWrite{})
	there(t, v, "a/b", 6, token("4"))

	v.Delete("kv/metadata/a/b")
	mustWrite(t, c, "kv", "a/b", token("5"), vault.KVWrite{Last: three})
	there(t, v, "a/b", 1, token("5"))
}

func TestCustomMetadataIsMergedWherePolicyAllows(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	own := vault.KVWrite{Custom: map[string]string{"owner": "tokend"}}
	v.Write("kv/metadata/x", map[string]any{"max_versions": 7, "custom_metadata": map[string]any{"team": "trading", "owner": "nobody"}})
	meta := mustWrite(t, as(t, v, everything), "kv", "x", token("1"), own)
	about := v.Read("kv/metadata/x")
	want := map[string]any{"team": "trading", "owner": "tokend"}
	if diff := cmp.Diff(want, about["custom_metadata"]); diff != "" || about["max_versions"] != float64(7) {
		t.Errorf("max_versions %v, custom metadata (-want +got):\n%s", about["max_versions"], diff)
	}
	if diff := cmp.Diff(map[string]string{"team": "trading", "owner": "tokend"}, meta.Custom); diff != "" {
		t.Errorf("reported (-want +got):\n%s", diff)
	}
	p, _, j := newPool(t, byToken(v.Addr, restricted(t, v, `path "kv/data/*" { capabilities = ["create", "read", "update"] }
path "kv/metadata/*" { capabilities = ["read"] }`)))
	c := client(t, p)
	for range 3 {
		mustWrite(t, c, "kv", "y", token(time.Now().String()), own)
	}
	there2, _ := v.GetKV("kv", "y")
	if there2 == nil || strings.Count(j.String(), "custom metadata was not written") != 1 {
		t.Errorf("want three writes and one vain attempt at the metadata:\n%s", j)
	}
}

// restricted makes a token with these rules.
func restricted(t *testing.T, v *rig.VaultServer, rules string) string {
	t.Helper()
	v.Policy("restricted", rules)
	return v.CreateToken(map[string]any{"policies": []string{"restricted"}, "ttl": "1h"})
}

func TestNarrowPolicies(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	rules := func(path string, capabilities ...string) string {
		b, _ := json.Marshal(capabilities)
		return `path "` + path + `" { capabilities = ` + string(b) + " }\n"
	}
	t.Run("data only", func(t *testing.T) {
		c := as(t, v, rules("kv/data/*", "create", "read", "update", "delete"))
		one := mustWrite(t, c, "kv", "d", token("1"), vault.KVWrite{})
		v.Delete("kv/data/d")
		if meta, err := c.StatKV(t.Context(), "kv", "d"); err != nil || !meta.Gone() || meta.Version != 1 {
			t.Errorf("StatKV of a deleted secret = %+v, %v", meta, err)
		}
		two := mustWrite(t, c, "kv", "d", token("2"), vault.KVWrite{Last: one})
		there(t, v, "d", 2, token("2"))
		if err := c.DeleteKV(t.Context(), "kv", "d", one.Version); !errors.Is(err, vault.ErrDenied) || !strings.Contains(err.Error(), `"update" on "kv/delete/d"`) {
			t.Errorf("deleting another than the current version: %v", err)
		}
		there(t, v, "d", 2, token("2"))
		for range 2 {
			if err := c.DeleteKV(t.Context(), "kv", "d", two.Version); err != nil {
				t.Errorf("DeleteKV: %v", err)
			}
		}
		there(t, v, "d", 0, nil)
	})
	t.Run("write only", func(t *testing.T) {
		c := as(t, v, rules("kv/data/*", "create", "update"))
		one := mustWrite(t, c, "kv", "w", token("1"), vault.KVWrite{})
		mustWrite(t, c, "kv", "w", token("2"), vault.KVWrite{Last: one})
		there(t, v, "w", 2, token("2"))
		_, err := c.WriteKV(t.Context(), "kv", "w", token("3"), vault.KVWrite{})
		if !errors.Is(err, vault.ErrCASMismatch) || !strings.Contains(err.Error(), `need "read"`) {
			t.Errorf("a write that cannot know the version: %v", err)
		}
		if _, err := c.StatKV(t.Context(), "kv", "w"); !errors.Is(err, vault.ErrDenied) || !strings.Contains(err.Error(), `"read" on "kv/metadata/w"`) {
			t.Errorf("StatKV: %v", err)
		}
	})
	t.Run("read only", func(t *testing.T) {
		c := as(t, v, rules("kv/data/*", "read")+rules("kv/metadata/*", "read"))
		_, err := c.WriteKV(t.Context(), "kv", "r", token("1"), vault.KVWrite{})
		if !errors.Is(err, vault.ErrDenied) || !strings.Contains(err.Error(), `"create" and "update" on "kv/data/r"`) {
			t.Errorf("WriteKV: %v", err)
		}
		if err := c.DestroyKV(t.Context(), "kv", "r"); !errors.Is(err, vault.ErrDenied) || !strings.Contains(err.Error(), `"delete" on "kv/metadata/r"`) {
			t.Errorf("DestroyKV: %v", err)
		}
	})
}

func TestDeletingAndDestroying(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	v.EnableKV("old", 1)
	c := as(t, v, everything)
	one := mustWrite(t, c, "kv", "x", token("1"), vault.KVWrite{})
	two := mustWrite(t, c, "kv", "x", token("2"), vault.KVWrite{Last: one})
	if err := c.DeleteKV(t.Context(), "kv", "x", one.Version); err != nil {
		t.Error(err)
	}
	there(t, v, "x", 2, token("2"))
	if err := c.DeleteKV(t.Context(), "kv", "x", two.Version); err != nil {
		t.Error(err)
	}
	_, meta, err := c.ReadKV(t.Context(), "kv", "x", 0)
	if !errors.Is(err, vault.ErrNotFound) || !meta.Gone() || !meta.Same(two) {
		t.Errorf("after the deletion: %+v, %v", meta, err)
	}
	v.Write("kv/undelete/x", map[string]any{"versions": []int{2}})
	there(t, v, "x", 2, token("2"))
	if err := c.DestroyKVVersion(t.Context(), "kv", "x", 2); err != nil {
		t.Error(err)
	}
	if _, meta, err := c.ReadKV(t.Context(), "kv", "x", 0); !errors.Is(err, vault.ErrNotFound) || !meta.Destroyed {
		t.Errorf("after a version was destroyed: %+v, %v", meta, err)
	}
	for range 2 {
		if err := c.DestroyKV(t.Context(), "kv", "x"); err != nil {
			t.Error(err)
		}
	}
	if about := v.Read("kv/metadata/x"); about != nil {
		t.Errorf("left after DestroyKV: %v", about)
	}

	mustWrite(t, c, "old", "x", token("1"), vault.KVWrite{})
	for range 2 {
		if err := c.DeleteKV(t.Context(), "old", "x", 0); err != nil {
			t.Error(err)
		}
	}
	if got := v.Read("old/x"); got != nil {
		t.Errorf("left in version 1: %v", got)
	}
	if err := c.DestroyKVVersion(t.Context(), "old", "x", 1); !errors.Is(err, vault.ErrInvalid) {
		t.Errorf("a version of version 1: %v", err)
	}
}

func TestAnAnnouncedDeletionIsNone(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	v.Write("kv/metadata/x", map[string]any{"delete_version_after": "1h"})
	c := as(t, v, everything)
	one := mustWrite(t, c, "kv", "x", token("1"), vault.KVWrite{})
	if meta, err := c.StatKV(t.Context(), "kv", "x"); err != nil || meta.Gone() || !meta.Same(one) {
		t.Errorf("StatKV = %+v, %v", meta, err)
	}
}

func TestAMountThatBecameAnotherIsLookedAtAgain(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 1)
	b := &blocks{now: byToken(v.Addr, v.Token)}
	var later atomic.Int64
	p := vault.NewPool(b.resolve, vault.Options{Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }})
	t.Cleanup(func() { p.Close(context.WithoutCancel(t.Context())) })
	c := client(t, p)
	reads := func(engine int, data map[string]any) {
		t.Helper()
		later.Add(int64(time.Minute))
		_, _, _ = c.ReadKV(t.Context(), "kv", "x", 0) // finds nothing where it was
		got, meta, err := c.ReadKV(t.Context(), "kv", "x", 0)
		if diff := cmp.Diff(data, got); err != nil || meta.Engine != engine || diff != "" {
			t.Errorf("version %d, %v\n%s", meta.Engine, err, diff)
		}
	}
	mustWrite(t, c, "kv", "x", token("1"), vault.KVWrite{})
	v.Delete("sys/mounts/kv")
	v.EnableKV("kv", 2)
	v.PutKV("kv", "x", token("2"))
	reads(2, token("2"))
	v.Delete("sys/mounts/kv")
	v.EnableKV("kv", 1)
	v.Write("kv/x", token("3"))
	reads(1, token("3"))
}

func TestPathsAreTakenLiterally(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	v.EnableKV("team/kv", 2)
	c := as(t, v, everything)
	for _, path := range []string{"with space", "per%20cent", "que?ry=1", "ha#sh", "pl+us", "ünï/cödé", "a;b", "x:y@z"} {
		mustWrite(t, c, "team/kv", path, token(path), vault.KVWrite{})
		got, _, err := c.ReadKV(t.Context(), "team/kv", path, 0)
		if diff := cmp.Diff(token(path), got); err != nil || diff != "" {
			t.Errorf("%q: %v\n%s", path, err, diff)
		}
	}
	status, reply, err := v.Call("LIST", "team/kv/metadata/", nil)
	if keys := reply["data"].(map[string]any)["keys"].([]any); err != nil || status != http.StatusOK || len(keys) != 8 {
		t.Errorf("eight paths became %v", keys)
	}
	for _, path := range []string{"", "/", "a//b", "a/./b", "../kv2/x", "a\nb"} {
		if _, _, err := c.ReadKV(t.Context(), "kv", path, 0); !errors.Is(err, vault.ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", path, err)
		}
	}
}
