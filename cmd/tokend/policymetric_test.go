package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"tokend/pkg/standin"
)

// A policy that is broken while the daemon runs is said by a metric, as it is by status;
// its mistakes are records of the daemon's log, which is JSON.
func TestABrokenPolicyHasAMetric(t *testing.T) {
	t.Parallel()
	h := newHost(t, "", standin.Options{})
	h.write("main.hcl", "tokend {\n  listen = \"127.0.0.1:0\"\n}\n")
	policy := h.path("policy.hcl")
	write(t, policy, "")
	d := h.start("--policy", policy, "--log-format", "json")
	says := func(want string) {
		t.Helper()
		h.until("the metrics to say "+want, func(context.Context) string {
			res, err := http.Get("http://" + h.pages(1) + "/metrics")
			if err != nil {
				return err.Error()
			}
			defer res.Body.Close()
			b, err := io.ReadAll(res.Body)
			if err != nil || !strings.Contains(string(b), "\n"+want+"\n") {
				return "they do not"
			}
			return ""
		})
	}
	says("tokend_policy_valid 1")
	write(t, policy, "sink \"files\" {}\n")
	says("tokend_policy_valid 0")
	h.until("status to say so", func(context.Context) string {
		out, _ := h.tokend("", "status")
		if !strings.Contains(out, "The policy cannot be used as it is now; the last one stays in force") {
			return out
		}
		return ""
	})
	write(t, policy, "sink \"file\" {\n  paths = [\"/run/**\"]\n}\n")
	says("tokend_policy_valid 1")
	d.stop()
	said := h.log.String()
	if !strings.Contains(said, `"msg":"a mistake in the configuration","summary":"Unknown kind","file":"`+policy+`","line":1,"column":6,`) {
		t.Error("the mistake is no record of the log")
	}
	for line := range strings.Lines(said) {
		if !strings.HasPrefix(line, "{") {
			t.Errorf("a line of the log is not JSON: %s", line)
		}
	}
}
