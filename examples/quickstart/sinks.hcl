# One file for each trader.
sink "file" "trader" {
  for_each = credential.coinify.trader
  path     = "${var.out}/coinify-${each.key}.token"
  content  = each.value.access_token
}

# An environment file, as systemd's EnvironmentFile= reads it.
sink "env" "bot" {
  path = "${var.out}/bot.env"
  vars = {
    HOPPER_TOKEN  = credential.cryptohopper.bot.access_token
    HOPPER_EXPIRY = credential.cryptohopper.bot.expires_at
  }
}

# Any text: here what an API call carries, for curl's --header @file.
sink "file" "wallet" {
  path    = "${var.out}/coinsph.header"
  content = "${credential.coinsph.wallet.header_name}: ${credential.coinsph.wallet.header}\n"
}

sink "file" "account" {
  path    = "${var.out}/apirone.token"
  content = credential.apirone.account.access_token
}
