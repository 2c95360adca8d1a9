# Blocks, labels and names.
listen = "127.0.0.1:1" # ERROR: Argument outside a block
credentail "apirone" "a" { # ERROR: Unknown block type # HINT: Did you mean "credential"?
}
resource "apirone" "a" {} # ERROR: Unknown block type # HINT: Did you mean "credential"?
alert "x" {} # ERROR: Reserved block type
secret "file" {} # ERROR: Wrong number of labels of secret # HINT: secret "TYPE" "NAME"
vault "a" "b" {} # ERROR: Wrong number of labels of vault
secret "file" "no good" {} # ERROR: Invalid name
hook "exec" "twice" { command = ["true"] }
hook "exec" "twice" { command = ["true"] } # ERROR: Duplicate hook.exec.twice # HINT: blocks.hcl:10
hook "exce" "x" { command = ["true"] } # ERROR: Unknown kind of hook # HINT: Did you mean "exec"?
sink "kubernetes_secret" "x" {} # ERROR: Reserved kind of sink
sink "fil" "x" {} # ERROR: Unknown kind of sink # HINT: Did you mean "file"?
secret "fiel" "x" {} # ERROR: Unknown kind of secret
credential "apiron" "x" {} # ERROR: Unknown provider type # HINT: Did you mean "apirone"?
provider "apiron" {} # ERROR: Unknown provider type # HINT: tokend provider list
tokend {}
tokend {} # ERROR: Duplicate block tokend # HINT: blocks.hcl:18
locals {
  a = 1
}
locals {
  a = 2 # ERROR: Duplicate local.a
  x {} # ERROR: Unknown block
}
