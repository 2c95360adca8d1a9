# for_each, count and dynamic.
secret "file" "pw" { path = "pw" }
secret "file" "list" {
  for_each = ["a", "b"] # ERROR: for_each of a list # HINT: toset(…)
  path     = each.key
}
secret "file" "number" {
  for_each = 3 # ERROR: Invalid for_each
  path     = each.key
}
secret "file" "null" {
  for_each = null # ERROR: for_each is null
  path     = each.key
}
secret "file" "sens" {
  for_each = toset([secret.file.pw.value]) # ERROR: Sensitive for_each
  path     = each.key
}
secret "file" "single" {
  for_each = secret.file.pw # ERROR: Block without instances
  path     = each.key
}
secret "file" "numbered" {
  count = 2
  path  = "n/${count.index}"
}
secret "file" "bynumber" {
  for_each = secret.file.numbered # ERROR: Block without instances
  path     = each.key
}
secret "file" "both" {
  for_each = toset(["a"])
  count    = 2 # ERROR: for_each and count together
  path     = "x"
}
secret "file" "count" {
  count = -1 # ERROR: Invalid count
  path  = "x"
}
secret "file" "half" {
  count = 1.5 # ERROR: Invalid count
  path  = "x"
}
sink "file" "same" {
  for_each = toset(["a", "b"])
  path     = "out/same" # ERROR: Two sinks with one path # HINT: Let the path depend on each.key
  content  = "x"
}
sink "file" "one" {
  path    = "out/one"
  content = "x"
}
sink "env" "two" {
  path = "./out/../out/one" # ERROR: Two sinks with one path # HINT: sink.file.one writes already
}
sink "vault_kv" "three" {
  vault = vault.main
  mount = "kv"
  path  = "p"
}
sink "vault_kv" "four" {
  vault = vault.main
  mount = "kv"
  path  = "p" # ERROR: Two sinks with one path
}
vault "main" {
  address = "https://vault.example"
  auth "approle" {
    role_id   = "r"
    secret_id = secret.file.pw.value
  }
}
vault "noauth" { # ERROR: Missing block auth
  address = "https://vault.example"
}
credential "apirone" "dyn" {
  grant    = "login"
  login    = "x"
  password = secret.file.pw.value
  dynamic "refresh" { # ERROR: Duplicate block refresh
    for_each = [1, 0.5]
    content {
      at = refresh.value
    }
  }
  dynamic "lifecycle" {
    for_each = { x = "revokee" }
    content {
      on_remove = lifecycle.value # ERROR: Invalid value # HINT: Did you mean "revoke"?
      overlap   = lifecycle.keey # ERROR: Unsupported attribute
    }
  }
  dynamic "retry" { # ERROR: Incomplete dynamic block
    for_each = []
  }
}
hook "exec" "x" {
  for_each = toset(["a"]) # ERROR: Unknown argument
  command  = ["true"]
}
