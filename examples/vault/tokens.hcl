# With one vault block in the directory, `vault = vault.main` may be left out.
secret "vault_kv" "coinify" {
  mount = "kv"
  path  = "trading/coinify" # .value is a map: one password for each trader
}

secret "vault_kv" "billing" {
  mount = "kv"
  path  = "trading/billing"
}

credential "coinify" "trader" {
  for_each   = toset(["alice", "bob"])
  grant      = "password"
  email      = "${each.key}@example.com"
  partner_id = "5f51bfe2-d08a-4b43-9d5c-405fd2f2ede6"
  password   = secret.vault_kv.coinify.value[each.key]
}

# Any OAuth 2.0 server; its endpoints are found at the issuer.
credential "oauth2" "billing" {
  grant         = "client_credentials"
  issuer        = "https://id.example.com"
  client_id     = "billing"
  client_secret = secret.vault_kv.billing.value.client_secret
  scopes        = ["invoices.read"]
}

sink "vault_kv" "trader" {
  for_each = credential.coinify.trader # one for each trader
  mount    = "kv"
  path     = "delivered/coinify/${each.key}"
  data = {
    access_token = each.value.access_token
    expires_at   = each.value.expires_at
  }
}

sink "vault_kv" "billing" {
  vault = vault.main
  mount = "kv"
  path  = "delivered/billing"
  data = {
    header     = "${credential.oauth2.billing.header_name}: ${credential.oauth2.billing.header}"
    expires_at = credential.oauth2.billing.expires_at
  }

  # A removal deletes the current version, which `vault kv undelete` brings back.
  # This one leaves nothing: all versions go, and the metadata.
  on_remove = "destroy"
}
