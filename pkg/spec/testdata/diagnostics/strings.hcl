# A literal secret in a line that does not parse is not shown.
credential "apirone" "x" {
  password = "CANARY-open # ERROR: Invalid multi-line string # NOSOURCE
}
