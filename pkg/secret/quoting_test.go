package secret_test

import (
	"testing"

	"tokend/pkg/secret"
)

// What a program prints of an environment file, or a JSON encoder that is not
// Go's, quotes a secret in its own way.
func TestScrubKnowsHowOthersQuote(t *testing.T) {
	s := secret.New(`p<a>s&s'w"o\rd`)
	for form, text := range map[string]string{
		"double quotes": `KEY="p<a>s&s'w\"o\\rd" # rest`,
		"Go's JSON":     `KEY="p\u003ca\u003es\u0026s'w\"o\\rd" # rest`,
		"the shell":     `KEY='p<a>s&s'\''w"o\rd' # rest`,
	} {
		got := secret.Scrub(text, s)
		if want := text[:5] + "[secret]" + text[len(text)-8:]; got != want {
			t.Errorf("%s: got %s, want %s", form, got, want)
		}
	}
}
