# Of two braces in one line the second is not seen, so that what follows seems to stand
# in the block. Only the line is told.
tokend {
  listen = "127.0.0.1:9911"
  state { key_file = "k" } } # ERROR: Missing newline after block definition
secret "file" "pw" { path = "pw" }
locals { here = "x" }
credential "apirone" "a" {
  grant    = "login"
  login    = local.here
  password = secret.file.pw.value
}
moved {
  from = credential.apirone.b
  to   = credential.apirone.a
}
credential "apirone" "c" {
  grant    = "login"
  login    = "x"
  password = secret.file.pw.value
}
