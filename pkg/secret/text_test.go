package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"tokend/pkg/secret"
)

const canary = "hunter2-canary/+="

type holder struct {
	Public  secret.Text
	private secret.Text
	List    []secret.Text
	Map     map[string]secret.Text
}

func TestNoFormatterPrintsASecret(t *testing.T) {
	h := holder{Public: secret.New(canary), private: secret.New(canary), List: []secret.Text{secret.New(canary)}, Map: map[string]secret.Text{"k": secret.New(canary)}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%10.3s"} {
		fmt.Fprintf(&out, verb+"\n", h)
		fmt.Fprintf(&out, verb+"\n", h.Public)
		fmt.Fprintf(&out, verb+"\n", &h)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("m", "plain", h.Public, "struct", h, "group", slog.GroupValue(slog.Any("inner", h.Public)))
	}
	if b, err := json.Marshal(h); err == nil {
		t.Errorf("json.Marshal gave %s, want an error", b)
	}
	if b, err := xml.Marshal(h.Public); err == nil {
		t.Errorf("xml.Marshal gave %s, want an error", b)
	}
	if err := gob.NewEncoder(&out).Encode(h.Public); err == nil {
		t.Error("gob encoded a secret, want an error")
	}
	if err := fmt.Errorf("wrapping %v and %w", h.Public, secret.ErrEncode); strings.Contains(err.Error(), canary) {
		t.Error("an error prints the secret")
	}
	text := out.String()
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary)} {
		if strings.Contains(text, form) {
			t.Errorf("a formatter printed the secret as %q:\n%s", form, text)
		}
	}
}

func TestTextKeepsItsValue(t *testing.T) {
	a, b := secret.New("abc"), secret.New("abc")
	if a.Reveal() != "abc" || !a.Equal(b) || a.Equal(secret.New("abd")) || a.Empty() || a.Len() != 3 {
		t.Error("a Text does not keep or compare its value")
	}
	var zero secret.Text
	if !zero.Empty() || zero.Reveal() != "" || !zero.Equal(secret.New("")) {
		t.Error("the zero Text is not the empty secret")
	}
}

func TestScrubTakesOutEveryEncoding(t *testing.T) {
	s := secret.New(canary)
	body := strings.Join([]string{canary, base64.StdEncoding.EncodeToString([]byte(canary)), base64.RawURLEncoding.EncodeToString([]byte(canary)),
		url.QueryEscape(canary), url.PathEscape(canary), fmt.Sprintf("%x", canary)}, " | ")
	got := secret.Scrub("before "+body+" after", s)
	if want := "before " + strings.Join([]string{"[secret]", "[secret]", "[secret]", "[secret]", "[secret]", "[secret]"}, " | ") + " after"; got != want {
		t.Errorf("Scrub = %q\nwant    %q", got, want)
	}
	if got := secret.Scrub("a cat", secret.New("a")); got != "a cat" {
		t.Errorf("Scrub destroyed a message for a one-letter secret: %q", got)
	}
}

func TestScrubTakesOutShortWords(t *testing.T) {
	for _, c := range []struct{ text, word, want string }{
		{"no such user or password for abc", "abc", "no such user or password for [secret]"},
		{"abc: abcd xabc abc", "abc", "[secret]: abcd xabc [secret]"},
		{"(ab)ab,äab", "ab", "([secret])[secret],äab"},
		{"password=xy&user=xyz", "xy", "password=[secret]&user=xyz"},
		{"no x here", "x", "no x here"},
		{"nothing", "", "nothing"},
	} {
		if got := secret.Scrub(c.text, secret.New(c.word)); got != c.want {
			t.Errorf("%q without %q is %q, want %q", c.text, c.word, got, c.want)
		}
	}
}

// A short secret that stands in a longer one leaves nothing of that.
func TestScrubTakesOutALongSecretWithAShortOneInIt(t *testing.T) {
	got := secret.Scrub("rejected: at-ok-0123, ok?", secret.New("ok"), secret.New("at-ok-0123"))
	if want := "rejected: [secret], [secret]?"; got != want {
		t.Errorf("Scrub = %q, want %q", got, want)
	}
}
