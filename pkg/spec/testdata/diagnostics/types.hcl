# Provider types: what may stand in them, what their expressions may name.
provider_type "empty" {} # ERROR: Missing grant
provider_type "lost" {
  sumary  = "x" # ERROR: Unknown argument # HINT: Did you mean "summary"?
  session = "independant" # ERROR: Unknown value # HINT: Did you mean "independent"?
  grnt "x" {} # ERROR: Unknown block # HINT: Did you mean "grant"?
}
provider_type "words" {
  config "alias" { # ERROR: Reserved name # HINT: common argument
    type = string
  }
  config "untyped" {} # ERROR: Missing type # HINT: type = string
  config "retries" {
    type    = number
    default = "many" # ERROR: Wrong type of default # HINT: must be a number
  }
  config "retries" { # ERROR: Duplicate setting
    type = number
  }
  config "level" {
    type    = string
    one_of  = ["low", "high"]
    default = "medium" # ERROR: Default that is not allowed
  }
  config "1st" { # ERROR: Invalid name
    type = string
  }
  grant "login" {
    input "scopes" { # ERROR: Reserved name # HINT: input.scopes
      type = list(string)
    }
    input "password" {
      type      = string
      sensitive = true
      default   = "CANARY" # ERROR: Default of a sensitive input # NOSOURCE # HINT: default = null
    }
    input "kind" {
      type      = string
      on_change = "ignore" # ERROR: Unknown value # HINT: "replace" or "next_use"
    }
    input "typo" {
      type = strng # ERROR: Invalid type # HINT: "string"
    }
    lockout = "yes please" # ERROR: Wrong type # HINT: true or false
    request {
      method = "POST"
      url    = "https://x.example"
      json   = {}
      form   = {} # ERROR: Two bodies
    }
    request { # ERROR: Duplicate request block
      method = "GET"
      url    = "https://x.example"
    }
  }
  grant "login" { # ERROR: Duplicate grant
    static = true
  }
  response { # ERROR: Missing access_token # HINT: body.access_token
    expires_in = body.expires_in
  }
  refresh { # ERROR: Missing request
    rotates        = "sometimes" # ERROR: Unknown value # HINT: true, false or "observe"
    token_lifetime = "a day" # ERROR: Wrong duration
    replay_window  = "5s"    # WARNING: Too short to repeat a refresh # HINT: leave it out
  }
  revoke {
    on    = ["removal"] # ERROR: Unknown value # HINT: is none of them
    needs = ["x"] # ERROR: Wrong type # HINT: a string
    request { # ERROR: Missing argument # HINT: method
      url = "https://x.example"
    }
  }
  verify { # ERROR: Missing request
  }
  action "a" { # ERROR: Missing request
  }
  action "a" { # ERROR: Duplicate action
    request {
      method = "POST"
      url    = "https://x.example"
    }
  }
}
provider_type "parts" {
  grant "none" { # ERROR: Missing request # HINT: static = true # ERROR: Missing response
  }
  grant "key" { # ERROR: Missing outputs
    static = true
    input "key" {
      type      = string
      sensitive = true
    }
  }
  grant "key2" { # ERROR: Static grant with a request
    static  = true
    outputs = {}
    request {
      method = "GET"
      url    = "https://x.example"
    }
  }
  grant "out" {
    outputs = { a = 1 } # ERROR: Outputs out of place
    request {
      method = "GETT" # ERROR: Unknown method # HINT: Did you mean "GET"?
      url    = "https://x.example"
    }
    response {
      access_token = "CANARY" # ERROR: Constant token # NOSOURCE
      outputs = {
        scopes  = body.scopes # ERROR: Reserved name # HINT: attribute of every credential
        "a b"   = body.x # ERROR: Invalid name
        (upper(body.y)) = body.x # ERROR: Outputs that are not written out
      }
    }
  }
  grant "out2" {
    request {
      method = "GET"
      url    = "https://x.example"
    }
    response {
      access_token = body.t
      outputs      = body # ERROR: Outputs that are not written out
    }
  }
  grant "noresponse" { # ERROR: Missing response
    request {
      method = "GET"
      url    = "https://x.example"
    }
  }
  grant "both" { # ERROR: Two ways to log in
    authorize {
      url = "https://x.example"
    }
    device {
      request {
        method = "POST"
        url    = "https://x.example"
      }
      response {
        device_code      = body.d
        user_code        = body.u
        verification_uri = body.v
      }
    }
    request { # ERROR: Missing device code
      method = "POST"
      url    = "https://x.example"
    }
    response {
      access_token = body.t
    }
  }
  grant "code" {
    authorize {
      url = "https://x.example"
    }
    request { # ERROR: Missing code
      method = "POST"
      url    = "https://x.example"
    }
    response {
      access_token = body.t
    }
  }
  grant "pkce" {
    authorize {
      url  = "https://x.example"
      pkce = true
    }
    request { # ERROR: Missing code verifier
      method = "POST"
      url    = "https://x.example"
      form   = { code = flow.code }
    }
    response {
      access_token = body.t
    }
  }
}
provider_type "unused" {
  grant "own" {
    request {
      method = "GET"
      url    = "https://x.example"
    }
    response {
      access_token = body.t
    }
  }
  response { # ERROR: Unused response
    access_token = body.t
  }
  refresh { # ERROR: Refresh without a refresh token # HINT: refresh_token = body.refresh_token
    request {
      method = "GET"
      url    = "https://x.example/${token.refresh_token}"
    }
  }
  revoke { # ERROR: Revocation without a token
    request {
      method = "GET"
      url    = "https://x.example/${token.refresh_token}"
    }
  }
}
# A type with mistakes is not missed by those who name it.
credential "scopes" "x" {
  user = var.nope # ERROR: Reference to undeclared variable
}
provider_type "scopes" {
  config "base_url" {
    type = string
  }
  grant "login" {
    input "user" {
      type = string
    }
    request {
      method = "POST"
      url    = "${config.base_ur}/login" # ERROR: Unknown name # HINT: Did you mean "base_url"?
      json = {
        user  = input.usr # ERROR: Unknown name # HINT: Did you mean "user"?
        token = token.access_token # ERROR: Name out of scope # HINT: this request shall obtain it
        code  = flow.code # ERROR: Name out of scope # HINT: authorize or a device block
        body  = body.x # ERROR: Name out of scope # HINT: what a reply has
        inpt  = inputs.user # ERROR: Unknown name # HINT: Did you mean "input"?
        meta  = discovered.token_endpoint # ERROR: Name out of scope # HINT: discovery
        file  = file("x") # ERROR: Function out of place # HINT: where the credential or the provider is declared
        var   = var.x # ERROR: Unknown name
      }
      query = "x" # ERROR: Wrong type # HINT: a map
    }
    response {
      access_token = body.t
      expires_in   = now # ERROR: Name out of scope # HINT: in requests only
      token_type   = jwt_sign("HS256", "k", {}) # ERROR: Function out of place # HINT: in requests only
      expires_at   = operation # ERROR: Name out of scope
      scopes       = uper(body.s) # ERROR: Call to unknown function # HINT: Did you mean "upper"?
    }
  }
  grant "device" {
    device { # ERROR: Missing request
      response { # ERROR: Missing argument # HINT: verification_uri
        device_code = body.d
        user_code   = body.u
      }
    }
    request {
      method = "POST"
      url    = "https://x.example"
      form   = { device_code = flow.device_code }
    }
    response {
      access_token = body.t
    }
  }
}
