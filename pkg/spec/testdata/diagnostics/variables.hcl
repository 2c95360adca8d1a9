# Variables.
variable "none" {} # ERROR: Variable without a value # HINT: --var none=
variable "type" {
  type    = strng # ERROR: Invalid type
  default = "x"
}
variable "deflt" {
  type    = number
  default = "x" # ERROR: Invalid default # HINT: number
}
variable "ref" {
  default = local.x # ERROR: Reference in a default
}
variable "flag" {
  sensitive = "maybe" # ERROR: Constant required
  default   = 1
}
variable "argument" {
  defualt = 1 # ERROR: Unknown argument # HINT: Did you mean "default"?
  default = 2
}
variable "port" { # ERROR: Invalid value of variable # HINT: Ports begin at 1, not 0.
  type    = number
  default = 0
  validation {
    condition     = var.port > 0
    error_message = "Ports begin at 1, not ${var.port}."
  }
  validation { # ERROR: Incomplete validation
    condition = true
  }
  validation {
    condition     = local.x # ERROR: Invalid reference in a validation
    error_message = "x"
  }
}
variable "nonull" {
  nullable = false
  default  = null # ERROR: Invalid default
}
locals {
  x = 1
}
