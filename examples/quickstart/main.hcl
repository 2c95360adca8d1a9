# The quickstart: one credential of each built-in API, delivered to files and
# environment files. `tokend dev` runs it against stand-ins of the APIs on this
# machine; against the real ones it needs your own accounts below.

tokend {
  defaults {
    refresh {
      # The stand-ins' tokens live for half a minute, so that refreshes can be
      # watched. For real tokens leave this out: the default is 60s.
      min_remaining = "5s"
    }
  }
}

variable "out" {
  type        = string
  default     = "out"
  description = "where the tokens go; relative to this directory"
}

# Secrets are read when they are used, from files here. They could come from
# Vault, a systemd credential, an environment variable or a program just as well.
secret "file" "coinify_password" { path = "secrets/coinify.password" }
secret "file" "coinsph_secret" { path = "secrets/coinsph.client_secret" }
secret "file" "hopper_secret" { path = "secrets/cryptohopper.client_secret" }
secret "file" "apirone_key" { path = "secrets/apirone.transfer_key" }

credential "coinify" "trader" {
  for_each   = toset(["alice", "bob"])
  grant      = "password"
  email      = "${each.key}@example.com"
  partner_id = "5f51bfe2-d08a-4b43-9d5c-405fd2f2ede6"
  password   = secret.file.coinify_password.value

  lifecycle { overlap = "5s" }
}

credential "coinsph" "wallet" {
  grant         = "authorization_code" # a person approves once: tokend login coinsph.wallet
  client_id     = "m1x-quickstart"
  client_secret = secret.file.coinsph_secret.value
  scopes        = ["buyorder", "sellorder", "history"]
}

credential "cryptohopper" "bot" {
  grant         = "authorization_code"
  client_id     = "q9-quickstart"
  client_secret = secret.file.hopper_secret.value
  scopes        = ["read", "notifications", "manage", "trade"]
}

credential "apirone" "account" {
  grant    = "login"
  login    = "apr-e7be0e8eabd391b499fe64647576fad5"
  password = secret.file.apirone_key.value
}
