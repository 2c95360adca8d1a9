package reconcile_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/spec"
)

// keyRing is a directory with a type of two static outputs.
func keyRing(first, second string) string {
	return `
provider_type "ring" {
  summary = "two keys"
  session = "independent"
  config "base_url" {
    type    = string
    default = "http://ring.localhost"
  }
  grant "keys" {
    static = true
    input "first" {
      type      = string
      sensitive = true
    }
    input "second" {
      type      = string
      sensitive = true
    }
    outputs = { first = input.first, second = input.second }
  }
}
secret "mem" "one" { value = "` + first + `" }
secret "mem" "two" { value = "` + second + `" }
hook "mem" "tell" {}
credential "ring" "r" {
  first  = secret.mem.one.value
  second = secret.mem.two.value
}
sink "mem" "first" {
  place   = "first"
  content = credential.ring.r.first
  notify  = [hook.mem.tell]
}
sink "mem" "both" {
  place   = "both"
  content = "${credential.ring.r.first} ${credential.ring.r.second}"
}
`
}

// Only the sinks are planned to be written that name the key that changed, and
// only they are written; where no secret is read, all of them are known at apply.
func TestAPlanOfOneKeyOfTwo(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.places.tells.Store(true) // whether the first look comes before or after the key is taken over: what is as it was recorded is told to nobody
		w.set(keyRing("a", "b"))
		time.Sleep(time.Minute)
		x, err := w.loop.Export(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		second := keyRing("a", "c")
		w.halt()
		done := &deeds{}
		w.log = slog.New(done)
		w.begin(true)
		if _, err := w.loop.Set(t.Context(), w.config(second), reconcile.SetOptions{NoSettle: true}); err != nil {
			t.Fatal(err)
		}
		plan := w.plan()
		if err := w.loop.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		converge(t, w, false)
		if diff := compareDeeds(foretold(plan), done.all()); diff != "" || w.places.get("both") != "a c" {
			t.Errorf("%splanned:\n%sboth holds %q", diff, lines(plan.Steps), w.places.get("both"))
		}
		for _, s := range plan.Steps {
			if spec.Address(s.Address).Kind() == "hook" || s.Address == "sink.mem.first" {
				t.Errorf("it changes nothing for %s, and planned is %s", s.Address, s)
			}
		}
		if p := w.against(x, second); len(p.Steps) > 0 || strings.Join(p.Unknown, " ") != "credential.ring.r sink.mem.both sink.mem.first" {
			t.Errorf("away from the host is planned\n%sand known at apply %v", lines(p.Steps), p.Unknown)
		}
	})
}
