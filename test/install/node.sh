#!/bin/sh
# Installs what test/node's lock file names into the folder $1: Node 22 itself,
# dotenv and oidc-provider. Run in test/. No package's scripts are run.
set -eu
dest=$1
if ! command -v npm >/dev/null; then
	sh install/apt.sh nodejs npm
fi
cp node/package.json node/package-lock.json "$dest/"
cd "$dest"
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
test -x node_modules/.bin/node
