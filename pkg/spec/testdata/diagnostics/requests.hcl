# What no request could be made with.
secret "file" "s" { path = "/etc/tokend/s" }
provider_type "idp" {
  discovery = input.issuer
  config "base_url" {
    type    = string
    default = "https://api.example.com"
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
  input "client_secret" {
    type      = string
    sensitive = true
    default   = null
  }
  input "client_auth" {
    type    = string
    default = "basic"
    one_of  = ["basic", "none"]
  }
  grant "client_credentials" {
    request {
      method  = "POST"
      url     = input.token_url != null ? input.token_url : discovered.token_endpoint
      headers = { Authorization = input.client_auth == "basic" ? "Basic ${base64encode("${input.client_id}:${urlencode(input.client_secret)}")}" : null }
      form    = { grant_type = "client_credentials" }
    }
  }
  grant "tenant" {
    input "tenant" { type = string }
    request {
      method = "POST"
      url    = "${config.base_url}/${input.tenant}/token"
    }
  }
  grant "host" {
    input "host" { type = string }
    request {
      method = "POST"
      url    = "https://${input.host}:x/token"
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
  base_url = "api.example.com" # ERROR: Invalid address # HINT: as in "https://api.example.com"
}
provider "idp" {
  alias    = "odd"
  base_url = "https://me:CANARY@api.example.com" # ERROR: Invalid address # HINT: a user name or a password # NOSOURCE
}
provider "idp" {
  alias               = "clear"
  base_url            = "http://api.example.com"
  allow_insecure_http = true
}
provider "idp" {
  alias    = "coded"
  base_url = "http://api.example.com" # ERROR: Invalid address # HINT: allow_insecure_http = true
}
credential "idp" "default" { # the provider's own mistake is said once
  grant     = "tenant"
  client_id = "x"
  tenant    = "a"
}
credential "idp" "clear" {
  provider  = provider.idp.clear
  grant     = "tenant"
  client_id = "x"
  tenant    = "a"
}
credential "idp" "bare" { # ERROR: Incomplete request # HINT: it has no address; give it issuer or token_url; client_secret is not given, which client_auth = "basic" needs
  grant     = "client_credentials"
  client_id = "x"
}
credential "idp" "public" {
  grant       = "client_credentials"
  issuer      = "https://id.example.com"
  client_id   = "x"
  client_auth = "none"
}
credential "idp" "issuer" {
  grant         = "client_credentials"
  issuer        = "id.example.com:8443/realm" # ERROR: Invalid address # HINT: as in "https://id.example.com:8443"
  client_id     = "x"
  client_secret = secret.file.s.value
}
credential "idp" "several" {
  grant         = "client_credentials"
  token_url     = "ftp://id.example.com/token" # ERROR: Invalid address # HINT: no other scheme
  revoke_url    = "https://"                   # ERROR: Invalid address # HINT: it has no host
  client_id     = "x"
  client_secret = secret.file.s.value
}
credential "idp" "blank" {
  grant         = "client_credentials"
  token_url     = "https://id example.com/token" # ERROR: Invalid address # HINT: a blank
  revoke_url    = "https://id.example.com/#revoke" # ERROR: Invalid address # HINT: fragment
  client_id     = "x"
  client_secret = secret.file.s.value
}
credential "idp" "partly" { # its origin is known, the rest is secret
  grant         = "client_credentials"
  token_url     = "gopher://id.example.com/${secret.file.s.value}" # ERROR: Invalid address
  client_id     = "x"
  client_secret = secret.file.s.value
}
credential "idp" "unknown" { # nothing else can be said
  grant         = "client_credentials"
  token_url     = secret.file.s.value # ERROR: Sensitive value where it is shown
  client_id     = "x"
  client_secret = secret.file.s.value
}
credential "idp" "made" { # ERROR: Invalid address # HINT: it is not a URL
  grant     = "host"
  client_id = "x"
  host      = "h"
}
credential "idp" "each" {
  for_each      = { a = "https://a.example.com", b = "b.example.com" }
  grant         = "client_credentials"
  token_url     = each.value # ERROR: Invalid address
  client_id     = "x"
  client_secret = secret.file.s.value
}
credential "idp" "beside" { # other mistakes do not hide these
  grant       = "client_credentials"
  token_url   = "nowhere" # ERROR: Invalid address # HINT: https://
  client_id   = ["x"]     # ERROR: Wrong type
  client_auth = "bsic"    # ERROR: Invalid value # HINT: Did you mean "basic"?
}
vault "v" {
  address = "vault.example.com" # ERROR: Invalid value # HINT: a URL
  auth "token" { token = secret.file.s.value }
}
hook "exec" "none" {
  command = [] # ERROR: Invalid value # HINT: must not be empty
}
