# Secrets that stand in the configuration. Not one of these lines is shown.
variable "plain" { default = "CANARY-plain" }
variable "literal" {
  sensitive = true
  default   = "CANARY-default"
}
variable "number" {
  sensitive = true
  type      = number
  default   = "CANARY-number" # ERROR: Invalid default # NOSOURCE
}
locals {
  hidden = sensitive("CANARY-local")
  mixed  = { user = secret.file.pw.value, password = sensitive("CANARY-mixed") }
}
secret "file" "pw" { path = "pw" }
credential "apirone" "literal" {
  grant    = "login"
  login    = "x"
  password = "CANARY-literal" # ERROR: Secret in the configuration # NOSOURCE # HINT: must not stand in the configuration as text
}
credential "apirone" "plain" {
  grant    = "login"
  login    = "x"
  password = var.plain # ERROR: Secret in the configuration # NOSOURCE # HINT: sensitive = true
}
credential "apirone" "default" {
  grant    = "login"
  login    = "x"
  password = var.literal # ERROR: Secret in the configuration # NOSOURCE # HINT: the default that stands in the configuration
}
credential "apirone" "wrapped" {
  grant    = "login"
  login    = "x"
  password = sensitive("CANARY-wrapped") # ERROR: Secret in the configuration # NOSOURCE # HINT: sensitive() hides
}
credential "apirone" "local" {
  grant    = "login"
  login    = "x"
  password = local.hidden # ERROR: Secret in the configuration # NOSOURCE # HINT: the value of local.hidden stands
}
credential "apirone" "mixed" {
  grant    = "login"
  login    = "x"
  password = local.mixed.password # ERROR: Secret in the configuration # NOSOURCE
}
credential "apirone" "open" {
  grant    = "login"
  login    = "x"
  password = nonsensitive(secret.file.pw.value) # ERROR: Secret in the configuration # NOSOURCE # HINT: nonsensitive()
}
credential "apirone" "misspelt" { # ERROR: Missing argument # HINT: needs the argument password
  grant    = "login"
  login    = "x"
  pasword  = "CANARY-misspelt" # ERROR: Unknown argument # NOSOURCE # HINT: Did you mean "password"?
}
credential "apirone" "oneline" {
  grant    = "login"
  login    = "x"
  password = ["CANARY-list"] # ERROR: Wrong type # NOSOURCE
}
provider "apirone" {
  api_key = "CANARY-key" # ERROR: Secret in the configuration # NOSOURCE
}
vault "main" {
  address = "https://vault.example"
  auth "token" {
    token = "CANARY-token" # ERROR: Secret in the configuration # NOSOURCE
  }
}
import {
  to            = credential.apirone.literal
  refresh_token = "CANARY-import" # ERROR: Secret in the configuration # NOSOURCE
}
import { refresh_token = "CANARY-one-line" } # ERROR: Missing argument # NOSOURCE # HINT: needs the argument to
sink "file" "ok" {
  path    = "x"
  content = parseint(var.literal, 10) # ERROR: Invalid function argument # HINT: The reason is not shown
}
