# Cycles, each reported once with every reference on the way.
locals {
  a = local.b # ERROR: Cycle of references # HINT: local.a refers to local.b (cycles.hcl:3), local.b refers to local.c (cycles.hcl:4), local.c refers to local.a (cycles.hcl:5)
  b = local.c
  c = "${local.a}x"
  self = local.self # ERROR: Cycle of references
}
secret "file" "pw" { path = "pw" }
credential "apirone" "x" {
  grant    = "login"
  login    = credential.apirone.y.token_type # ERROR: Cycle of references # HINT: credential.apirone.x refers to credential.apirone.y (cycles.hcl:11), credential.apirone.y refers to credential.apirone.x (cycles.hcl:17)
  password = secret.file.pw.value
}
credential "apirone" "y" {
  grant    = "login"
  login    = "y"
  password = credential.apirone.x.access_token
}
vault "main" {
  address = "https://vault.example"
  auth "token" {
    token = secret.vault_kv.root.value
  }
}
secret "vault_kv" "root" { # ERROR: Cycle of references # HINT: secret.vault_kv.root refers to vault.main (cycles.hcl:25), vault.main refers to secret.vault_kv.root (cycles.hcl:22)
  mount = "kv"
  path  = "root"
}
sink "file" "each" {
  for_each = sink.file.each # ERROR: Cycle of references
  path     = each.key
  content  = "x"
}
credential "apirone" "bykey" {
  for_each = { for k, v in credential.apirone.bykey : k => v } # ERROR: Cycle of references
  grant    = "login"
  login    = "y"
  password = secret.file.pw.value
}

# What names a local of a cycle has no mistake of its own.
sink "file" "onlocal" {
  path    = "/run/${local.a}"
  content = local.b
}
credential "apirone" "onlocal" {
  grant    = local.a
  login    = local.b
  password = local.c
}
credential "apirone" "onlocal2" {
  grant    = "login"
  login    = local.b
  password = local.c
}
credential "apirone" "foreachlocal" {
  for_each = local.a
  grant    = "login"
  login    = each.key
  password = secret.file.pw.value
}

# Two cycles that share a local are two mistakes.
locals {
  knot  = [local.left, local.right] # ERROR: Cycle of references # HINT: local.knot refers to local.left (cycles.hcl:65), local.left refers to local.knot (cycles.hcl:66) # ERROR: Cycle of references # HINT: local.knot refers to local.right (cycles.hcl:65), local.right refers to local.knot (cycles.hcl:67)
  left  = local.knot
  right = local.knot
}
