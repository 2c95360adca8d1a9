# revoke_on_shutdown where nothing can be revoked.
secret "file" "s" { path = "/run/secret" }
provider_type "server" {
  discovery = input.issuer
  config "base_url" {
    type    = string
    default = "https://id.example.com"
  }
  grant "login" {
    input "issuer" {
      type    = string
      default = null
    }
    input "revoke_url" {
      type    = string
      default = null
    }
    request {
      method = "POST"
      url    = "${config.base_url}/token"
    }
  }
  response {
    access_token = body.access_token
  }
  revoke {
    request {
      method = "POST"
      url    = input.revoke_url != null ? input.revoke_url : discovered.revocation_endpoint
      form   = { token = token.access_token }
    }
  }
}
credential "server" "by_hand" {
  lifecycle {
    revoke_on_shutdown = true # WARNING: Setting without effect # HINT: give it issuer or revoke_url, or take revoke_on_shutdown out
  }
}
credential "server" "with_address" {
  revoke_url = "https://id.example.com/revoke"
  lifecycle { revoke_on_shutdown = true }
}
credential "server" "discovered" {
  issuer = "https://id.example.com"
  lifecycle { revoke_on_shutdown = true }
}
provider_type "bare" {
  config "base_url" { type = string }
  grant "key" {
    static = true
    input "key" {
      type      = string
      sensitive = true
    }
    outputs = { key = input.key }
  }
  grant "login" {
    request {
      method = "POST"
      url    = "${config.base_url}/login"
    }
  }
  response {
    access_token = body.access_token
  }
}
provider "bare" { base_url = "https://bare.example.com" }
credential "bare" "login" {
  grant = "login"
  lifecycle {
    revoke_on_shutdown = true # WARNING: Setting without effect # HINT: take revoke_on_shutdown out
  }
}
credential "bare" "off" {
  grant = "login"
  lifecycle { revoke_on_shutdown = false }
}
credential "bare" "key" {
  grant = "key"
  key   = secret.file.s.value
  lifecycle {
    revoke_on_shutdown = true # WARNING: Setting without effect
  }
}
