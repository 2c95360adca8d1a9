package spec

import "strings"

// MayRevokeOnShutdown reports whether a credential may say revoke_on_shutdown.
// False is certain, and costs a look at the text instead of a reading of every
// block, at a moment when the host waits for the daemon to stop.
func (c *Config) MayRevokeOnShutdown() bool {
	for _, s := range c.sources {
		// JSON can write a name with escapes.
		if strings.Contains(s.text, "revoke_on_shutdown") || s.json && strings.Contains(s.text, `\u`) {
			return true
		}
	}
	return false
}
