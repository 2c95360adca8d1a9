# References: undeclared names, missing attributes, instances.
variable "env" { default = "prod" }
locals {
  users = toset(["alice", "bob"])
  bad   = var.evn # ERROR: Reference to undeclared variable # HINT: Did you mean "env"?
  worse = lokal.users # ERROR: Unknown reference # HINT: Did you mean "local"?
  bare  = production # ERROR: Unknown reference # HINT: write it in quotes
  tf    = data.x.y # ERROR: Unknown reference # HINT: secret.TYPE.NAME.value
  inp   = input.x # ERROR: Unknown reference # HINT: provider_type
  mod   = path.module # ERROR: Unknown attribute # HINT: path.config
  host  = host.fqdn # ERROR: Unknown attribute
  call  = uper("x") # ERROR: Call to unknown function # HINT: Did you mean "upper"?
  args  = upper("x", "y") # ERROR: Too many function arguments
  each  = each.key # ERROR: Reference to each without for_each
}
secret "file" "pw" {
  for_each = local.users
  path     = "pw/${each.key}"
}
secret "file" "one" {
  path = "one/${each.key}" # ERROR: Reference to each without for_each
}
secret "file" "loc" {
  path = "one/${local.userz}" # ERROR: Reference to undeclared local # HINT: Did you mean "users"?
}
credential "apirone" "many" {
  for_each = local.users
  grant    = "login"
  login    = each.key
  password = secret.file.pw[each.key].value
}
credential "apirone" "few" {
  for_each = toset(["alice", "carol"])
  grant    = "login"
  login    = each.key
  password = secret.file.pw[each.key].value # ERROR: No such instance # HINT: There are: alice, bob.
}
credential "apirone" "refs" {
  grant    = "login"
  login    = credential.apirone.nobody.token_type # ERROR: Reference to undeclared credential
  password = secret.file.pwd["alice"].value # ERROR: Reference to undeclared secret # HINT: Did you mean secret.file.pw?
  note     = secret.file.pw.value # ERROR: Instance key missing # HINT: secret.file.pw["alice"].value
  provider = provider.apirone.sandbox # ERROR: Reference to undeclared provider
}
credential "apirone" "refs2" {
  grant    = "login"
  login    = count.index # ERROR: Reference to count without count
  password = secret.file.one.vlaue # ERROR: Unknown attribute # HINT: value and nothing else
  note     = secret.file.one["x"].value # ERROR: Block without instances
  provider = "provider.apirone.default" # ERROR: Quoted reference # HINT: without quotes
}
sink "file" "tokens" {
  for_each = credential.apirone.many
  path     = "out/${each.key}"
  content  = each.value.access_tokn # ERROR: Unknown attribute # HINT: Did you mean "access_token"?
}
sink "file" "attr" {
  path    = "out/x"
  content = credential.apirone.many["alice"].acces_token # ERROR: Unknown attribute # HINT: Did you mean "access_token"?
  notify  = [hook.exec.nothere] # ERROR: Reference to undeclared hook
}
sink "file" "idx" {
  for_each = toset(["alice", "dave"])
  path     = "out/idx/${each.key}"
  content  = credential.apirone.many[each.key].access_token # ERROR: No such instance
}
sink "file" "rt" {
  path    = "out/y"
  content = credential.apirone.many["alice"].refresh_token # ERROR: Refresh token is not exposed # HINT: expose_refresh_token = true
  notify  = hook.exec.x # ERROR: Reference to undeclared hook
}
sink "file" "whole" {
  path    = secret.file.one.value # ERROR: Sensitive value where it is shown
  content = "x"
  notify  = ["hook.exec.x"] # ERROR: Quoted reference
}
sink "file" "count" {
  count   = 2
  path    = "out/c/${each.key}" # ERROR: Reference to each without for_each
  content = count.idx # ERROR: Unknown attribute
}
sink "vault_kv" "x" { # ERROR: No vault declared
  mount = "kv"
  path  = "p"
}
