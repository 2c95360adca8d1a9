# What does not parse hides nothing else.
locals {
  ok = var.nope # ERROR: Reference to undeclared variable
}
secret "file" "x" { path = }  # ERROR: Invalid expression
