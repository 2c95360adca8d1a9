package spec

import "github.com/hashicorp/hcl/v2"

// Config is a loaded directory.
type Config struct{}

// Load reads the directory dir.
func Load(dir string, o Options) (*Config, Diagnostics) { return nil, nil }

// LoadFiles is Load from memory.
func LoadFiles(dir string, files map[string][]byte, o Options) (*Config, Diagnostics) {
	return nil, nil
}

// ParseAddress reads an address.
func ParseAddress(s string) (Address, error) { return Address(s), nil }

// Dir returns the absolute directory.
func (c *Config) Dir() string                       { return "" }
func (c *Config) Sources() map[string][]byte        { return nil }
func (c *Config) Files() map[string]*hcl.File       { return nil }
func (c *Config) Reads() []string                   { return nil }
func (c *Config) Settings() Settings                { return Settings{} }
func (c *Config) Credentials() []Address            { return nil }
func (c *Config) Sinks() []Address                  { return nil }
func (c *Config) Hooks() []Address                  { return nil }
func (c *Config) Secrets() []Address                { return nil }
func (c *Config) Providers() []Address              { return nil }
func (c *Config) Vaults() []Address                 { return nil }
func (c *Config) Digest(a Address) ([16]byte, bool) { return [16]byte{}, false }
func (c *Config) Credential(a Address) (*Credential, error) {
	return nil, nil
}
func (c *Config) Inputs(a Address, names []string, s Scope) (Values, error) { return Values{}, nil }
func (c *Config) Provider(a Address, s Scope) (*Provider, error)            { return nil, nil }
func (c *Config) Sink(a Address) (*Sink, error)                             { return nil, nil }
func (c *Config) SinkArgs(a Address, s Scope) (Values, error)               { return Values{}, nil }
func (c *Config) Hook(a Address, s Scope) (*Block, error)                   { return nil, nil }
func (c *Config) Secret(a Address, s Scope) (*Block, error)                 { return nil, nil }
func (c *Config) Vault(a Address, s Scope) (*Block, error)                  { return nil, nil }
func (c *Config) ProviderType(name string) *ProviderType                    { return nil }
func (c *Config) ProviderTypes() []*ProviderType                            { return nil }
func (c *Config) Moved() []Moved                                            { return nil }
func (c *Config) Removed() []Removed                                        { return nil }
func (c *Config) Imports() []Import                                         { return nil }
func (c *Config) ImportValues(to Address, s Scope) (Values, error)          { return Values{}, nil }
