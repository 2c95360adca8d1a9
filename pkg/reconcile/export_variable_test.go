package reconcile_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// pinned is a directory with a sensitive variable, which reaches some of what it
// declares in every way that there is, and not the rest. Its provider's address is
// refused by now, and may be in force from before.
const pinned = `
variable "pin" {
  type      = string
  sensitive = true
}
locals {
  straight = var.pin
  decided  = length(var.pin) > 4 ? "long" : "short"
  held     = { pin = var.pin, plain = "plain" }
}
secret "mem" "plain" { value = "another-password" }
provider "apirone" {
  base_url            = "http://apirone.localhost"
  allow_insecure_http = true
}
credential "apirone" "reached" {
  grant    = "login"
  login    = "apr-${var.pin}"
  password = secret.mem.plain.value
}
credential "apirone" "given" {
  grant    = "login"
  login    = "apr-given"
  password = var.pin
}
provider "apirone" {
  alias               = "reached"
  base_url            = "http://apirone.localhost${startswith(var.pin, "a") ? "" : ":80"}"
  allow_insecure_http = true
}
credential "apirone" "elsewhere" {
  provider = provider.apirone.reached
  grant    = "login"
  login    = "apr-elsewhere"
  password = secret.mem.plain.value
}
credential "apirone" "plain" {
  grant    = "login"
  login    = "apr-plain"
  password = secret.mem.plain.value
}
sink "mem" "reached" {
  for_each = {
    clear   = "${var.pin} "
    decided = startswith(var.pin, "a") ? "a" : "b"
    local   = local.straight
    length  = local.decided
    member  = local.held.pin
    hash    = sha256(var.pin)
    tried   = try(var.pin, "none")
    can     = can(tonumber(var.pin)) ? "number" : "text"
    loop    = join("", [for c in ["a", "b"] : c if strcontains(var.pin, c)])
    guarded = "%{if endswith(var.pin, "z")}yes%{else}no%{endif}"
    key     = { a = "x", b = "y" }[startswith(var.pin, "a") ? "a" : "b"]
    nothing = strcontains(var.pin, "a") ? null : "x"
  }
  place   = each.key
  content = "${each.value == null ? "" : each.value}${credential.apirone.plain.access_token}"
}
sink "mem" "direct" {
  place   = "direct"
  content = "${local.decided}${credential.apirone.plain.access_token}"
}
sink "mem" "given" {
  place   = "given"
  content = credential.apirone.given.access_token
}
sink "mem" "plain" {
  place   = "plain"
  content = "${local.held.plain}${credential.apirone.plain.access_token}"
}
sink "mem" "other" {
  for_each = { one = "1", two = "2" }
  place    = each.key
  content  = "${each.value}${credential.apirone.plain.access_token}"
}
`

// Whatever a sensitive variable holds, the export is the same: nothing of it can be
// guessed from it. Two worlds differ in the variable alone, and one key hashes both.
func TestAnExportIsTheSameWhateverASensitiveVariableHolds(t *testing.T) {
	exported := func(t *testing.T, pin, hcl string) (text string) {
		inWorld(t, strict(), func(t *testing.T, w *world) {
			w.pin, w.inForce = pin, true
			w.set(hcl)
			time.Sleep(time.Minute)
			x, err := w.loop.ExportUnder(t.Context(), []byte("the same key for both"))
			if err != nil {
				t.Fatal(err)
			}
			if len(x.Sinks) < 16 || len(x.Credentials) != 5 {
				t.Fatalf("exported are %d credentials and %d sinks", len(x.Credentials), len(x.Sinks))
			}
			b, err := json.MarshalIndent(x, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			text = string(b)
		})
		return text
	}
	hcl := trader("a@example.com", pinned)
	first := exported(t, "a-first-one", hcl)
	if diff := cmp.Diff(first, exported(t, "1z", hcl)); diff != "" {
		t.Errorf("what is exported tells two values of a sensitive variable apart:\n%s", diff)
	}
	// It would be seen if it were otherwise.
	told := strings.Replace(hcl, `content = "${local.held.plain}`, `content = "${nonsensitive(var.pin)}`, 1)
	if exported(t, "one", told) == exported(t, "two", told) {
		t.Error("what is said not to be sensitive is not in the export either")
	}
}

// Only what a sensitive variable reaches is known at apply away from the host.
func TestAPlanAwayWithASensitiveVariable(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.inForce = true
		hcl := trader("a@example.com", pinned)
		w.set(hcl)
		time.Sleep(time.Minute)
		x, err := w.loop.Export(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		reached := []string{"credential.apirone.elsewhere", "credential.apirone.reached", "sink.mem.direct"}
		for _, k := range []string{"can", "clear", "decided", "guarded", "hash", "key", "length", "local", "loop", "member", "nothing", "tried"} {
			reached = append(reached, `sink.mem.reached["`+k+`"]`)
		}
		for _, c := range []struct{ name, from, to, steps string }{
			{"the same", "", "", ""},
			{"a text", `content = "${local.held.plain}`, `content = "x${local.held.plain}`, "write sink.mem.plain"},
			{"a text of one of several", `two = "2"`, `two = "3"`, `write sink.mem.other["two"]`},
			{"an input", `login    = "apr-plain"`, `login    = "apr-other"`, `replace credential.apirone.plain; write sink.mem.direct; write sink.mem.other["one"]; write sink.mem.other["two"]; write sink.mem.plain`},
			{"the place of what it reaches", `place   = "direct"`, `place   = "elsewhere"`, "write sink.mem.direct; clean sink.mem.direct"},
			{"an input beside one that it reaches", "login    = \"apr-given\"", "login    = \"apr-taken\"", "replace credential.apirone.given; write sink.mem.given"},
			{"now it is reached", `content = "${local.held.plain}`, `content = "${var.pin}`, ""},
		} {
			text := strings.Replace(hcl, c.from, c.to, 1)
			if text == hcl && c.from != "" {
				t.Fatalf("%s: nothing is changed", c.name)
			}
			p := w.against(x, text)
			var steps []string
			for _, s := range p.Steps {
				if !strings.HasPrefix(s.Address, "sink.mem.reached[") {
					steps = append(steps, string(s.Action)+" "+s.Address)
				}
			}
			if got := strings.Join(steps, "; "); got != c.steps {
				t.Errorf("%s: planned %q, want %q", c.name, got, c.steps)
			}
			want := reached
			switch c.name {
			case "now it is reached":
				want = append(append(append([]string{}, reached[:3]...), "sink.mem.plain"), reached[3:]...)
			case "an input":
				want = reached[:2] // the others are written in any case
			case "the place of what it reaches":
				want = append(append([]string{}, reached[:2]...), reached[3:]...)
			}
			if diff := cmp.Diff(want, p.Unknown); diff != "" {
				t.Errorf("%s: known at apply (-want +got):\n%s", c.name, diff)
			}
		}
	})
}
