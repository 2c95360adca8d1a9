package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A node of a Vault cluster that is not the active one asks that one itself, or
// sends the client on to it: to the api_addr of the active node, with status 307.
// Vault's library then repeats the request there, with the token and the body, and
// does so for any redirect of whatever stands before Vault: a portal that wants a
// login would be sent both. So a request goes to another origin only where Vault
// itself says, asked for that without a token, that its active node is there.

// leaderLasts is how long an answer of sys/leader counts: a standby may send every
// request on, and need not be asked each time.
const leaderLasts = time.Minute

// refusalLasts is how long it counts that requests may not be sent on to an origin:
// what waits for that together asks once.
const refusalLasts = 5 * time.Second

// leader remembers where the active node is, or is not. It is safe for concurrent use.
type leader struct {
	mu      sync.Mutex
	origin  string
	refusal error // why requests may not be sent on to it; nil: they may
	until   time.Time
}

// follows says whether requests may be sent on to an origin: nil, or why not.
func (t *boundedTransport) follows(ctx context.Context, to string) error {
	if t.allow != nil {
		if err := t.allow(to); err != nil {
			return fmt.Errorf("it sends requests on to %s, which is %w", to, err)
		}
	}
	t.leader.mu.Lock()
	defer t.leader.mu.Unlock()
	if to == t.leader.origin && time.Now().Before(t.leader.until) {
		return t.leader.refusal
	}
	active, err := t.activeNode(ctx)
	switch {
	case ctx.Err() != nil:
		return ctx.Err() // says nothing of the origin
	case err != nil:
		err = fmt.Errorf("it sends requests on to %s, and does not say that Vault's active node is there: %w", to, err)
	case active != to:
		err = fmt.Errorf("it sends requests on to %s, which is not where it says that Vault's active node is (%s): neither a token nor a secret is sent there", to, active)
	}
	lasts := leaderLasts
	if err != nil {
		lasts = refusalLasts
	}
	t.leader.origin, t.leader.refusal, t.leader.until = to, err, time.Now().Add(lasts)
	return err
}

// activeNode asks for the origin of the active node (GET sys/leader, which needs no
// token, and which a standby answers itself).
func (t *boundedTransport) activeNode(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.address+"/v1/sys/leader", nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("User-Agent", "tokend")
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return "", fmt.Errorf("asking %s/v1/sys/leader: %w", t.address, err)
	}
	defer resp.Body.Close()
	var says struct {
		HA      bool   `json:"ha_enabled"`
		Address string `json:"leader_address"`
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&says)
	switch {
	case resp.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%s/v1/sys/leader answers %d", t.address, resp.StatusCode)
	case err != nil:
		return "", fmt.Errorf("%s/v1/sys/leader does not answer as Vault does", t.address)
	case !says.HA || says.Address == "":
		return "", fmt.Errorf("%s/v1/sys/leader names no active node", t.address)
	}
	if !strings.Contains(says.Address, "://") {
		says.Address = "https://" + says.Address // as Vault reads it when it redirects
	}
	return serverOf(says.Address), nil
}
