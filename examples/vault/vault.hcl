variable "vault_address" {
  type        = string
  description = "where Vault is"
}

variable "vault_ca_file" {
  type        = string
  default     = null
  description = "what signs Vault's certificate; by default what the system trusts"
}

# Nothing here is taken from VAULT_ADDR, VAULT_TOKEN and their kin: a daemon must
# not follow what happens to be exported in somebody's shell.
vault "main" {
  address = var.vault_address
  ca_file = var.vault_ca_file

  # Also there: auth "token" { token = … }, and auth "token_file" { path = … } for
  # a token that Vault Agent keeps fresh.
  auth "approle" {
    role_id   = secret.systemd.role_id.value
    secret_id = secret.file.secret_id.value
  }
}

# The two halves of the login come by different ways, as AppRole intends: the role
# id with the unit, the secret id in a file that is replaced now and then.
secret "systemd" "role_id" { name = "role_id" }
secret "file" "secret_id" { path = "/etc/tokend-secrets/secret_id" }
