# Where requests go is shown everywhere, and is no place for what is not.
variable "pin" {
  type      = string
  sensitive = true
  default   = "CANARY"
}
variable "where" {
  type      = string
  sensitive = true
  default   = "eu"
}
variable "open" {
  type    = string
  default = "open"
}
secret "file" "s" { path = "/etc/tokend/s" }
locals {
  pinned = var.pin
  where  = { pin = var.pin, plain = "plain" }
}
provider_type "idp" {
  discovery = input.issuer
  config "base_url" {
    type    = string
    default = "https://api.example.com"
  }
  config "region" {
    type    = string
    default = null
  }
  config "cell" {
    type      = string
    sensitive = true
    default   = null
  }
  input "issuer" {
    type    = string
    default = null
  }
  input "token_url" {
    type    = string
    default = null
  }
  input "revoke_url" {
    type    = string
    default = null
  }
  input "client_id" { type = string }
  grant "client_credentials" {
    request {
      method = "POST"
      url    = input.token_url != null ? input.token_url : discovered.token_endpoint
      form   = { client_id = input.client_id }
    }
  }
  grant "tenant" {
    input "tenant" { type = string }
    request {
      method = "POST"
      url    = "${config.region == null ? config.base_url : { eu = "https://eu.example.com", us = "https://us.example.com" }[config.region]}/${input.tenant}/token"
    }
  }
  grant "cell" {
    request {
      method = "POST"
      url    = "https://${config.cell == null ? "a" : config.cell}.example.com/token"
    }
  }
  grant "authorization_code" {
    input "authorize_url" { type = string }
    authorize {
      url   = input.authorize_url
      pkce  = true
      state = "required"
    }
    request {
      method = "POST"
      url    = "https://id.example.com/token"
      form   = { code = flow.code, code_verifier = flow.code_verifier }
    }
  }
  grant "device_code" {
    input "device_url" { type = string }
    device {
      request {
        method = "POST"
        url    = input.device_url
      }
      response {
        device_code      = body.device_code
        user_code        = body.user_code
        verification_uri = body.verification_uri
      }
    }
    request {
      method = "POST"
      url    = "https://id.example.com/token"
      form   = { code = flow.device_code }
    }
  }
  response {
    access_token = body.access_token
  }
  revoke {
    request {
      method = "POST"
      url    = input.revoke_url
      form   = { token = token.access_token }
    }
  }
}
provider "idp" {
  base_url = "https://${var.pin}.example.com" # ERROR: Sensitive value where it is shown # HINT: nonsensitive(var.pin)
}
provider "idp" {
  alias    = "local"
  base_url = local.pinned # ERROR: Sensitive value where it is shown
}
provider "idp" {
  alias    = "member"
  base_url = format("https://%s/%s", local.where.pin, var.open) # ERROR: Sensitive value where it is shown
}
provider "idp" {
  alias    = "secret"
  base_url = secret.file.s.value # ERROR: Sensitive value where it is shown
}
provider "idp" {
  alias    = "several"
  base_url = "${var.pin}${secret.file.s.value}" # ERROR: Sensitive value where it is shown
}
provider "idp" {
  alias    = "chosen"
  base_url = length(var.pin) > 3 ? "https://a.example.com" : "https://b.example.com" # ERROR: Sensitive value where it is shown
}
provider "idp" {
  alias    = "keyed"
  base_url = { eu = "https://a.example.com" }[var.where] # ERROR: Sensitive value where it is shown
}
provider "idp" {
  alias    = "tried"
  base_url = try("https://${local.pinned}", "https://a.example.com") # ERROR: Sensitive value where it is shown
}
provider "idp" {
  alias  = "region"
  region = var.where == "eu" ? "eu" : "us" # ERROR: Sensitive value where it is shown
}
provider "idp" {
  alias = "cell"
  cell  = secret.file.s.value # ERROR: Sensitive value where it is shown # HINT: have the provider type
}
provider "idp" {
  alias    = "bare" # its words are not shown, whatever else is wrong with them
  base_url = sensitive("CANARY.example.com") # ERROR: Sensitive value where it is shown # NOSOURCE
}
provider "idp" {
  alias    = "path" # a path is not shown
  base_url = "https://api.example.com/${var.pin}"
}
provider "idp" {
  alias    = "public"
  base_url = "https://${nonsensitive(var.pin)}.example.com"
}
credential "idp" "default" { # what its provider block says is said there
  grant     = "tenant"
  client_id = "x"
  tenant    = "a"
}
credential "idp" "region" {
  provider  = provider.idp.region
  grant     = "tenant"
  client_id = "x"
  tenant    = var.pin # in a path
}
credential "idp" "cell" {
  provider  = provider.idp.cell
  grant     = "cell"
  client_id = "x"
}
credential "idp" "path" {
  provider   = provider.idp.path
  grant      = "tenant"
  client_id  = var.pin
  tenant     = "a"
  revoke_url = "https://id.example.com/${var.pin}"
}
credential "idp" "issuer" {
  grant     = "client_credentials"
  issuer    = "https://${var.pin}/realm" # ERROR: Sensitive value where it is shown
  client_id = "x"
}
credential "idp" "hands" {
  grant      = "client_credentials"
  token_url  = "https://id.example.com:${length(var.pin)}/token" # ERROR: Sensitive value where it is shown
  revoke_url = secret.file.s.value                               # ERROR: Sensitive value where it is shown
  client_id  = "x"
}
credential "idp" "person" {
  grant         = "authorization_code"
  authorize_url = "https://${var.pin}/authorize" # ERROR: Sensitive value where it is shown
  client_id     = "x"
}
credential "idp" "device" {
  grant      = "device_code"
  device_url = "https://${credential.idp.path.access_token}/device" # ERROR: Sensitive value where it is shown
  client_id  = "x"
}
credential "idp" "each" {
  for_each  = { a = "https://a.example.com", b = "https://${var.pin}" }
  grant     = "client_credentials"
  token_url = each.value # ERROR: Sensitive value where it is shown
  client_id = "x"
}
credential "idp" "key" {
  for_each  = toset(["eu", "b"])
  grant     = "client_credentials"
  token_url = "https://${each.key == var.where ? "a" : "b"}.example.com" # ERROR: Sensitive value where it is shown
  client_id = "x"
}
vault "v" {
  address = "https://${var.pin}:8200" # ERROR: Sensitive value where it is shown
  auth "token" { token = secret.file.s.value }
}
hook "exec" "none" {
  command = ["reload", var.pin] # ERROR: Sensitive value where it is shown
}
provider_type "choice" {
  config "eu_url" { type = string }
  config "us_url" { type = string }
  grant "login" {
    input "region" { type = string }
    request {
      method = "POST"
      url    = "${input.region == "eu" ? config.eu_url : config.us_url}/login"
    }
  }
  response {
    access_token = body.access_token
  }
}
provider "choice" { # which of the two is asked says the credential
  eu_url = "https://${var.pin}" # ERROR: Sensitive value where it is shown
  us_url = "https://us.example.com"
}
credential "choice" "eu" { region = "eu" }
credential "choice" "us" { region = "us" }
credential "idp" "paths" { # in a path, of an element
  for_each  = { a = "https://a.example.com/${var.pin}", b = "https://${var.open}.example.com/${var.pin}/x" }
  grant     = "client_credentials"
  token_url = each.value
  client_id = "x"
}
credential "idp" "members" { # a local is not followed
  for_each  = local.elements
  grant     = "client_credentials"
  token_url = each.value.token # ERROR: Sensitive value where it is shown
  client_id = "x"
}
credential "idp" "within" {
  for_each  = { a = "https://a.example.com/${var.pin}" }
  grant     = "client_credentials"
  token_url = "${each.value}/token"
  client_id = "x"
}
credential "idp" "others" { # its other members say what they like
  for_each  = { a = { url = "https://a.example.com/${var.pin}", id = var.pin } }
  grant     = "client_credentials"
  token_url = each.value.url
  client_id = each.value.id
}
credential "idp" "deep" {
  for_each  = { a = { at = { token = "https://a.example.com/${var.pin}" } } }
  grant     = "client_credentials"
  token_url = each.value.at.token
  client_id = "x"
}
credential "idp" "hosts" {
  for_each  = { a = { url = "https://a.${var.pin}.example.com/x" } }
  grant     = "client_credentials"
  token_url = each.value.url # ERROR: Sensitive value where it is shown
  client_id = "x"
}
credential "idp" "ports" {
  for_each  = { a = "https://a.example.com:${var.pin}/x" }
  grant     = "client_credentials"
  token_url = each.value # ERROR: Sensitive value where it is shown
  client_id = "x"
}
credential "idp" "users" {
  for_each  = { a = "https://a.example.com${var.pin}/x" }
  grant     = "client_credentials"
  token_url = each.value # ERROR: Sensitive value where it is shown
  client_id = "x"
}
credential "idp" "picked" {
  for_each  = { a = length(var.pin) > 3 ? "https://a.example.com/${var.pin}" : "https://b.example.com/${var.pin}" }
  grant     = "client_credentials"
  token_url = each.value # ERROR: Sensitive value where it is shown
  client_id = "x"
}
credential "idp" "covered" { # what is written last counts
  for_each  = { a = "https://a.example.com/${var.pin}", (local.a) = "https://${var.pin}.example.com/x" }
  grant     = "client_credentials"
  token_url = each.value # ERROR: Sensitive value where it is shown
  client_id = "x"
}
credential "idp" "merged" {
  for_each  = merge({ a = "https://a.example.com/${var.pin}" }, { a = "https://${var.pin}.example.com/x" })
  grant     = "client_credentials"
  token_url = each.value # ERROR: Sensitive value where it is shown
  client_id = "x"
}
locals {
  a = "a"
  elements = {
    a = { token = "https://a.example.com/${var.pin}" }
  }
}
