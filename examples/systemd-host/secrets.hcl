# Secrets are never written into a configuration: a literal password in a
# credential block is refused. Here each is a credential of tokend's own unit,
# $CREDENTIALS_DIRECTORY/NAME, which only that unit can read.
secret "systemd" "coinify_password" { name = "coinify_password" }
secret "systemd" "apirone_key" { name = "apirone_key" }
secret "systemd" "hopper_secret" { name = "hopper_secret" }
