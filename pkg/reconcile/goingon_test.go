package reconcile

import (
	"testing"

	"tokend/pkg/spec"
)

// By what an address goes on, decided of what it went on by and what the change says.
func TestOnwardAfter(t *testing.T) {
	last, older, wrote := new(spec.Config), new(spec.Config), new(spec.Config)
	lost := lostConfig{blob: "b", why: "it is damaged"}
	const held = "too many"
	for name, c := range map[string]struct {
		was  onward
		turn turned
		want onward
	}{
		"declared as before":                 {onward{}, turned{declared: true, last: last}, onward{}},
		"it goes":                            {onward{}, turned{went: true, last: last}, onward{gone: true, by: last}},
		"it goes and is held":                {onward{}, turned{went: true, held: held, last: last}, onward{gone: true, held: held, by: last}},
		"it goes by what cannot be read":     {onward{}, turned{went: true, lost: lost}, onward{gone: true, lost: lost}},
		"it was going":                       {onward{gone: true, by: older}, turned{last: last}, onward{gone: true, by: older}},
		"it was going by what is lost":       {onward{gone: true, lost: lost}, turned{last: last}, onward{gone: true, lost: lost}},
		"and is held now":                    {onward{gone: true, lost: lost}, turned{held: held, last: last}, onward{gone: true, held: held, lost: lost}},
		"it comes back":                      {onward{gone: true, by: older}, turned{declared: true, last: older}, onward{}},
		"it comes back and is held":          {onward{gone: true, by: older}, turned{declared: true, held: held, last: older}, onward{held: held, by: older}},
		"it comes back from what is lost":    {onward{gone: true, lost: lost}, turned{declared: true, last: last}, onward{}},
		"held":                               {onward{}, turned{declared: true, held: held, last: last}, onward{held: held, by: last}},
		"held again":                         {onward{held: held, by: older}, turned{declared: true, held: held, last: last}, onward{held: held, by: older}},
		"let go":                             {onward{held: held, by: older}, turned{declared: true, last: last}, onward{}},
		"what was held goes":                 {onward{held: held, by: older}, turned{went: true, last: last}, onward{gone: true, by: older}},
		"it may wait for a grant":            {onward{}, turned{declared: true, last: last, wrote: wrote}, onward{earlier: wrote, wrote: wrote}},
		"as it does by an earlier one still": {onward{earlier: older}, turned{declared: true, last: last, wrote: wrote}, onward{earlier: older, wrote: wrote}},
		"and not by this change":             {onward{earlier: older}, turned{declared: true, last: last}, onward{earlier: older}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.was.after(c.turn); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}
