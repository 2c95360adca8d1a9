# Arguments: unknown, missing, of the wrong type.
tokend {
  listen = "nonsense" # ERROR: Invalid value # HINT: HOST:PORT
  public_url = "tokend.example" # ERROR: Invalid value
  lissten = "x" # ERROR: Unknown argument # HINT: Did you mean "listen"?
  state { # ERROR: Several keys of the state
    key_file = "k"
    systemd_credential = "state.key"
  }
  guard = {} # ERROR: Block written as an argument # HINT: guard { … }
  defaults {
    refresh {
      at = 1.5 # ERROR: Invalid value # HINT: fraction of the lifetime
      jitter = "x" # ERROR: Wrong type # HINT: a number
      min_remaining = "60" # ERROR: Invalid duration # HINT: such as "30s"
    }
    retry {
      initial = "1m"
      max = "1s" # ERROR: Invalid value # HINT: at least initial
    }
    retry {} # ERROR: Duplicate block retry
  }
}
secret "file" "pw" { path = "pw" }
secret "file" "none" {} # ERROR: Missing argument # HINT: needs the argument path
secret "exec" "bad" {
  command = "ls" # ERROR: Wrong type # HINT: a list of strings
  interval = "soon" # ERROR: Invalid duration
}
credential "apirone" "nogrant" { # ERROR: Missing argument # HINT: one of "login", "transfer_key"
  password = secret.file.pw.value
}
credential "apirone" "badgrant" {
  grant = "logni" # ERROR: Unknown grant # HINT: Did you mean "login"?
}
credential "apirone" "missing" { # ERROR: Missing argument # HINT: needs the argument login
  grant    = "login"
  password = secret.file.pw.value
}
credential "apirone" "typo" {
  grant    = "login"
  loginn   = "apr-1" # ERROR: Unknown argument # HINT: Did you mean "login"?
  login    = ["a"] # ERROR: Wrong type # HINT: a string
  password = secret.file.pw.value
  partner_id = "seven" # ERROR: Wrong type # HINT: a number
  lifecycle {
    on_remove = "revok" # ERROR: Invalid value # HINT: Did you mean "revoke"?
    overlap = "2h" # ERROR: Invalid value # HINT: overlap must be at most max_overlap (1h)
  }
  lifecycle = 3 # ERROR: Block written as an argument
  provider { # ERROR: Argument written as a block
  }
  verifi { # ERROR: Unknown block # HINT: Did you mean "verify"?
  }
}
credential "apirone" "values" {
  grant    = "login"
  login    = "apr-1"
  password = secret.file.pw.value
  redirect_uri = "here#x" # ERROR: Invalid value
  default_lifetime = "1ms" # ERROR: Invalid value # HINT: at least 1s
  lifecycle {
    overlap = "2h"
    max_overlap = "1h" # ERROR: Invalid value # HINT: at least overlap
  }
  verify {
    path = "me" # ERROR: Invalid value # HINT: begins with one slash
  }
}
credential "apirone" "static" {
  grant        = "transfer_key"
  transfer_key = secret.file.pw.value
  scopes       = ["a"] # ERROR: Argument without effect
}
provider "apirone" {
  alias = "b"
  base_url = null
  http {
    client_cert_file = "x" # ERROR: Invalid value # HINT: given together
    proxy = "http://u:p@proxy:1" # ERROR: Invalid value # HINT: without user and password
  }
  rate_limit {
    requests = 0 # ERROR: Invalid value
    concurrency = 1.5 # ERROR: Invalid value
  }
}
provider "apirone" { # ERROR: Duplicate provider.apirone.b
  alias = "b" # a second block with this alias
}
provider "apirone" {
  alias = "default" # ERROR: Invalid alias
}
sink "env" "x" {
  path   = "y"
  format = "bash" # ERROR: Invalid value # HINT: "systemd", "dotenv", "docker", "shell"
  in_place = true # ERROR: Reserved argument
  vars = ["a"] # ERROR: Wrong type # HINT: a map of strings
}

# All that is missing is said at once.
credential "apirone" "bare" { # ERROR: Missing arguments # HINT: needs the arguments login, password.
  grant = "login"
}
sink "file" "bare" {} # ERROR: Missing arguments # HINT: path, content
# A secret or a credential as a whole is no text.
secret "file" "whole" { path = "whole" }
credential "apirone" "whole" {
  grant    = "login"
  login    = "x"
  password = secret.file.whole # ERROR: Wrong type # NOSOURCE # HINT: Write secret.file.whole.value.
}
credential "apirone" "fine" {
  grant    = "login"
  login    = "x"
  password = secret.file.whole.value
}
sink "file" "whole" {
  path    = "/run/whole"
  content = credential.apirone.fine # ERROR: Wrong type # HINT: Write credential.apirone.fine.access_token
}
sink "file" "inside" {
  path    = "/run/inside"
  content = "token: ${credential.apirone.fine}" # ERROR: Invalid template interpolation value # HINT: Write credential.apirone.fine.access_token
}
sink "file" "badgrant" {
  path    = "out/badgrant"
  content = credential.apirone.badgrant.acces_token # ERROR: Unknown attribute # HINT: Did you mean "access_token"?
}
sink "file" "anygrant" {
  path    = "out/anygrant"
  content = "${credential.apirone.badgrant.login} ${credential.apirone.nogrant.transfer_key}"
}
