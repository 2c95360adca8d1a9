# What a verification may ask, and where.
provider_type "elsewhere" {
  grant "login" {
    request {
      method = "POST"
      url    = "https://id.example.com/token"
    }
    response {
      access_token = body.access_token
    }
  }
  verify {
    request {
      method  = "GET"
      url     = "https://api.example.org/me" # ERROR: Verification at another origin # HINT: https://id.example.com
      headers = { Authorization = "Bearer ${token.access_token}" }
    }
  }
}

provider_type "own" {
  grant "login" {
    request {
      method = "POST"
      url    = "https://id.example.com/token"
    }
    response {
      access_token = body.access_token
    }
  }
  verify {
    request {
      method  = "GET"
      url     = "https://ID.example.com/me"
      headers = { Authorization = "Bearer ${token.access_token}" }
    }
  }
}

credential "own" "by_its_type" {
  verify {
    every = "1m"
  }
}

credential "own" "never" {
  verify {
    every = "0s"
  }
}

credential "own" "too_often" {
  verify {
    every = "10ms" # ERROR: Invalid value # HINT: at least 1s
  }
}

credential "own" "other_host" {
  verify {
    path = "//api.example.org/me" # ERROR: Invalid value # HINT: names no other host
  }
}

credential "own" "whole_url" {
  verify {
    path = "https://api.example.org/me" # ERROR: Invalid value # HINT: begins with one slash
  }
}

credential "apirone" "no_path" {
  grant    = "login"
  login    = "apr-1"
  password = secret.file.pw.value
  verify { # ERROR: Invalid value # HINT: path is missing
    every = "1m"
  }
}

credential "apirone" "key" {
  grant        = "transfer_key"
  transfer_key = secret.file.pw.value
  verify {
    path = "/me" # ERROR: Invalid value # HINT: no access token
  }
}

secret "file" "pw" { path = "/pw" }
