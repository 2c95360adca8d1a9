# What a broken block declares is not missed elsewhere.
locals {
  here  = var.lost
  gone  = var.nowhere # ERROR: Reference to undeclared variable
}
variable "lost" {
  default = } # ERROR: Invalid expression
