tokend {
  # Health, metrics and a status page for this host alone.
  listen = "127.0.0.1:8250"

  state {
    # What tokend must not lose: tokens, refresh tokens, what is still to be
    # revoked. Each record is encrypted with the key below.
    path = "/var/lib/tokend"

    # The key is handed over by systemd (units/tokend-secrets.conf), so that a
    # copy of /var/lib/tokend alone is worth nothing. Keep a copy of the key
    # elsewhere: without it the state cannot be read.
    systemd_credential = "state.key"
  }

  guard {
    # A removed block revokes its token. More than this within an hour waits for
    # `tokend approve`, and a removal waits until the files were quiet this long.
    max_revocations = 10
    settle          = "10s"
  }
}
