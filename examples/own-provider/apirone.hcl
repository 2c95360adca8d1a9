# A block with the name of a built-in type goes before it. This one is what
# `tokend provider show apirone` prints, for a company that reaches Apirone through
# a gateway of its own: its address is the default, calls carry the token in
# another header, and the login names who asks.
provider_type "apirone" {
  summary = "Apirone, through our gateway"

  config "base_url" {
    type    = string
    default = "https://apirone.gateway.example"
  }

  header_name = "X-Apirone-Token" # the bare token then, without "Bearer"

  grant "login" {
    input "login" { type = string }
    input "password" {
      type      = string
      sensitive = true
    }
    request {
      method  = "POST"
      url     = "${config.base_url}/api/v2/auth/login"
      headers = { X-Gateway-Client = "tokend" }
      json    = { login = input.login, password = input.password }
    }
  }

  response {
    access_token  = body["access-token"]
    refresh_token = body["refresh-token"]
    expires_at    = jwt_claims(body["access-token"]).exp
    outputs       = { login = body.login }
  }

  refresh {
    request {
      method  = "POST"
      url     = "${config.base_url}/api/v2/auth/refresh-token"
      headers = { Authorization = "Bearer ${token.refresh_token}" }
    }
  }

  revoke {
    on    = ["remove", "replace"]
    needs = "access_token"
    request {
      method  = "POST"
      url     = "${config.base_url}/api/v2/auth/logout"
      headers = { Authorization = "Bearer ${token.access_token}" }
    }
  }

  # A 500 can mean a refused token: a refused refresh falls back to a login.
  error {
    permanent = status == 500 && operation == "refresh"
    transient = status == 500
  }
}
