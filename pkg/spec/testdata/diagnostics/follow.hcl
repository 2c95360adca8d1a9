# What only follows from another mistake is not said.
variable "need" { type = string } # ERROR: Variable without a value
variable "names" {                # ERROR: Variable without a value
  type = object({ all = list(string) })
}
variable "bad" {
  type    = number
  default = "x" # ERROR: Invalid default
}
locals {
  text = "${var.need}/x"
  deep = local.text
}
tokend {
  listen = var.need
  defaults {
    refresh { at = var.bad }
  }
}
secret "file" "s" { path = var.need }
credential "apirone" "one" {
  grant    = var.need
  login    = var.need
  password = secret.file.s.value
}
credential "apirone" "two" {
  grant    = "login"
  login    = local.deep
  password = secret.file.s.value
  scopes   = var.names.all
  refresh {
    at     = var.bad
    jitter = 3 # ERROR: Invalid value # HINT: from 0 to 1
  }
  retry {
    initial = var.need
    max     = "1s"
  }
  lifecycle {
    overlap     = "2h"
    max_overlap = local.deep
  }
  verify { path = var.need }
}
credential "apirone" "many" {
  for_each = toset(var.names.all)
  grant    = "login"
  login    = each.key
  pasword  = secret.file.s.value # ERROR: Unknown argument # HINT: Did you mean "password"?
  password = secret.file.s.value
}
credential "apirone" "several" {
  for_each = toset(["a"])
  count    = 2 # ERROR: for_each and count together
  grant    = "login"
  login    = each.key
  password = secret.file.s.value
}
sink "file" "many" {
  for_each = credential.apirone.many
  path     = "/run/tokend/${each.key}"
  content  = each.value.acces_token # ERROR: Unknown attribute # HINT: credential.apirone.many has no attribute acces_token. Did you mean "access_token"?
}
sink "file" "one" {
  path    = "/run/tokend/one"
  content = credential.apirone.many["a"].access_token
}
sink "file" "two" {
  path    = "/run/tokend/two"
  content = credential.apirone.several["b"].access_token
  mode    = [] # ERROR: Wrong type
}
sink "env" "dynamic" {
  path = "/run/tokend/${local.deep}"
  vars = { for n in var.names.all : n => credential.apirone.many[n].access_token }
  dynamic "nothing" {
    for_each = var.names.all
    content {}
  }
}
sink "file" "list" {
  for_each = ["a", "b"] # ERROR: for_each of a list
  path     = "/run/tokend/list/${each.value}"
  content  = "x"
  notify   = [each.value.hook]
}
