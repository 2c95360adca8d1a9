secret "file" "acme" { path = "secrets/acme.password" }
secret "file" "apirone" { path = "secrets/apirone.key" }

credential "acme" "robot" {
  # There is one grant only, so it need not be named.
  user        = "robot"
  password    = secret.file.acme.value
  ttl_minutes = 30
}

sink "env" "robot" {
  path   = "out/robot.env"
  format = "dotenv"
  vars = {
    ACME_USER          = credential.acme.robot.user_id
    ACME_AUTHORIZATION = credential.acme.robot.header
  }
}

credential "apirone" "account" {
  login    = "apr-e7be0e8eabd391b499fe64647576fad5"
  password = secret.file.apirone.value
}

sink "file" "account" {
  path    = "out/apirone.header"
  content = "${credential.apirone.account.header_name}: ${credential.apirone.account.header}\n"
}
