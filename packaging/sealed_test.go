package packaging_test

import (
	"strings"
	"testing"
)

const (
	stateKey     = "/etc/tokend-secrets/state.key"
	credentialOf = "[Service]\nLoadCredential=state.key:" + stateKey + "\n"
)

// testSealed moves the state's key from the file that tokend made to a
// credential of systemd, under the running daemon; the next start has nothing
// else to open the state with.
func (h *host) testSealed(t *testing.T, token string) {
	h = h.on(t)
	h.WriteFile(stateKey, strings.Repeat("0123456789abcdef", 4)+"\n", 0o400)
	h.WriteFile("/etc/systemd/system/"+service+".d/state-key.conf", credentialOf, 0o644)
	h.MustRun("systemctl", "daemon-reload")
	h.MustRun("systemctl", "restart", service)
	h.WaitUnit(service, "ActiveState", "active", soon)

	if out, code := h.Run("tokend", "state", "rotate-key", "--systemd-credential", "no-such"); code == 0 || !strings.Contains(out, "no-such") {
		t.Errorf("rotating to a credential that is not there: exit status %d\n%s", code, out)
	}
	if out := h.MustRun("tokend", "state", "rotate-key", "--systemd-credential", "state.key"); !strings.Contains(out, `systemd_credential = "state.key"`) {
		t.Errorf("rotate-key does not say what the configuration has to name:\n%s", out)
	}
	h.configure("state.hcl", "tokend {\n  state {\n    systemd_credential = \"state.key\"\n  }\n}\n")
	h.MustRun("rm", "/var/lib/tokend/state.key")
	h.MustRun("systemctl", "restart", service)
	h.WaitUnit(service, "ActiveState", "active", soon)
	h.MustRun("tokend", "state", "backup", "/var/lib/tokend/backup.db")
	if got := h.token(); got != token {
		t.Error("the token is another one after the rotation")
	}
	h.wantCounts(1, 0, 0)

	// Who has not the credential cannot open the state, and is told why.
	h.MustRun("systemctl", "stop", service)
	if out, code := h.Run("tokend", "state", "list"); code == 0 || !strings.Contains(out, "LoadCredential") {
		t.Errorf("without the credential: exit status %d\n%s", code, out)
	}
	h.MustRun("systemctl", "start", service)
	h.WaitUnit(service, "ActiveState", "active", soon)
	h.wantCounts(1, 0, 0)
}
