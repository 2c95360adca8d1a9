# What people write who begin, or who come from Terraform.
secret "file" "pw" { path = "/etc/tokend/pw" }
credential "apirone" "account" {
  grant      = "login"
  login      = "x"
  password   = secret.pw.value # ERROR: Reference to undeclared secret # HINT: did you mean secret.file.pw.value?
  depends_on = [secret.file.pw] # ERROR: Unknown argument # HINT: Leave it out
}
sink "file" "one" {
  path    = "/run/tokend/one"
  content = credential.account.access_token # ERROR: Reference to undeclared credential # HINT: did you mean credential.apirone.account.access_token?
}
sink "file" "two" {
  path    = "/run/tokend/two"
  content = credential.apirone.account # ERROR: Wrong type # HINT: access_token, or another attribute
}
sink "env" "three" {
  path = "/run/tokend/three"
  vars { # ERROR: Argument written as a block
    A = credential.apirone.account.access_token
  }
}
sink "env" "four" {
  path = "/run/tokend/four"
  vars = [{ name = "A", value = "x" }] # ERROR: Wrong type # HINT: not a list
}
hook "exec" "nginx" {
  command = "nginx -s reload" # ERROR: Wrong type # HINT: a list of strings
}
sink "file" "five" {
  path    = "/run/tokend/five"
  content = "x"
  notify  = ["hook.exec.nginx"] # ERROR: Quoted reference # HINT: hook.exec.nginx
}
moved {
  from = apirone.old # ERROR: Address required
  to   = credential.apirone.account
}
