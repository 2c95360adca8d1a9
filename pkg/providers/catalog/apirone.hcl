# Apirone: https://apirone.com/docs/authorization/
provider_type "apirone" {
  summary = "Apirone accounts and wallets: JWT login, or the transfer key itself"
  session = "independent"

  config "base_url" {
    type        = string
    default     = "https://apirone.com"
    description = "where the API is"
  }

  grant "login" {
    summary = "a login with the transfer key as the password"

    input "login" {
      type        = string
      description = "the account (apr-…) or wallet (btc-…)"
    }
    input "password" {
      type        = string
      sensitive   = true
      description = "its transfer key"
    }
    request {
      method = "POST"
      url    = "${config.base_url}/api/v2/auth/login"
      json   = { login = input.login, password = input.password }
    }
  }

  # Both tokens are JWTs; the reply itself says nothing of a lifetime.
  response {
    access_token  = body["access-token"]
    refresh_token = body["refresh-token"]
    expires_at    = jwt_claims(body["access-token"]).exp
    outputs       = { login = body.login }
  }

  refresh {
    rotates = "observe"
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

  # The page lists 400 and 500 alike for what it refuses. A refused refresh
  # token is given up for a new login; a login that gets 500 may just as well
  # meet a broken server, so it is tried again, with back-off.
  error {
    permanent = status == 500 && operation == "refresh"
    transient = status == 500
  }

  grant "transfer_key" {
    summary = "nothing to obtain: the key itself, for requests that carry it as the query parameter transfer-key"
    static  = true

    input "transfer_key" {
      type        = string
      sensitive   = true
      description = "the transfer key"
    }
    outputs = { transfer_key = input.transfer_key }
  }
}
