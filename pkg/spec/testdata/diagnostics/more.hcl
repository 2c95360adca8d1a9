# What does not fit the other fixtures.
tokend {
  required_version = "newer" # ERROR: Invalid required_version # HINT: ">= 0.1, < 2"
}
variable "cond" {
  default = 1
  validation {
    condition     = "perhaps" # ERROR: Invalid condition # HINT: true or false
    error_message = "x"
  }
  validation {
    condition     = true
    error_message = "x"
    severity      = "warning" # ERROR: Unknown argument # HINT: condition, error_message
    inner {} # ERROR: Unknown block
  }
  validations {} # ERROR: Unknown block # HINT: Did you mean "validation"?
}
variable "coll" {
  type    = lst(string) # ERROR: Invalid type # HINT: Did you mean "list"?
  default = []
}
variable "description" {
  description = upper("x") # ERROR: Constant required # HINT: a string without interpolation
  default     = "x"
}
locals {
  user    = { name = "alice", e-mail = "x" }
  mail    = local.user.nmae # ERROR: Unsupported attribute # HINT: Did you mean "name"?
  inside  = "to ${local.user.emial}" # ERROR: Unsupported attribute # HINT: There are: e-mail, name.
  nothing = var # ERROR: Invalid reference # HINT: var.NAME
  short   = credential.apirone # ERROR: Invalid reference
  when    = timestamp() # ERROR: Call to unknown function # HINT: a plan is the same twice
  random  = uuid() # ERROR: Call to unknown function # HINT: a plan is the same twice
}
secret "file" "pw" { path = "pw" }
secret "file" "many" {
  for_each = toset(["alice", "bob"])
  path     = "pw/${each.kye}" # ERROR: Unknown attribute # HINT: Did you mean each.key?
}
secret "file" "counted" {
  count = length(secret.file.pw.value) # ERROR: Sensitive count
  path  = "x"
}
secret "file" "unknown" {
  for_each = toset(credential.apirone.ok.scopes) # ERROR: for_each is not known
  path     = "x"
}
secret "file" "early" {
  path = credential.apirone.ok.token_type # ERROR: Value is not known # HINT: known when the directory is read
}
credential "apirone" "ok" {
  grant    = "login"
  login    = "x"
  password = secret.file.pw.value
}
credential "apirone" "granted" {
  for_each = toset(["a"])
  grant    = each.key # ERROR: Grant differs between instances
  login    = "x"
  password = secret.file.pw.value
}
credential "apirone" "number" {
  grant    = 7 # ERROR: Invalid grant # HINT: "login", "transfer_key"
  login    = "x"
  password = secret.file.pw.value
}
credential "apirone" "unknown_grant" {
  grant = "lgin" # ERROR: Unknown grant # HINT: Did you mean "login"?
  login = var.nope # ERROR: Reference to undeclared variable
}
credential "nowhere" "type" { # ERROR: Unknown provider type
  login = var.nope # ERROR: Reference to undeclared variable
}
credential "apirone" "unknown_argument" {
  grant    = "login"
  login    = secret.file.many["alcie"].value # ERROR: No such instance # HINT: Did you mean "alice"?
  password = secret.file.many[true].value # ERROR: Invalid reference # HINT: a string or a whole number
  surplus  = var.nope # ERROR: Unknown argument # ERROR: Reference to undeclared variable
}
credential "apirone" "dynamic" {
  grant    = "login"
  login    = "x"
  password = secret.file.pw.value
  dynamic { # ERROR: Wrong number of labels of dynamic
    for_each = []
    content {}
  }
  dynamic "refresh" {
    for_each = [1]
    iterator = "it is" # ERROR: Invalid iterator
    content {}
  }
  dynamic "retry" {
    for_each = secret.file.pw.value # ERROR: Invalid for_each # HINT: not sensitive
    content {}
  }
  dynamic "lifecycle" {
    for_each = { a = 1 }
    content {
      overlap = "${lifecycle.valeu}s" # ERROR: Unsupported attribute # HINT: Did you mean "value"?
    }
  }
  dynamic "verify" {
    for_each = [1]
    labels   = 3 # ERROR: Invalid labels
    content {
      path = "/me"
    }
  }
}
vault "main" {
  address = "https://vault.example"
  auth "aprole" { # ERROR: Unknown auth method # HINT: Did you mean "approle"?
  }
}
vault "labels" {
  address = "https://vault.example"
  auth { # ERROR: Wrong number of labels of auth # HINT: auth "TYPE" { … }
  }
}
sink "file" "tokens" {
  for_each = secret.file.many
  path     = "out/${each.key}"
  content  = each.value.valu # ERROR: Unknown attribute # HINT: value and nothing else
  notify   = [hook.exec.tru] # ERROR: Reference to undeclared hook # HINT: Did you mean hook.exec.true?
}
sink "file" "notify" {
  path    = "out/notify"
  content = credential.apirone.ok.access_token
  notify  = "all of them" # ERROR: References required # HINT: [hook.TYPE.NAME]
}
sink "file" "wrong_kind" {
  path    = "out/kind"
  content = sink.file.other.content # ERROR: Unknown attribute # HINT: A sink has no attributes
  notify  = [secret.file.pw] # ERROR: Reference required # HINT: hook.TYPE.NAME
}
sink "file" "other" {
  path    = hook.exec.true.command # ERROR: Reference to an attribute # HINT: as a whole only
  content = "x"
  notify  = [hook.exec.true.command] # ERROR: Reference to an attribute
}
hook "exec" "true" { command = ["true"] }
sink "file" "by_value" {
  for_each = { a = true }
  path     = "out/value"
  content  = credential.apirone.granted[each.value].access_token # ERROR: Invalid instance key
}
moved {
  from = credential.apirone.old
  to   = credential.apirone.old # ERROR: Nothing moved
}
moved {
  from = credential.apirone.one
  to   = credential.apirone.ok
}
moved {
  from = credential.apirone.two
  to   = credential.apirone.ok # ERROR: Two moves to one address
}
