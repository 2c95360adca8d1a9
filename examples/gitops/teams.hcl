# Who gets a token. A pull request adds a line, or takes one away.
locals {
  teams = {
    settlement = { email = "settlement@example.com", protected = true }
    treasury   = { email = "treasury@example.com", protected = true }
    research   = { email = "research@example.com" }
    market     = { email = "market@example.com" }
    support    = { email = "support@example.com" }
    audit      = { email = "audit@example.com" }
  }

  # Two blocks below, because a lifecycle holds for a whole block.
  protected = { for name, team in local.teams : name => team if try(team.protected, false) }
  ordinary  = { for name, team in local.teams : name => team if !try(team.protected, false) }
}
