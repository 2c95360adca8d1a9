# Two credentials that log in with one account that has one session.
secret "file" "s" { path = "/run/secret" }
secret "file" "t" { path = "/run/other" }
provider_type "api" {
  session = "one_per_account"
  config "base_url" {
    type    = string
    default = "https://id.example.com"
  }
  grant "login" {
    input "user" { type = string }
    input "password" {
      type      = string
      sensitive = true
    }
    request {
      method = "POST"
      url    = "${config.base_url}/login"
      form   = { user = input.user, password = input.password, scope = input.scopes == null ? null : join(" ", input.scopes) }
    }
  }
  grant "code" {
    input "client_id" { type = string }
    authorize {
      url = "${config.base_url}/authorize"
    }
    request {
      method = "POST"
      url    = "${config.base_url}/token"
      form   = { code = flow.code }
    }
  }
  response {
    access_token = body.access_token
  }
}
provider "api" {}
provider "api" {
  alias    = "sandbox"
  base_url = "https://sandbox.example.com"
}
credential "api" "x" {
  grant    = "login"
  user     = "me"
  password = secret.file.s.value
  scopes   = ["read"]
}
credential "api" "y" { # WARNING: Two credentials with one session # HINT: declare one of them and let the sinks of both name it, or give each an account of its own
  grant    = "login"
  user     = lower("ME")
  password = secret.file.s.value
  scopes   = ["write"]
}
credential "api" "elsewhere" {
  provider = provider.api.sandbox
  grant    = "login"
  user     = "me"
  password = secret.file.s.value
}
credential "api" "other_secret" {
  grant    = "login"
  user     = "me"
  password = secret.file.t.value
}
credential "api" "each_user" {
  for_each = toset(["alice", "bob"])
  grant    = "login"
  user     = each.key
  password = secret.file.s.value
}
credential "api" "each_scope" { # WARNING: Two credentials with one session # HINT: declare one of them and let the sinks of both name it, or give each an account of its own
  for_each = toset(["read", "write"])
  grant    = "login"
  user     = "both"
  password = secret.file.s.value
  scopes   = [each.key]
}
credential "api" "counted" { # WARNING: Two credentials with one session # HINT: declare one of them and let the sinks of both name it, or give each an account of its own
  count    = 2
  grant    = "login"
  user     = "many"
  password = secret.file.s.value
}
credential "api" "by_a_person" {
  for_each  = toset(["a", "b"])
  grant     = "code"
  client_id = "one"
}
