#!/bin/sh
# Builds Vault with its command line, of which the agent is a part, into the folder
# $1: the release that test/vaultagent/go.mod pins. Run in test/.
set -eu
dest=$1
cd vaultagent
CGO_ENABLED=0 nice go build -buildvcs=false -mod=readonly -tags minimal -ldflags='-s -w' -o "$dest/vault" github.com/hashicorp/vault
