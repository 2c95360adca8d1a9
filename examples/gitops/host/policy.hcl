# What a push to this repository can do on this host, whatever is in it. This file
# is not part of the configuration: it goes to /etc/tokend-policy.hcl, belongs to
# root, and is changed by who owns the host. What no block allows is forbidden.

sink "file" {
  paths    = ["/run/tokend/*.token", "/run/tokend/staging/*.token"]
  owners   = ["trader"]
  groups   = ["trader"]
  max_mode = "0640"
}

secret "file" { paths = ["/etc/tokend-secrets/coinify.*"] }

provider "coinify" { origins = ["https://*.coinify.com"] }

# No block allows hooks, programs, Vault servers or provider types of its own.
