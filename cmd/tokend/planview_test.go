package main

import (
	"bufio"
	"bytes"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/reconcile"
)

// The reference of a plan's JSON says each field, and none that is not there.
func TestThePlansJSONIsDocumented(t *testing.T) {
	said := documentedFields(t, "../../docs/plan.md")
	for heading, v := range map[string]any{
		"The plan": planReply{}, "A step": planStep{}, "A held change": planHeld{}, "The configuration": planConfiguration{}, "The export": planAgainst{},
	} {
		if diff := cmp.Diff(jsonFields(v), said[heading]); diff != "" {
			t.Errorf("%s (-code +docs/plan.md):\n%s", heading, diff)
		}
	}
}

// Each action of a plan is in the table of signs, with its sign.
func TestThePlansActionsAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/plan.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups() {
		if want := "| `" + g.sign + "` | `" + g.action + "` |"; !strings.Contains(string(b), want) {
			t.Errorf("docs/plan.md has no line %s", want)
		}
	}
}

// Every action that a step can have is called what the reference calls it, and
// belongs to a group that is printed.
func TestEveryActionIsPrinted(t *testing.T) {
	printed := map[string]bool{}
	for _, g := range groups() {
		printed[g.action] = true
	}
	for action, want := range map[reconcile.Action]string{
		reconcile.ActMove: "move", reconcile.ActImport: "import",
		reconcile.ActObtain: "obtain", reconcile.ActExchange: "obtain", reconcile.ActStatic: "obtain",
		reconcile.ActRefresh: "refresh", reconcile.ActReplay: "refresh", reconcile.ActReread: "refresh",
		reconcile.ActReplace: "replace", reconcile.ActWrite: "write", reconcile.ActRepair: "repair",
		reconcile.ActRemove: "remove", reconcile.ActClean: "remove",
		reconcile.ActRevoke: "revoke", reconcile.ActRevive: "revoke",
		reconcile.ActDrop: "forget", reconcile.ActRelease: "forget",
		reconcile.ActHook: "hook", reconcile.ActWait: "wait",
	} {
		if got := planAction(reconcile.Step{Action: action}); got != want || !printed[got] {
			t.Errorf("%s is %q in a plan, want %q; printed: %t", action, got, want, printed[got])
		}
	}
	if got := planAction(reconcile.Step{Action: reconcile.ActStatic, Inputs: []string{"transfer_key"}}); got != planReplace {
		t.Errorf("a static grant whose input changed is %q in a plan", got)
	}
	// What one of them does is told by the last line, too.
	for _, g := range groups() {
		var out bytes.Buffer
		(&globals{process: process{out: &out}}).printPlan(planReply{Steps: []planStep{{Address: "credential.coinify.a", Action: g.action, Reason: "why so"}}, Configuration: planConfiguration{Valid: true}})
		want := g.heading + "\n  " + g.sign + " coinify.a\n      why so\n\nPlan: 1 to " + g.words(1) + ".\n"
		if out.String() != want {
			t.Errorf("%s is printed as\n%s\nwant\n%s", g.action, out.String(), want)
		}
	}
}

func jsonFields(v any) []string {
	var names []string
	for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return slices.Sorted(slices.Values(names))
}

// documentedFields are the first columns of the tables below "As JSON", by their
// heading.
func documentedFields(t *testing.T, path string) map[string][]string {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	row := regexp.MustCompile("^\\| `([a-z_]+)` \\|")
	fields := map[string][]string{}
	heading := ""
	for s := bufio.NewScanner(f); s.Scan(); {
		if h, ok := strings.CutPrefix(s.Text(), "### "); ok {
			heading = h
		}
		if m := row.FindStringSubmatch(s.Text()); m != nil && heading != "" {
			fields[heading] = append(fields[heading], m[1])
		}
	}
	for h := range maps.Keys(fields) {
		slices.Sort(fields[h])
	}
	return fields
}

// What many wait for, and one command mends, is said once; what each waits for by
// itself is said of each.
func TestWhatManyWaitForIsSaidOnce(t *testing.T) {
	var out bytes.Buffer
	g := &globals{process: process{out: &out}}
	held := func(a string) planStep {
		return planStep{Address: a, Action: planWait, Reason: "the change would give up 2 tokens", Mend: "tokend approve"}
	}
	forced := held("credential.coinify.d")
	forced.Inputs = []string{"email"}
	n := g.printGroup(group{"·", planWait, dim, "Wait"}, []planStep{
		held("credential.coinify.a"), {Address: "credential.coinify.b", Action: planObtain}, held("credential.coinify.c"), forced,
		{Address: "sink.file.a", Action: planWait, Reason: "waits for the token of coinify.a"},
		{Address: "sink.file.b", Action: planWait, Reason: "waits for the token of coinify.a"},
	}, time.Now())
	want := `Wait
  · coinify.a
  · coinify.c
      the change would give up 2 tokens
      to mend: tokend approve
  · coinify.d
      the change would give up 2 tokens
      forced by: email
      to mend: tokend approve
  · sink.file.a
      waits for the token of coinify.a
  · sink.file.b
      waits for the token of coinify.a

`
	if diff := cmp.Diff(want, out.String()); diff != "" || n != 5 {
		t.Errorf("%d (-want +got):\n%s", n, diff)
	}
}
