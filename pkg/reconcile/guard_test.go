package reconcile

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/spec"
)

func TestJudge(t *testing.T) {
	g := spec.Guard{MaxRevocations: 10, MaxRevokedPercent: 25}
	hour := func(n int, ago time.Duration) guardLog {
		return guardLog{Begun: []begun{{At: t0.Add(-ago), Revocations: n}}}
	}
	for name, c := range map[string]struct {
		c    change
		log  guardLog
		want string // part of the reason; "" lets it go
	}{
		"nothing":                        {change{credentials: 100}, guardLog{}, ""},
		"a few of many":                  {change{revocations: 10, credentials: 100}, guardLog{}, ""},
		"too many":                       {change{revocations: 11, credentials: 100}, guardLog{}, "max_revocations"},
		"sinks are counted too":          {change{revocations: 5, removed: 6, credentials: 100, sinks: 100}, guardLog{}, "max_revocations"},
		"a quarter":                      {change{revocations: 5, credentials: 20}, guardLog{}, ""},
		"more than a quarter":            {change{revocations: 6, credentials: 20}, guardLog{}, "percent"},
		"of four it does not count":      {change{revocations: 4, credentials: 4}, guardLog{}, ""},
		"of five it does":                {change{revocations: 2, credentials: 5}, guardLog{}, "percent"},
		"of sinks":                       {change{removed: 3, sinks: 8}, guardLog{}, "percent"},
		"with the hour before":           {change{revocations: 3, credentials: 100}, hour(8, 59*time.Minute), "hour before"},
		"what was earlier does not":      {change{revocations: 3, credentials: 100}, hour(8, time.Hour), ""},
		"percent with the hour before":   {change{revocations: 1, credentials: 9}, hour(2, time.Minute), "percent"},
		"emptied, however few they were": {change{revocations: 1, credentials: 1, emptied: true}, guardLog{}, "no credential"},
	} {
		t.Run(name, func(t *testing.T) {
			got := judge(g, c.log, t0, c.c)
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("judged %q, want %q", got, c.want)
			}
		})
	}
}

func TestStricterOfOldAndNew(t *testing.T) {
	loose := spec.Guard{MaxRevocations: 1000, MaxRevokedPercent: 100, Settle: 0}
	tight := spec.Guard{MaxRevocations: 1, MaxRevokedPercent: 5, Settle: time.Minute}
	if got := stricter(loose, tight); got != tight {
		t.Errorf("stricter = %+v", got)
	}
}
