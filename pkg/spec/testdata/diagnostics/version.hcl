tokend {
  required_version = ">= 0.9" # ERROR: Version of tokend not allowed # HINT: install a version that fits
  state {  # ERROR: Several keys of the state
    key_file           = "k"
    systemd_credential = "state.key"
  }
}
