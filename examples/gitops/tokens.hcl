# Secrets are not in the repository: each host has them in files of its own.
secret "file" "coinify" { path = "/etc/tokend-secrets/coinify.${var.environment}" }

credential "coinify" "team" {
  for_each   = local.ordinary
  grant      = "password"
  email      = each.value.email
  partner_id = var.partner_id
  password   = secret.file.coinify.value
}

# The same for teams whose token must not go by a slip of the hand. That is
# remembered in the state, so deleting the line does not lift it.
credential "coinify" "protected" {
  for_each   = local.protected
  grant      = "password"
  email      = each.value.email
  partner_id = var.partner_id
  password   = secret.file.coinify.value

  lifecycle { prevent_destroy = true }
}

# One block each, and not one over both: a sink waits for all that its for_each
# names, so one team's trouble would be every team's.
sink "file" "team" {
  for_each = credential.coinify.team
  path     = "${var.tokens}/${each.key}.token"
  content  = each.value.access_token
}

sink "file" "protected" {
  for_each = credential.coinify.protected
  path     = "${var.tokens}/${each.key}.token"
  content  = each.value.access_token
}
