package providers

import "testing"

// Half of a character makes what it is in unreadable, and not a whole reply of which an
// expression uses something else.
func TestHalfOfACharacterElsewhereInAReply(t *testing.T) {
	v := value{kind: kindJSON, text: `{"display_name":"Anna \ud83d","scopes":["a","b"]}`}
	if _, err := v.toCty(); err == nil {
		t.Error("what has half of a character can be used")
	}
	whole, err := v.wholeToCty()
	if err != nil || whole.GetAttr("scopes").LengthInt() != 2 {
		t.Errorf("the reply is %#v, %v", whole, err)
	}
}
