# What Acme's documentation says, written down once. Here is what is exchanged:
#
#   POST /v1/sessions            {"user": …, "password": …, "ttl_minutes": 15}
#     201 {"session": {"token": …, "renewal": …, "valid_for": 900}, "user": {"id": 4711}}
#     401 {"fault": {"code": "bad_login", "text": …}}
#   POST /v1/sessions/renew      {"renewal": …}           the same reply; a renewal works once
#   DELETE /v1/sessions/current  Authorization: Acme …    204
#   POST /v1/users/me/logout     Authorization: Acme …    204, ends all sessions
provider_type "acme" {
  summary = "Acme: user name and password, a session of some minutes"

  # Settings of `provider "acme" {}`. With a default for each, that block can be
  # left out.
  config "base_url" {
    type    = string
    default = "https://api.acme.example"
  }

  # A way of obtaining a token, and the arguments that a credential gives for it.
  # What is sensitive has to come from a secret, and is shown nowhere.
  grant "password" {
    input "user" { type = string }
    input "password" {
      type      = string
      sensitive = true
    }
    input "ttl_minutes" {
      type    = number
      default = 15
    }
    request {
      method = "POST"
      url    = "${config.base_url}/v1/sessions"
      json = {
        user        = input.user
        password    = input.password
        ttl_minutes = input.ttl_minutes
      }
    }
  }

  # How a reply reads, for the grant and the refresh alike. What is missing in a
  # reply is null, at any depth. Outputs are attributes of the credential.
  response {
    access_token  = body.session.token
    refresh_token = body.session.renewal
    expires_in    = body.session.valid_for
    outputs       = { user_id = body.user.id }
  }

  # A renewal works once, so it is recorded before it is sent, and never sent again.
  refresh {
    rotates = true
    request {
      method = "POST"
      url    = "${config.base_url}/v1/sessions/renew"
      json   = { renewal = token.refresh_token }
    }
  }

  # A session can only end itself, so its token has to be alive for that: when it
  # is not, it is refreshed first.
  revoke {
    on    = ["remove", "replace"]
    needs = "access_token"
    request {
      method  = "DELETE"
      url     = "${config.base_url}/v1/sessions/current"
      headers = { Authorization = "Acme ${token.access_token}" }
    }
  }

  # What a call to the API carries: credential.acme.NAME.header.
  header = "Acme ${token.access_token}"

  # Which refusals are final (the grant stops until its inputs change), and which
  # pass: everything else is judged by its status, as HTTP has it.
  error {
    permanent = body.fault.code == "bad_login"
    transient = body.fault.code == "try_later"
    code      = body.fault.code
    message   = body.fault.text
  }

  # For `tokend action acme.robot logout_everywhere`, and never by itself.
  action "logout_everywhere" {
    destructive = true
    request {
      method  = "POST"
      url     = "${config.base_url}/v1/users/me/logout"
      headers = { Authorization = "Acme ${token.access_token}" }
    }
  }
}
