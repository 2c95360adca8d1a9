package spec

// HasOutputs says whether a credential has attributes beside those that every
// one has: outputs of its grant, or a refresh token that is exposed.
func (c *Config) HasOutputs(credential Address) bool {
	names, open := c.credentialAttrs(c.own(credential))
	return open || len(names) > len(baseAttrs)
}

// GivesMore says whether a credential has attributes here that it has not as an
// earlier configuration declares it.
func (c *Config) GivesMore(credential Address, earlier *Config) bool {
	names, open := c.credentialAttrs(c.own(credential))
	if open {
		return true
	}
	had, all := earlier.credentialAttrs(earlier.own(credential))
	if all {
		return false
	}
	for _, n := range names {
		if !contains(had, n) {
			return true
		}
	}
	return false
}
