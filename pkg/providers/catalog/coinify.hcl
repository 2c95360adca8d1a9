# Coinify: https://coinify.readme.io/ (Authentication)
provider_type "coinify" {
  summary = "Coinify traders: password or offline token, refreshed for 24 hours"
  session = "independent"

  config "base_url" {
    type        = string
    default     = "https://app-api.coinify.com"
    description = "where tokens are obtained, refreshed and revoked"
  }
  config "user_url" {
    type        = string
    default     = "https://user.coinify.com"
    description = "where an account is deactivated"
  }

  grant "password" {
    summary = "a trader's e-mail address and password"

    input "email" {
      type        = string
      description = "the trader's e-mail address"
    }
    input "partner_id" {
      type        = string
      description = "the partner whom the trader belongs to"
    }
    input "password" {
      type        = string
      sensitive   = true
      description = "the trader's password"
    }
    request {
      method = "POST"
      url    = "${config.base_url}/auth"
      json = {
        grant_type = "password"
        email      = input.email
        partnerId  = input.partner_id
        password   = input.password
      }
    }
  }

  grant "offline_token" {
    summary = "an offline token, which was handed out at sign-up and never expires"

    input "offline_token" {
      type        = string
      sensitive   = true
      description = "the offline token"
    }
    request {
      method = "POST"
      url    = "${config.base_url}/auth"
      json   = { grant_type = "offline_token", offline_token = input.offline_token }
    }
  }

  response {
    access_token  = body.access_token
    refresh_token = body.refresh_token
    token_type    = body.token_type
    expires_in    = body.expires_in
  }

  # After a standstill of a day the refresh token is not even tried.
  refresh {
    rotates        = "observe"
    token_lifetime = "24h"
    request {
      method = "POST"
      url    = "${config.base_url}/auth"
      json   = { grant_type = "refresh_token", refresh_token = token.refresh_token }
    }
  }

  # Only refresh tokens can be revoked; the access token is forgotten.
  revoke {
    on    = ["remove", "replace"]
    needs = "refresh_token"
    request {
      method = "POST"
      url    = "${config.base_url}/auth/revoke"
      json   = { token_type_hint = "refresh_token", token = token.refresh_token }
    }
  }

  action "deactivate" {
    summary      = "deactivates the trader's account, which never gets a token again"
    destructive  = true
    ends_account = true

    # The page calls the header Authentication here; everywhere else it is this one.
    request {
      method  = "PUT"
      url     = "${config.user_url}/me/deactivate"
      headers = { Authorization = "Bearer ${token.access_token}" }
    }
  }
}
