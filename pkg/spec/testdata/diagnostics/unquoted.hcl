# A line that does not parse is one mistake, whatever stands around it.
secret "file" "pw" { path = "/etc/tokend/pw" }
credential "apirone" "account" {
  grant    = "login"
  login    = x@example.com # ERROR: Invalid character # HINT: in double quotes
  password = secret.file.pw.value
  refresh { at = 2 } # ERROR: Invalid value
}
sink "env" "one" {
  path = "/run/tokend/one"
  vars = {
    A = "${credential.apirone.account.access_token" # ERROR: Invalid multi-line string # HINT: is missing in this line
  }
}
