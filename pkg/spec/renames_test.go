package spec

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/secret"
)

// Moves are steps: what each means to a configuration depends on those before, and
// the same is read of a fresh configuration by the steps that are kept.
func TestRenamedInSteps(t *testing.T) {
	const text = `
sink "file" "a" {
  path    = "/a"
  content = "a"
}
sink "file" "b" {
  path    = "/b"
  content = "b"
}
sink "file" "d" {
  path    = "/d"
  content = "d"
}
`
	at := func(name string) Address { return Address("sink.file." + name) }
	base := mustLoad(t, text)
	digests := map[[16]byte]string{}
	for _, own := range []string{"a", "b", "d"} {
		dg, _ := base.Digest(at(own))
		digests[dg] = own
	}
	reads := func(c *Config) map[string]string {
		is := map[string]string{}
		for _, now := range strings.Split("abcdexyz", "") {
			if dg, ok := c.Digest(at(now)); ok && c.Declares(at(now)) {
				is[now] = digests[dg]
			}
		}
		return is
	}
	for name, c := range map[string]struct {
		steps string            // such as "ab ba": a is b, and then b is a
		want  map[string]string // by the addresses of now: the text's own
		kept  int
	}{
		"none":                              {"", map[string]string{"a": "a", "b": "b", "d": "d"}, 0},
		"the first":                         {"ax", map[string]string{"x": "a", "b": "b", "d": "d"}, 1},
		"on":                                {"ax xy", map[string]string{"y": "a", "b": "b", "d": "d"}, 1},
		"back":                              {"ax xa", map[string]string{"a": "a", "b": "b", "d": "d"}, 0},
		"two that change places":            {"ab,ba", map[string]string{"b": "a", "a": "b", "d": "d"}, 1},
		"and back":                          {"ab,ba ab,ba", map[string]string{"a": "a", "b": "b", "d": "d"}, 0},
		"something else":                    {"cy yz", map[string]string{"a": "a", "b": "b", "d": "d"}, 0},
		"another at the old address":        {"ax cy", map[string]string{"x": "a", "b": "b", "d": "d"}, 1},
		"another moves there, and on":       {"cd de", map[string]string{"e": "d", "a": "a", "b": "b"}, 1},
		"it goes, and another moves there":  {"ax cd de", map[string]string{"x": "a", "b": "b", "e": "d"}, 1},
		"two that come to one address":      {"ax bx", map[string]string{"x": "b", "d": "d"}, 2},
		"the other way round":               {"bx ax", map[string]string{"x": "a", "d": "d"}, 2},
		"and the later one goes on":         {"ax bx xy", map[string]string{"y": "b", "x": "a", "d": "d"}, 1},
		"three of them":                     {"ax bx dx", map[string]string{"x": "d"}, 3},
		"one comes to where another was":    {"ab", map[string]string{"b": "a", "d": "d"}, 1},
		"and goes on":                       {"ab bx", map[string]string{"x": "a", "b": "b", "d": "d"}, 1},
		"one that came and one of the text": {"ax bx xa", map[string]string{"a": "b", "x": "a", "d": "d"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var steps []Renames
			for _, said := range strings.Fields(c.steps) {
				step := Renames{}
				for _, m := range strings.Split(said, ",") {
					step[at(m[:1])] = at(m[1:])
				}
				steps = append(steps, step)
			}
			for range 20 { // maps have no order
				one := base
				for _, step := range steps {
					one = one.Renamed(step)
				}
				all := base.Renamed(steps...)
				again := base.Renamed(one.Renames()...)
				for how, got := range map[string]*Config{"one by one": one, "all": all, "as kept": again} {
					if d := cmp.Diff(c.want, reads(got)); d != "" {
						t.Fatalf("%s: %s", how, d)
					}
					if len(got.Renames()) != c.kept {
						t.Fatalf("%s: %v are kept", how, got.Renames())
					}
					want := slices.Sorted(maps.Keys(c.want))
					if is := got.Sinks(); len(is) != len(want) || is[0] != at(want[0]) {
						t.Fatalf("%s: it lists %v", how, is)
					}
				}
			}
		})
	}
}

// Where two that a sink names came to one address one after the other, only the later
// one is there: its token is not given out as that of the other.
func TestASinkOfTwoThatCameToOneAddress(t *testing.T) {
	base := mustLoad(t, `
secret "file" "pw" { path = "pw" }
credential "apirone" "a" {
  grant    = "login"
  login    = "a"
  password = secret.file.pw.value
}
credential "apirone" "b" {
  grant    = "login"
  login    = "b"
  password = secret.file.pw.value
}
sink "file" "both" {
  path    = "/s"
  content = "${credential.apirone.a.access_token} ${credential.apirone.b.access_token}"
}
sink "file" "later" {
  path    = "/t"
  content = credential.apirone.b.access_token
}
`)
	at := func(name string) Address { return Address("credential.apirone." + name) }
	c := base.Renamed(Renames{at("a"): at("x")}, Renames{at("b"): at("x")})
	scope := Scope{Credential: func(a Address) (Attributes, error) {
		return Attributes{AccessToken: secret.New("token of " + string(a))}, nil
	}}
	var unreadable *UnreadableError
	if _, err := c.SinkArgs("sink.file.both", scope); !errors.As(err, &unreadable) {
		t.Errorf("%v", err)
	}
	args, err := c.SinkArgs("sink.file.later", scope)
	if err != nil {
		t.Fatal(err)
	}
	if content, err := args.Secret("content"); err != nil || content.Reveal() != "token of credential.apirone.x" {
		t.Errorf("%v", err)
	}
}
