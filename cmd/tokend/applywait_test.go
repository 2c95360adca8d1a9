package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tokend/pkg/reconcile"
)

// An apply that gives failing steps their retries says within seconds which those are,
// once; one that is only at work says nothing.
func TestAnApplySaysWhatItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), applyRetries)
		defer cancel()
		began, looks := time.Now(), 0
		var out strings.Builder
		sayWaits(ctx, &out, func(context.Context) (reconcile.View, error) {
			if looks++; looks == 1 {
				return reconcile.View{Credentials: []reconcile.Line{{Address: "credential.a.b", State: reconcile.Pending}}}, nil
			}
			v := reconcile.View{Credentials: []reconcile.Line{{Address: "credential.a.b", State: reconcile.Failing, Why: "reading secret.file.x: no such file"}}}
			for range 6 {
				v.Sinks = append(v.Sinks, reconcile.Line{Address: "sink.file.a", State: reconcile.Failing, Why: "no space"}, reconcile.Line{Address: "sink.file.b", State: reconcile.Ready})
			}
			return v, nil
		})
		want := "Trying again what fails, for up to 30s (Ctrl-C ends it):\n  a.b: reading secret.file.x: no such file\n" +
			strings.Repeat("  sink.file.a: no space\n", 4) + "  and 2 more\n"
		if out.String() != want {
			t.Errorf("it says\n%s, want\n%s", out.String(), want)
		}
		if took := time.Since(began); took > 6*time.Second || looks != 2 {
			t.Errorf("it took %s and %d looks", took, looks)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), applyRetries)
		defer cancel()
		var out strings.Builder
		sayWaits(ctx, &out, func(context.Context) (reconcile.View, error) { return reconcile.View{}, nil })
		if out.Len() > 0 {
			t.Errorf("it says %q with nothing that fails", out.String())
		}
	})
}
