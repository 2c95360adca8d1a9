# Any OAuth 2.0 authorization server (RFC 6749), with PKCE (RFC 7636), discovery
# (RFC 8414, OpenID Connect), revocation (RFC 7009) and device codes (RFC 8628).
provider_type "oauth2" {
  summary = "any OAuth 2.0 server: client credentials, password, an existing refresh token, authorization code, device code"
  session = "independent"

  # Makes discovered.* known to requests: the issuer's metadata.
  discovery = input.issuer

  input "issuer" {
    type        = string
    default     = null
    description = "the server, whose endpoints are found by discovery (RFC 8414, OpenID Connect); or give them by hand"
  }
  input "token_url" {
    type        = string
    default     = null
    description = "the token endpoint, where there is no discovery"
  }
  input "revoke_url" {
    type        = string
    default     = null
    description = "the revocation endpoint (RFC 7009), where there is no discovery"
  }
  input "client_id" {
    type        = string
    description = "the client's id"
  }
  input "client_secret" {
    type        = string
    sensitive   = true
    default     = null
    description = "the client's secret"
  }
  input "client_auth" {
    type        = string
    default     = "client_secret_basic"
    one_of      = ["client_secret_basic", "client_secret_post", "none"]
    description = "how the client proves itself, never probed"
  }
  input "audience" {
    type        = string
    default     = null
    description = "whom the token is for, where the server asks for it"
  }
  input "resource" {
    type        = list(string)
    default     = null
    description = "resource indicators (RFC 8707)"
  }
  input "params" {
    type        = map(string)
    default     = {}
    description = "further parameters of every token request"
  }

  grant "client_credentials" {
    summary = "the client's own token (RFC 6749 section 4.4)"

    request {
      method = "POST"
      url    = input.token_url != null ? input.token_url : discovered.token_endpoint
      headers = {
        Accept        = "application/json"
        Authorization = input.client_auth == "client_secret_basic" ? "Basic ${base64encode("${urlencode(input.client_id)}:${urlencode(input.client_secret)}")}" : null
      }
      form = merge({
        grant_type    = "client_credentials"
        scope         = input.scopes == null ? null : join(" ", input.scopes)
        audience      = input.audience
        resource      = input.resource
        client_id     = input.client_auth != "client_secret_basic" ? input.client_id : null
        client_secret = input.client_auth == "client_secret_post" ? join("", [input.client_secret]) : null
      }, input.params)
    }
  }

  grant "password" {
    summary = "a user's name and password (RFC 6749 section 4.3)"
    input "username" {
      type        = string
      description = "the user's name"
    }
    input "password" {
      type        = string
      sensitive   = true
      description = "the user's password"
    }

    request {
      method = "POST"
      url    = input.token_url != null ? input.token_url : discovered.token_endpoint
      headers = {
        Accept        = "application/json"
        Authorization = input.client_auth == "client_secret_basic" ? "Basic ${base64encode("${urlencode(input.client_id)}:${urlencode(input.client_secret)}")}" : null
      }
      form = merge({
        grant_type    = "password"
        username      = input.username
        password      = input.password
        scope         = input.scopes == null ? null : join(" ", input.scopes)
        audience      = input.audience
        resource      = input.resource
        client_id     = input.client_auth != "client_secret_basic" ? input.client_id : null
        client_secret = input.client_auth == "client_secret_post" ? join("", [input.client_secret]) : null
      }, input.params)
    }
  }

  # For a refresh token that was obtained elsewhere. It is spent once; what the
  # reply brings is refreshed from then on.
  grant "refresh_token" {
    summary = "a refresh token that exists already (RFC 6749 section 6)"
    lockout = false
    input "refresh_token" {
      type        = string
      sensitive   = true
      description = "the refresh token"
    }

    request {
      method = "POST"
      url    = input.token_url != null ? input.token_url : discovered.token_endpoint
      headers = {
        Accept        = "application/json"
        Authorization = input.client_auth == "client_secret_basic" ? "Basic ${base64encode("${urlencode(input.client_id)}:${urlencode(input.client_secret)}")}" : null
      }
      form = merge({
        grant_type    = "refresh_token"
        refresh_token = input.refresh_token
        scope         = input.scopes == null ? null : join(" ", input.scopes)
        audience      = input.audience
        resource      = input.resource
        client_id     = input.client_auth != "client_secret_basic" ? input.client_id : null
        client_secret = input.client_auth == "client_secret_post" ? join("", [input.client_secret]) : null
      }, input.params)
    }

    response {
      access_token  = body.access_token
      refresh_token = body.refresh_token != null ? body.refresh_token : input.refresh_token
      token_type    = body.token_type
      expires_in    = body.expires_in
      scopes        = body.scope
      outputs       = { id_token = body.id_token }
    }
  }

  grant "authorization_code" {
    summary = "a person approves once: tokend login (RFC 6749 section 4.1, with PKCE)"
    input "authorize_url" {
      type        = string
      default     = null
      description = "the authorization endpoint, where there is no discovery"
    }
    input "authorize_params" {
      type        = map(string)
      default     = {}
      description = "further parameters of the authorization request"
    }

    authorize {
      url = input.authorize_url != null ? input.authorize_url : discovered.authorization_endpoint
      query = merge({
        client_id     = input.client_id
        response_type = "code"
        audience      = input.audience
        resource      = input.resource
      }, input.authorize_params)
      pkce  = true
      state = "required"
    }
    request {
      method = "POST"
      url    = input.token_url != null ? input.token_url : discovered.token_endpoint
      headers = {
        Accept        = "application/json"
        Authorization = input.client_auth == "client_secret_basic" ? "Basic ${base64encode("${urlencode(input.client_id)}:${urlencode(input.client_secret)}")}" : null
      }
      form = merge({
        grant_type    = "authorization_code"
        code          = flow.code
        redirect_uri  = flow.redirect_uri
        code_verifier = flow.code_verifier
        audience      = input.audience
        resource      = input.resource
        client_id     = input.client_auth != "client_secret_basic" ? input.client_id : null
        client_secret = input.client_auth == "client_secret_post" ? join("", [input.client_secret]) : null
      }, input.params)
    }
  }

  grant "device_code" {
    summary = "a person approves on another device: tokend login (RFC 8628)"
    input "device_url" {
      type        = string
      default     = null
      description = "the device authorization endpoint, where there is no discovery"
    }

    device {
      request {
        method = "POST"
        url    = input.device_url != null ? input.device_url : discovered.device_authorization_endpoint
        headers = {
          Accept        = "application/json"
          Authorization = input.client_auth == "client_secret_basic" ? "Basic ${base64encode("${urlencode(input.client_id)}:${urlencode(input.client_secret)}")}" : null
        }
        form = merge({
          scope         = input.scopes == null ? null : join(" ", input.scopes)
          audience      = input.audience
          resource      = input.resource
          client_id     = input.client_auth != "client_secret_basic" ? input.client_id : null
          client_secret = input.client_auth == "client_secret_post" ? join("", [input.client_secret]) : null
        }, input.params)
      }
      response {
        device_code               = body.device_code
        user_code                 = body.user_code
        verification_uri          = body.verification_uri != null ? body.verification_uri : body.verification_url
        verification_uri_complete = body.verification_uri_complete
        expires_in                = body.expires_in
        interval                  = body.interval
      }
    }
    request {
      method = "POST"
      url    = input.token_url != null ? input.token_url : discovered.token_endpoint
      headers = {
        Accept        = "application/json"
        Authorization = input.client_auth == "client_secret_basic" ? "Basic ${base64encode("${urlencode(input.client_id)}:${urlencode(input.client_secret)}")}" : null
      }
      form = merge({
        grant_type    = "urn:ietf:params:oauth:grant-type:device_code"
        device_code   = flow.device_code
        client_id     = input.client_auth != "client_secret_basic" ? input.client_id : null
        client_secret = input.client_auth == "client_secret_post" ? join("", [input.client_secret]) : null
      }, input.params)
    }
  }

  response {
    access_token  = body.access_token
    refresh_token = body.refresh_token
    token_type    = body.token_type
    expires_in    = body.expires_in
    scopes        = body.scope
    outputs       = { id_token = body.id_token }
  }

  refresh {
    rotates = "observe"
    request {
      method = "POST"
      url    = input.token_url != null ? input.token_url : discovered.token_endpoint
      headers = {
        Accept        = "application/json"
        Authorization = input.client_auth == "client_secret_basic" ? "Basic ${base64encode("${urlencode(input.client_id)}:${urlencode(input.client_secret)}")}" : null
      }
      form = merge({
        grant_type    = "refresh_token"
        refresh_token = token.refresh_token
        audience      = input.audience
        resource      = input.resource
        client_id     = input.client_auth != "client_secret_basic" ? input.client_id : null
        client_secret = input.client_auth == "client_secret_post" ? join("", [input.client_secret]) : null
      }, input.params)
    }
  }

  # The refresh token takes its access tokens with it (RFC 7009 section 2.1).
  # A server without a revocation endpoint gets no such request.
  revoke {
    on = ["remove", "replace"]
    request {
      method = "POST"
      url    = input.revoke_url != null ? input.revoke_url : discovered.revocation_endpoint
      headers = {
        Accept        = "application/json"
        Authorization = input.client_auth == "client_secret_basic" ? "Basic ${base64encode("${urlencode(input.client_id)}:${urlencode(input.client_secret)}")}" : null
      }
      form = {
        token           = token.refresh_token != null ? token.refresh_token : token.access_token
        token_type_hint = nonsensitive(token.refresh_token != null) ? "refresh_token" : "access_token"
        client_id       = input.client_auth != "client_secret_basic" ? input.client_id : null
        client_secret   = input.client_auth == "client_secret_post" ? join("", [input.client_secret]) : null
      }
    }
  }
}
