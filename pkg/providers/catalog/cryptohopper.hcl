# Cryptohopper: https://www.cryptohopper.com/api-documentation (OAuth2)
provider_type "cryptohopper" {
  summary = "Cryptohopper bots: a person approves; calls carry the bare token in a header of their own"
  session = "independent"

  config "base_url" {
    type        = string
    default     = "https://www.cryptohopper.com"
    description = "where the OAuth2 endpoints are"
  }
  config "header_name" {
    type        = string
    default     = "access-token"
    description = "the header in which an API call carries the token"
  }
  config "default_lifetime" {
    type        = string
    default     = "24h"
    description = "how long a token is taken to live where a reply has no expires_in: the API's page names no lifetime"
  }

  header_name      = config.header_name
  default_lifetime = config.default_lifetime

  grant "authorization_code" {
    summary = "a person approves once: tokend login"

    input "client_id" {
      type        = string
      description = "the app key"
    }
    input "client_secret" {
      type        = string
      sensitive   = true
      description = "the app secret"
    }
    authorize {
      url             = "${config.base_url}/oauth2/authorize"
      query           = { client_id = input.client_id, response_type = "code" }
      scope_separator = ","
      state           = "required"

      # The page promises error=1 and a message, and not under which name.
      error_when    = flow.params.error != null
      error_message = join(": ", compact([for name, value in flow.params : value if !contains(["error", "state", "code"], name)]))
    }
    request {
      method = "POST"
      url    = "${config.base_url}/oauth2/token"
      json = {
        client_id     = input.client_id
        client_secret = input.client_secret
        grant_type    = "authorization_code"
        redirect_uri  = flow.redirect_uri
        code          = flow.code
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

  # The page gives a refresh token and no call for it; this is the usual one.
  refresh {
    rotates = "observe"
    request {
      method = "POST"
      url    = "${config.base_url}/oauth2/token"
      json = {
        grant_type    = "refresh_token"
        refresh_token = token.refresh_token
        client_id     = input.client_id
        client_secret = input.client_secret
      }
    }
  }
}
