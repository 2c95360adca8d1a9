# A hook runs after the sinks that name it were written: at least once, and once
# for all that changed together. One that fails is tried again; it never holds up
# a token, and `tokend status` says what is wrong with it.

hook "systemd" "trader" {
  unit   = "trader.service"
  action = "try-reload-or-restart" # try-: a service that is stopped stays stopped
}

hook "systemd" "bot" {
  unit   = "hopper-bot.service"
  action = "restart" # starts it as well, once there is a token
}

# For a daemon that knows only a signal: its pid file names the process.
hook "signal" "worker" {
  pid_file = "/run/worker.pid"
  signal   = "HUP"
}

# For everything else: a program, called without a shell. `check` has to succeed
# before `command` runs, such as the test of a configuration that holds a token.
hook "exec" "note" {
  check   = ["test", "-s", "/run/tokend/apirone.header"]
  command = ["touch", "/run/tokend/apirone.changed"]
  timeout = "10s"
}
