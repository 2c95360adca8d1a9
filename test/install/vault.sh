#!/bin/sh
# Builds the Vault server of test/vault into the folder $1. Run in test/.
set -eu
dest=$1
cd vault
CGO_ENABLED=0 nice go build -buildvcs=false -mod=readonly -tags minimal -ldflags='-s -w' -o "$dest/vault" .
