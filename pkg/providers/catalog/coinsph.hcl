# Coins.ph: https://docs.coins.ph/ (OAuth2 authentication)
#
# API calls beside the token need a `nonce` header that never repeats for a
# user; that is the business of whoever makes the calls.
provider_type "coinsph" {
  summary = "Coins.ph wallets: a person approves; the redirect's values come in the fragment"
  session = "independent"

  config "base_url" {
    type        = string
    default     = "https://coins.ph"
    description = "where the API is"
  }
  config "default_lifetime" {
    type        = string
    default     = "1h"
    description = "how long a token is taken to live where a reply has no expires_in: the API's page names no lifetime"
  }

  default_lifetime = config.default_lifetime

  grant "authorization_code" {
    summary = "a person approves once: tokend login"

    input "client_id" {
      type        = string
      description = "the application's client id"
    }
    input "client_secret" {
      type        = string
      sensitive   = true
      description = "the application's client secret"
    }
    # Scopes on the wire are separated by a plus, which is how a query writes a space.
    authorize {
      url             = "${config.base_url}/user/api/authorize"
      query           = { client_id = input.client_id, response_type = "code" }
      scope_separator = " "
      state           = "if_returned"
      code_from       = "query_or_fragment"
    }
    request {
      method = "POST"
      url    = "${config.base_url}/user/oauthtoken"
      form = {
        client_id     = input.client_id
        client_secret = input.client_secret
        code          = flow.code
        grant_type    = "authorization_code"
        redirect_uri  = flow.redirect_uri
      }
    }
  }

  response {
    access_token  = body.access_token
    refresh_token = body.refresh_token
    token_type    = body.token_type
    expires_in    = body.expires_in
    scopes        = body.scope
  }

  # A refresh is "for invalidating the current access token in exchange for a
  # new one".
  refresh {
    rotates                  = "observe"
    invalidates_access_token = true
    request {
      method = "POST"
      url    = "${config.base_url}/user/oauthtoken"
      form = {
        client_id     = input.client_id
        client_secret = input.client_secret
        refresh_token = token.refresh_token
        grant_type    = "refresh_token"
        redirect_uri  = flow.redirect_uri
      }
    }
  }

  # No refresh token comes back, so a person is needed for every lifetime.
  grant "implicit" {
    summary = "a person approves for every lifetime: the redirect brings the token itself"

    input "client_id" {
      type        = string
      description = "the application's client id"
    }
    authorize {
      url             = "${config.base_url}/user/api/authorize"
      query           = { client_id = input.client_id, response_type = "token" }
      scope_separator = " "
      state           = "if_returned"
      code_from       = "query_or_fragment"
    }
    response {
      access_token = flow.params.access_token
      token_type   = flow.params.token_type
      expires_in   = flow.params.expires_in
      scopes       = flow.params.scope
    }
  }
}
