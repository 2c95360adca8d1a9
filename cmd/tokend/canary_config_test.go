package main

// canaryConfig uses every way in which a secret comes to tokend and leaves it.
const canaryConfig = `
tokend {
  listen = "127.0.0.1:0"
  guard {
    settle              = "0s"
    max_revocations     = 1000
    max_revoked_percent = 100
  }
  defaults {
    refresh { min_remaining = "1s" }
    retry { initial = "50ms" }
  }
}
variable "out" { type = string }
variable "coinify_url" { type = string }
variable "coinify_user_url" { type = string }
variable "apirone_url" { type = string }
variable "coinsph_url" { type = string }
variable "cryptohopper_url" { type = string }
variable "oauth2_url" { type = string }
variable "hidden" {
  type      = string
  sensitive = true
}
locals { both = "${secret.file.coinify.value}:${var.hidden}" }
secret "file" "coinify" { path = "coinify" }
secret "file" "apirone" { path = "apirone" }
secret "file" "coinsph" { path = "coinsph" }
secret "file" "hopper" { path = "hopper" }
secret "file" "oauth2" { path = "oauth2" }
secret "file" "offline" { path = "offline" }
secret "file" "transfer" { path = "transfer" }
secret "env" "user" { name = "CANARY_USER" }
secret "exec" "exec" { command = ["cat", "exec"] }

provider "coinify" {
  base_url = var.coinify_url
  user_url = var.coinify_user_url
}
provider "apirone" { base_url = var.apirone_url }
provider "coinsph" { base_url = var.coinsph_url }
provider "cryptohopper" { base_url = var.cryptohopper_url }

credential "coinify" "trader" {
  grant      = "password"
  email      = "me@example.com"
  partner_id = "p"
  password   = secret.file.coinify.value
  lifecycle { overlap = "0s" }
}
credential "coinify" "offline" {
  grant         = "offline_token"
  offline_token = secret.file.offline.value
}
credential "coinify" "hidden" {
  grant      = "password"
  email      = "hidden@example.com"
  partner_id = "p"
  password   = var.hidden
}
credential "apirone" "account" {
  grant    = "login"
  login    = "apr-1"
  password = secret.file.apirone.value
}
credential "apirone" "exec" {
  grant    = "login"
  login    = "apr-2"
  password = secret.exec.exec.value
}
credential "apirone" "key" {
  grant        = "transfer_key"
  transfer_key = secret.file.transfer.value
}
credential "coinsph" "wallet" {
  grant         = "authorization_code"
  client_id     = "m1x"
  client_secret = secret.file.coinsph.value
  scopes        = ["buyorder", "sellorder"]
}
credential "cryptohopper" "bot" {
  grant         = "authorization_code"
  client_id     = "q9"
  client_secret = secret.file.hopper.value
  scopes        = ["read", "trade"]
}
credential "oauth2" "billing" {
  grant         = "password"
  token_url     = "${var.oauth2_url}/token"
  client_id     = "billing"
  client_secret = secret.file.oauth2.value
  username      = "me"
  password      = secret.env.user.value
}
sink "file" "trader" {
  path    = "${var.out}/trader"
  content = "${credential.coinify.trader.header}\n${credential.apirone.account.access_token}\n${local.both}\n"
  notify  = [hook.exec.prints]
}
sink "env" "all" {
  path = "${var.out}/all.env"
  vars = {
    OFFLINE = credential.coinify.offline.access_token
    EXEC    = credential.apirone.exec.access_token
    KEY     = credential.apirone.key.transfer_key
    WALLET  = credential.coinsph.wallet.access_token
    BOT     = credential.cryptohopper.bot.access_token
    BILLING = credential.oauth2.billing.access_token
  }
  notify = [hook.exec.fails]
}
hook "exec" "prints" { command = ["sh", "-c", "cat; env; cat ../out/trader"] }
hook "exec" "fails" { command = ["sh", "-c", "cat; env; cat ../out/all.env; cat ../out/all.env >&2; exit 3"] }
`

// canaryMistakes are mistakes with a secret at hand: what is said of them may not
// show it.
var canaryMistakes = []string{
	`credential "coinify" "bad" {
  email      = "bad@example.com"
  grant      = "password"
  partner_id = "p"
  password   = "CANARY"
}`,
	`credential "coinify" "bad" {
  email      = "bad@example.com"
  grant      = "password"
  partner_id = "p"
  password   = sensitive("CANARY")
}`,
	`variable "bad" {
  type      = string
  sensitive = true
  default   = "CANARY"
}
credential "coinify" "bad" {
  email      = "bad@example.com"
  grant      = "password"
  partner_id = "p"
  password   = var.bad
}`,
	`sink "file" "bad" {
  path    = "/nowhere/${secret.file.coinify.value}"
  content = var.hidden
}`,
	`sink "file" "bad" {
  path    = "${var.out}/bad"
  content = parseint(var.hidden, 10)
}`,
	`sink "file" "bad" {
  path    = "${var.out}/bad"
  content = jsondecode(var.hidden)
  mode    = var.hidden
}`,
	`sink "file" "bad" {
  for_each = toset([var.hidden])
  path     = "${var.out}/${each.key}"
  content  = "x"
}`,
	`locals { bad = { a = 1 }[var.hidden] }
sink "file" "bad" {
  path    = "${var.out}/bad"
  content = local.bad
}`,
	`sink "file" "bad" {
  path    = "${var.out}/bad"
  content = file(var.hidden)
}`,
	`sink "file" "bad" {
  path    = "${var.out}/bad"
  content = regex("^x$", var.hidden)
}`,
	`sink "env" "bad" {
  path   = "${var.out}/bad"
  format = var.hidden
  vars   = { "${var.hidden}" = "x" }
}`,
	`variable "checked" {
  type      = string
  sensitive = true
  default   = null
  validation {
    condition     = var.hidden == "no"
    error_message = "it is ${var.hidden}"
  }
}`,
}
