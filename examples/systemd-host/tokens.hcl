# A trader's token in a file of its own, readable by the service's group.
credential "coinify" "trader" {
  grant      = "password"
  email      = "trader@example.com"
  partner_id = "5f51bfe2-d08a-4b43-9d5c-405fd2f2ede6"
  password   = secret.systemd.coinify_password.value
}

sink "file" "trader" {
  path    = "/run/tokend/trader/token"
  content = credential.coinify.trader.access_token

  # The directory and the file belong to the service that reads them.
  group    = "trader"
  mode     = "0640"
  dir_mode = "0750"

  # trader.service reads the token again when it is reloaded.
  notify = [hook.systemd.trader]
}

# A bot that takes everything from its environment. The environment of a process
# is fixed when it starts, so a new token means a restart.
credential "cryptohopper" "bot" {
  grant         = "authorization_code" # a person approves once: tokend login cryptohopper.bot
  client_id     = "q9-your-app-key"
  client_secret = secret.systemd.hopper_secret.value
  scopes        = ["read", "trade"]
}

sink "env" "bot" {
  path   = "/run/tokend/hopper-bot.env"
  format = "systemd" # quoted as EnvironmentFile= reads it
  vars = {
    HOPPER_HEADER = credential.cryptohopper.bot.header_name
    HOPPER_TOKEN  = credential.cryptohopper.bot.access_token
    HOPPER_EXPIRY = credential.cryptohopper.bot.expires_at
  }
  notify = [hook.systemd.bot]
}

# A header file for curl (curl --header @/run/tokend/apirone.header …), and two
# ways of telling a process that is no unit.
credential "apirone" "account" {
  grant    = "login"
  login    = "apr-e7be0e8eabd391b499fe64647576fad5"
  password = secret.systemd.apirone_key.value
}

sink "file" "account" {
  path    = "/run/tokend/apirone.header"
  content = "${credential.apirone.account.header_name}: ${credential.apirone.account.header}\n"
  notify  = [hook.signal.worker, hook.exec.note]
}
