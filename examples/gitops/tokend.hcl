tokend {
  guard {
    # A mistake in Git revokes no more than this without `tokend approve`: at most
    # three tokens and sinks within an hour, and no more than a fifth of all. A
    # commit that loosens these numbers is itself judged by the old ones.
    max_revocations     = 3
    max_revoked_percent = 20

    # A checkout is not one step: a file may be gone for a moment. A removal acts
    # only after the directory was quiet this long.
    settle = "10s"
  }
}

# What differs between environments: tokend run --var-file production.tfvars
variable "environment" {
  type = string
  validation {
    condition     = contains(["staging", "production"], var.environment)
    error_message = "It is staging or production."
  }
}

variable "partner_id" {
  type        = string
  description = "our partner id with Coinify"
}

variable "tokens" {
  type        = string
  default     = "/run/tokend"
  description = "the directory that the teams' tokens go to"
}
