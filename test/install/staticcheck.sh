#!/bin/sh
# Builds staticcheck, pinned by test/tools/go.mod, into the folder $1. Run in test/.
set -eu
dest=$1
cd tools
go build -buildvcs=false -mod=readonly -o "$dest/staticcheck" honnef.co/go/tools/cmd/staticcheck
