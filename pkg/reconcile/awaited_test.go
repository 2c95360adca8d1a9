package reconcile_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// twoGrants is a credential whose grants bring different outputs, and a sink that
// holds its token with what each of them says.
func twoGrants(grant, content, more string) string {
	interactive := `
    authorize { url = "http://coinify.localhost/authorize" }
    request {
      method = "POST"
      url    = "http://coinify.localhost/auth"
      form   = { code = flow.code }
    }`
	if !strings.Contains(more, "# a person") {
		interactive = `
    request {
      method = "POST"
      url    = "http://coinify.localhost/auth"
      json   = { grant_type = "password", email = input.email, partnerId = "p", password = "a-password" }
    }`
	}
	return fmt.Sprintf(`
tokend {
  guard {
    settle          = "1s"
    max_revocations = 0
  }
}
%s
provider "mine" { allow_insecure_http = true }
provider_type "mine" {
  grant "plain" {
    input "email" { type = string }
    request {
      method = "POST"
      url    = "http://coinify.localhost/auth"
      json   = { grant_type = "password", email = input.email, partnerId = "p", password = "a-password" }
    }
  }
  grant "rich" {
    input "email" { type = string }
%s
    response {
      access_token  = body.access_token
      refresh_token = body.refresh_token
      expires_in    = body.expires_in
      outputs       = { kind = body.token_type }
    }
  }
  response {
    access_token  = body.access_token
    refresh_token = body.refresh_token
    expires_in    = body.expires_in
  }
  refresh {
    request {
      method = "POST"
      url    = "http://coinify.localhost/auth"
      json   = { grant_type = "refresh_token", refresh_token = token.refresh_token }
    }
  }
  revoke {
    request {
      method = "POST"
      url    = "http://coinify.localhost/auth/revoke"
      json   = { token_type_hint = "refresh_token", token = token.refresh_token }
    }
  }
}
credential "mine" "a" {
  grant = %q
  email = "a@example.com"
}
sink "mem" "a" {
  place   = "a"
  content = %q
}
`, more, interactive, grant, content)
}

const (
	plainly = "${jsonencode({ token = credential.mine.a.access_token })}"
	richly  = "${jsonencode({ token = credential.mine.a.access_token, kind = credential.mine.a.kind })}"
)

// goesOn lets a day go by, in which the sink holds what it held: a token that
// works, and nothing without the output.
func (w *world) goesOn() {
	w.t.Helper()
	w.goesOnAs("sink.mem.a")
}

func (w *world) goesOnAs(sink string) {
	w.t.Helper()
	first := w.places.get("a")
	w.pass(24*time.Hour, 10*time.Minute, func() {
		got := w.places.get("a")
		token, begins := strings.CutPrefix(got, `{"token":"`)
		token, ends := strings.CutSuffix(token, `"}`)
		if !begins || !ends {
			w.t.Fatalf("at %s it holds %q; log: %s", time.Now(), got, w.places.events())
		}
		if t, ok := w.server.Lookup(standin.Coinify, token); !ok || !t.Alive {
			w.t.Fatalf("at %s its token does not work; it is %+v", time.Now(), w.line(sink))
		}
	})
	if w.places.get("a") == first {
		w.t.Fatal("its token was never refreshed")
	}
	if l := w.line(sink); l.State != reconcile.Held || !strings.Contains(l.Why, "the new token of mine.a") {
		w.t.Errorf("it is %+v", l)
	}
}

// What a sink names and only a held replacement has is not taken from it: it goes
// on as it was, with each token of the grant in force, also over a restart.
func TestASinkGoesOnUntilAHeldReplacementHasWhatItNames(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(twoGrants("plain", plainly, ""))
		<-time.After(time.Minute)
		var h *reconcile.HeldChange
		for range 3 {
			if h = w.set(twoGrants("rich", richly, "")); h == nil || len(h.Revocations) != 1 {
				t.Fatalf("held %+v", h)
			}
			w.goesOn()
			w.crash()
		}
		h = w.set(twoGrants("rich", richly, ""))
		if err := w.loop.Approve(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		if got := w.places.get("a"); !strings.HasPrefix(got, `{"kind":"bearer","token":"`) {
			t.Errorf("after the approval it holds %q; it is %+v", got, w.line("sink.mem.a"))
		}
		if l := w.line("sink.mem.a"); l.State != reconcile.Ready {
			t.Errorf("after the approval it is %+v", l)
		}
	})
}

// The configuration and the grant change while nobody runs.
func TestASinkThatChangedMeanwhileGoesOn(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(twoGrants("plain", plainly, ""))
		<-time.After(time.Minute)
		w.crash()
		if h := w.set(twoGrants("rich", richly, "")); h == nil {
			t.Fatal("nothing is held")
		}
		w.goesOn()
		// Another change of the sink is no way around.
		w.set(twoGrants("rich", richly, "locals { other = 1 }"))
		w.set(twoGrants("rich", strings.Replace(richly, "{ token", "{ more = 1, token", 1), ""))
		w.goesOn()
		w.set(twoGrants("plain", plainly, ""))
		<-time.After(time.Minute)
		if l := w.line("sink.mem.a"); l.State != reconcile.Ready {
			t.Errorf("taken back, it is %+v", l)
		}
	})
}

// A login that nobody makes holds its outputs back as well.
func TestASinkGoesOnUntilALogin(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		free := strings.NewReplacer("max_revocations = 0", "max_revocations = 9")
		w.set(free.Replace(twoGrants("plain", plainly, "")))
		<-time.After(time.Minute)
		w.set(free.Replace(twoGrants("rich", richly, "# a person")))
		<-time.After(time.Second)
		if l := w.line("credential.mine.a"); l.State != reconcile.NeedsLogin {
			t.Fatalf("it is %+v", l)
		}
		w.goesOn()
		w.crash()
		w.set(free.Replace(twoGrants("rich", strings.Replace(richly, "{ token", "{ more = 1, token", 1), "# a person")))
		w.goesOn()
	})
}

// A sink that is new is not written without what it names.
func TestANewSinkWaitsForWhatItNames(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		second := `sink "mem" "b" {
  place   = "b"
  content = "${credential.mine.a.kind}"
}
`
		w.set(twoGrants("plain", plainly, ""))
		<-time.After(time.Minute)
		w.set(twoGrants("rich", plainly, second))
		<-time.After(time.Hour)
		if got := w.places.get("b"); got != "" {
			t.Errorf("it holds %q", got)
		}
		if l := w.line("sink.mem.b"); l.State != reconcile.Waiting {
			t.Errorf("it is %+v", l)
		}
	})
}

// A plan says that the sink is written once the new token is there, and not
// before; and while the replacement is held that it goes on.
func TestAPlanOfAnOutputThatIsNotThereYet(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(twoGrants("plain", plainly, ""))
		<-time.After(time.Minute)
		w.halt()
		w.begin(true)
		free := strings.Replace(twoGrants("rich", richly, ""), "max_revocations = 0", "max_revocations = 9", 1)
		// The guard as it was is the stricter one, so a person allows it.
		if h, err := w.loop.Set(context.Background(), w.config(free), reconcile.SetOptions{Allow: 1, Dry: true}); err != nil || h != nil {
			t.Fatalf("held %+v, %v", h, err)
		}
		p, err := w.loop.Plan(context.Background(), reconcile.PlanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var steps []string
		for _, s := range p.Steps {
			steps = append(steps, s.String())
		}
		if got := strings.Join(steps, "\n"); !strings.Contains(got, "write sink.mem.a (once mine.a is replaced)") {
			t.Errorf("the plan is\n%s", got)
		}
	})
}
