# All that tokend needs in Vault, for: vault policy write tokend policy/tokend.hcl
# (tokend itself reads only the files directly in its directory, so not this one.)

# Passwords and client secrets.
path "kv/data/trading/*" { capabilities = ["read"] }

# Tokens: written by check-and-set, compared, deleted with their block. The
# metadata says that tokend owns them.
path "kv/data/delivered/*" { capabilities = ["create", "read", "update", "delete"] }
path "kv/metadata/delivered/*" { capabilities = ["create", "read", "update", "delete"] }
path "kv/delete/delivered/*" { capabilities = ["update"] }
