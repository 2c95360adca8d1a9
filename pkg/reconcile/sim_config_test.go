package reconcile_test

import (
	"fmt"
	"strings"
	"sync"
	"testing/fstest"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/providers"
	"tokend/pkg/spec"
)

// simType is how one simulated API hands out tokens: what its type says of it,
// and what it really does.
type simType struct {
	name           string
	traits         providers.Traits
	rotates        bool // a refresh replaces the refresh token
	reuseKills     bool // a spent refresh token that is used again ends the grant
	endsGrant      bool // a revocation ends the whole grant, not the token named alone
	life, longLife time.Duration
	quiet          bool // it tells the number of a token at a login, and never again
	repeats        bool // a login brings again what lives of the one before
}

// simTypeNames are the types of the catalogue: two with a password, one that
// needs a person, and one whose key is the credential.
var simTypeNames = [...]string{"first", "second", "person", "fixed"}

func drawType(d *draws, name string) *simType {
	t := &simType{name: name}
	tr := &t.traits
	if name == "fixed" {
		t.life, tr.Static, tr.Session = 100*365*24*time.Hour, true, "independent"
		return t
	}
	if tr.Interactive = name == "person"; !tr.Interactive {
		tr.Secrets = []string{"password"}
	}
	tr.Lockout = !tr.Interactive && d.chance("lockout", name, 0.5)
	tr.Session = one(d, "session", name, "independent", "independent", "one_per_account", "shared_grant")
	t.quiet = d.chance("says it once", name, 0.3)
	t.life = d.longOrShort("life", name, 15*time.Minute, 24*time.Hour)
	if tr.HasRefresh = tr.Interactive || d.chance("has refresh", name, 0.8); tr.HasRefresh {
		t.drawRefresh(d)
	}
	if tr.HasRevoke = d.chance("has revoke", name, 0.85); tr.HasRevoke {
		t.drawRevoke(d)
	}
	return t
}

func (t *simType) drawRefresh(d *draws) {
	tr := &t.traits
	tr.Rotates = one(d, "rotates", t.name, "true", "true", "observe", "observe", "false")
	t.rotates = tr.Rotates == "true" || tr.Rotates == "observe" && d.chance("really rotates", t.name, 0.6)
	if t.rotates && d.chance("window", t.name, 0.4) {
		tr.ReplayWindow = d.longOrShort("how long a window", t.name, 10*time.Second, 10*time.Minute)
	}
	t.reuseKills = d.chance("reuse kills", t.name, 0.7)
	tr.InvalidatesAccessToken = d.chance("invalidates", t.name, 0.2)
	if d.chance("refresh tokens end", t.name, 0.4) {
		t.longLife = d.longOrShort("refresh life", t.name, t.life, 40*t.life)
		tr.RefreshTokenLifetime = t.longLife
	}
}

func (t *simType) drawRevoke(d *draws) {
	tr := &t.traits
	tr.RevokeOn = one(d, "on", t.name, []string{"remove", "replace"}, []string{"remove", "replace"}, []string{"remove", "replace", "refresh"}, []string{"remove"})
	tr.RevokeNeeds = one(d, "needs", t.name, "", "access_token", "access_token", "refresh_token")
	if !tr.HasRefresh || len(tr.RevokeOn) == 3 && tr.RevokeNeeds == "refresh_token" {
		tr.RevokeNeeds = "access_token"
	}
	tr.RevokeNamesAccess = tr.RevokeNeeds != "refresh_token"
	tr.RevokeNamesRefresh = tr.RevokeNeeds != "access_token"
	t.endsGrant = len(tr.RevokeOn) < 3
}

// simCatalog holds the types in tokend's language; what they do is drawn.
func simCatalog() fstest.MapFS {
	files := fstest.MapFS{}
	for _, name := range simTypeNames {
		grant := `
  grant "password" {
    input "account" { type = string }
    input "password" {
      type      = string
      sensitive = true
    }
    request {
      method = "POST"
      url    = "${config.base_url}/login"
      json   = { account = input.account, password = input.password }
    }
  }`
		if name == "person" {
			grant = `
  grant "code" {
    input "account" { type = string }
    authorize {
      url   = "${config.base_url}/authorize"
      query = { client_id = input.account }
    }
    request {
      method = "POST"
      url    = "${config.base_url}/token"
      form   = { code = flow.code }
    }
  }`
		}
		grant += richGrant(grant)
		if name == "fixed" {
			files[name+".hcl"] = &fstest.MapFile{Data: []byte(simFixed)}
			continue
		}
		files[name+".hcl"] = &fstest.MapFile{Data: []byte(`provider_type "` + name + `" {
  summary = "a simulated API"
  session = "independent"
  config "base_url" { type = string }
` + grant + `
  response {
    access_token  = body.access_token
    refresh_token = body.refresh_token
    expires_in    = body.expires_in
  }
  refresh {
    request {
      method = "POST"
      url    = "${config.base_url}/refresh"
      form   = { refresh_token = token.refresh_token }
    }
  }
  revoke {
    on = ["remove", "replace"]
    request {
      method = "POST"
      url    = "${config.base_url}/revoke"
      form   = { token = token.access_token }
    }
  }` + simActions + `
}`)}
	}
	return files
}

// simFixed is the type of which nothing is obtained.
const simFixed = `provider_type "fixed" {
  summary = "a simulated key"
  config "base_url" { type = string }
  grant "key" {
    static = true
    input "key" {
      type      = string
      sensitive = true
    }
    outputs = { key = input.key }
  }
}`

func simOptions() spec.Options {
	text := func(name string, deferred bool) spec.Attr {
		return spec.Attr{Name: name, Type: cty.String, Required: true, Deferred: deferred}
	}
	return spec.Options{
		Catalog: simCatalog(), HostName: "host",
		Sinks:   map[string]spec.Schema{"mem": {Attrs: []spec.Attr{text("place", false), text("content", true)}}},
		Secrets: map[string]spec.Schema{"mem": {Attrs: []spec.Attr{text("of", false)}}},
		Hooks:   map[string]spec.Schema{"mem": {}},
	}
}

// simCredentials are the names of the credentials that may be declared: one of
// each type that is asked, and in some runs two more of the first, with which its
// API can be away for several, and a key.
var simCredentials = [...]string{"credential.first.a", "credential.second.b", "credential.person.c", "credential.first.d", "credential.first.e", "credential.fixed.f"}

// simFew of them are in every run.
const simFew = 3

// typeOfSim is the type of one of them.
func typeOfSim(i int) string { return strings.Split(simCredentials[i], ".")[1] }

func letterOfSim(i int) string { return string(rune('a' + i)) }

// simStyles is the number of shapes that a configuration comes in.
const simStyles = 10

// simRenamed is the style with the sinks of the one that has a moved block, and
// without that.
const simRenamed = 2

// simConfig is a configuration in few numbers: few, since reading one costs as
// much as an hour of the life of a loop.
type simConfig struct {
	style    int
	declared [len(simCredentials)]int // 0: not declared; else which account it is of
	imports  int                      // which of them has an import block; 0: none
	mover    int                      // which of them has another name at times
	renamed  bool                     // it has that now
	moved    bool                     // a moved block says what its name was before
	forgets  [simFew]bool             // a removed block names it while it is not declared
	leaves   [simFew]bool             // its token ends with the daemon
	shared   bool                     // two of them are of one account
	rich     [simFew]int              // it is obtained by the grant that has an output, and its sink names that
}

func (c simConfig) declares(i int) bool { return c.declared[i] != 0 }

// asks says that it declares a credential of a type.
func (c simConfig) asks(typ string) bool {
	for i := range c.declared {
		if c.declares(i) && typeOfSim(i) == typ {
			return true
		}
	}
	return false
}

// shape is what a style says.
func (c simConfig) shape() (lifecycle, guard, base string, layout int) {
	longest, overlap := c.overlaps()
	lifecycle, base = fmt.Sprintf("overlap = %q\n    max_overlap = %q", overlap, longest), "https://one.example"
	switch c.style {
	case 1:
		layout = 1
	case simRenamed:
		layout = 2
	case 4:
		lifecycle += "\n    on_remove = \"forget\""
	case 5:
		guard = "max_revocations = 2" // a credential with its sink
	case 6:
		base = "https://two.example"
	case 7:
		layout = 3
	case 8:
		lifecycle += "\n    prevent_destroy = true"
	}
	return lifecycle, guard, base, layout
}

// verified: the API is asked whether it honours its tokens.
func (c simConfig) verified() bool { return c.style == 9 }

// limited: no more than so many requests in so much time.
func (c simConfig) limited() bool { return c.style == 3 }

const (
	simRequests = 2
	simPer      = 10 * time.Second
)

// extras is what a credential and its provider have besides.
func (c simConfig) extras() (credential, provider string) {
	if c.verified() {
		credential = "\n  verify {\n    path  = \"/me\"\n    every = \"2m\"\n  }"
	}
	if c.limited() {
		provider = fmt.Sprintf("\n  rate_limit {\n    requests = %d\n    per      = %q\n  }", simRequests, simPer)
	}
	return credential, provider
}

// overlaps are how long an old token may hold on, and how long it must.
func (c simConfig) overlaps() (longest, overlap time.Duration) {
	switch c.style {
	case 3:
		return 5 * time.Minute, 0
	case 4:
		return 20 * time.Minute, 2 * time.Minute
	}
	return 15 * time.Minute, 30 * time.Second
}

// places are the places that it declares, and of which credentials each holds the
// tokens.
func (c simConfig) places() map[string][]int {
	_, _, _, layout := c.shape()
	at := map[string][]int{}
	for i := range simCredentials {
		if !c.declares(i) {
			continue
		}
		place := letterOfSim(i)
		if layout == 1 && i == 0 {
			place += "-elsewhere"
		}
		at[place] = []int{i}
	}
	if layout == 1 && c.declares(0) && c.declares(1) {
		at["both"] = []int{0, 1}
	}
	return at
}

// sinkAt is the name of the sink that it has at a place.
func (c simConfig) sinkAt(place string) string {
	name := strings.TrimSuffix(place, "-elsewhere")
	if _, _, _, layout := c.shape(); layout >= 2 && name == "a" {
		name += "-renamed"
	}
	return "sink.mem." + name
}

func (c simConfig) text() string {
	lifecycle, guard, base, layout := c.shape()
	verify, limit := c.extras()
	var b strings.Builder
	fmt.Fprintf(&b, "tokend {\n  guard {\n    settle = \"5s\"\n    max_revoked_percent = 100\n    %s\n  }\n}\nhook \"mem\" \"tell\" {}\n", guard)
	for _, name := range simTypeNames {
		if c.asks(name) {
			fmt.Fprintf(&b, "provider %q {\n  base_url = %q%s\n}\n", name, base, limit)
		}
	}
	for i := range simCredentials {
		if !c.declares(i) {
			continue
		}
		name, letter, called := typeOfSim(i), letterOfSim(i), c.nameOf(simCredentials[i])
		inputs := fmt.Sprintf("%saccount = %q", c.scopeOf(i), c.accountNamed(i))
		if name != "person" {
			fmt.Fprintf(&b, "secret \"mem\" %q { of = %q }\n", letter, c.accountNamed(i))
			inputs += "\n  password = secret.mem." + letter + ".value"
		}
		inputs += verify
		if name == "fixed" {
			inputs = "key = secret.mem." + letter + ".value"
		}
		if i > 0 && c.imports == i {
			fmt.Fprintf(&b, "secret \"mem\" \"brought\" { of = %q }\nimport {\n  to            = %s\n  refresh_token = secret.mem.brought.value\n}\n", broughtTo(c.account(i)), called)
		}
		fmt.Fprintf(&b, "credential %q %q {\n  %s%s\n  lifecycle {\n    %s%s\n  }\n}\n", name, lastOf(called), c.grantOf(i), inputs, lifecycle, c.leavesWith(i))
	}
	c.removedBlocks(&b)
	b.WriteString(c.movedBlock())
	c.sinks(&b, layout)
	return b.String()
}

// sinks come in layouts: each a place, one of several tokens, one that another's
// place went to, and one that has another name, as a moved block says.
func (c simConfig) sinks(b *strings.Builder, layout int) {
	sink := func(name, place, content string) {
		fmt.Fprintf(b, "sink \"mem\" %q {\n  place   = %q\n  content = \"%s\"\n  notify  = [hook.mem.tell]\n}\n", name, place, content)
	}
	token := func(i int) string { return c.contentOf(i) }
	for i := range simCredentials {
		letter := letterOfSim(i)
		switch {
		case !c.declares(i):
		case layout == 1 && i == 0:
			sink(letter, letter+"-elsewhere", token(i))
		case layout >= 2 && i == 0:
			sink(letter+"-renamed", letter, token(i))
			if layout == 3 {
				fmt.Fprintf(b, "moved {\n  from = sink.mem.%[1]s\n  to   = sink.mem.%[1]s-renamed\n}\n", letter)
			}
		default:
			sink(letter, letter, token(i))
		}
	}
	if layout == 1 && c.declares(0) && c.declares(1) {
		sink("both", "both", token(0)+" "+token(1))
	}
}

// simKept is how many configurations are kept: most are asked for again by the
// same run, and all of those of many runs would be much for a collector to walk.
const simKept = 300

// simConfigs reads configurations, each text once for a while: they are
// immutable, and reading one takes longer than simulating an hour.
type simConfigs struct {
	mu    sync.Mutex
	first *spec.Config // the catalogue, which is the same for all, is that of the first
	read  map[string]*spec.Config
}

func newConfigs() *simConfigs { return &simConfigs{read: map[string]*spec.Config{}} }

func (r *simConfigs) load(text string) (*spec.Config, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.read[text]; ok {
		return c, nil
	}
	o := simOptions()
	o.Previous = r.first
	c, diags := spec.LoadFiles("/config", map[string][]byte{"main.hcl": []byte(text)}, o)
	if diags.HasErrors() {
		return nil, fmt.Errorf("reading a simulated configuration: %w\n%s", diags, text)
	}
	if r.first == nil {
		r.first = c
	}
	if len(r.read) == simKept {
		clear(r.read)
	}
	r.read[text] = c
	return c, nil
}
