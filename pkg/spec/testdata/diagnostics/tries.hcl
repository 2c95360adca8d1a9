# What a reply lacks is null and no error, so that try never gets to its alternatives.
provider_type "tries" {
  grant "login" {
    request {
      method = "POST"
      url    = "https://x.example/login"
    }
    response {
      access_token  = try(body.token.value, body.token) # WARNING: Alternative that is not taken # HINT: coalesce
      refresh_token = coalesce(body.refresh, body.next)
      expires_in    = try(tonumber(body.expires), 60)
      token_type    = try(headers.x-type, body.type, "Bearer") # WARNING: Alternative that is not taken # HINT: coalesce
      scopes        = try(split(" ", body.scope), body.scopes)
      outputs       = { first = try(body.all[0], "none") }
    }
  }
}
