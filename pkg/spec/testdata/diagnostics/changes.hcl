# moved, removed and import.
secret "file" "pw" { path = "pw" }
credential "apirone" "now" {
  grant    = "login"
  login    = "x"
  password = secret.file.pw.value
}
credential "apirone" "many" {
  for_each = toset(["a"])
  grant    = "login"
  login    = "x"
  password = secret.file.pw.value
}
moved {
  from = credential.apirone.before
  to   = credential.apirone.now
}
moved { # ERROR: Duplicate move of credential.apirone.before
  from = credential.apirone.before # the same again
  to   = credential.apirone.many["a"]
}
moved {
  from = credential.apirone.now # ERROR: Moved block is still declared
  to   = credential.apirone.many["a"]
}
moved {
  from = credential.apirone.misspelt
  to   = credential.apirone.nwo # WARNING: Moved to nothing # HINT: Did you mean credential.apirone.now?
}
moved {
  from = credential.apirone.c["x"]
  to   = credential.apirone.many["b"] # WARNING: Moved to nothing # HINT: There is a and nothing else.
}
moved { # leads on to what is declared no more either, which is said there
  from = credential.apirone.first
  to   = credential.apirone.second
}
moved {
  from = credential.apirone.second
  to   = credential.apirone.third # WARNING: Moved to nothing # HINT: take the moved block out
}
moved {
  from = credential.apirone.d
  to   = credential.apirone.gone # is forgotten since
}
moved {
  from = credential.apirone.b["x"]
  to   = credential.apirone.many # ERROR: Ends of moved differ # HINT: An instance moves to an instance
}
moved {
  from = credential.coinify.old
  to   = credential.apirone.now # ERROR: Ends of moved differ
}
moved {
  from = sink.file.old
  to   = credential.apirone.now # ERROR: Ends of moved differ
}
moved {
  from = "credential.apirone.old" # ERROR: Address required
  to   = hook.exec.x # ERROR: Address required
}
moved { # ERROR: Missing argument # HINT: needs the argument to
  from = credential.apirone.zzz
  too  = credential.apirone.now # ERROR: Unknown argument
}
moved { # ERROR: Moves in a circle # HINT: credential.apirone.one becomes credential.apirone.two becomes credential.apirone.one
  from = credential.apirone.one
  to   = credential.apirone.two
}
moved {
  from = credential.apirone.two
  to   = credential.apirone.one
}
moved {
  from = credential.apirone.left
  to   = credential.apirone.many["a"]
}
removed { # ERROR: Moved and removed
  from = credential.apirone.left
}
removed {
  from = credential.apirone.now # ERROR: Removed block is still declared
}
removed {
  from = credential.apirone.gone
}
import {
  to            = credential.apirone.many # ERROR: Instance key missing
  refresh_token = secret.file.pw.value
}
import {
  to            = credential.apirone.many["b"] # ERROR: No such instance # HINT: There is a and nothing else.
  refresh_token = secret.file.pw.value
}
import {
  to            = credential.apirone.nobody # ERROR: Reference to undeclared credential
  refresh_token = secret.file.pw.value
}
credential "apirone" "key" {
  grant        = "transfer_key"
  transfer_key = secret.file.pw.value
}
import {
  to            = credential.apirone.key # ERROR: Nothing to import
  refresh_token = secret.file.pw.value
}
