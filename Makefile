# tokend: the targets that people and CI use. make test is the one that matters.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
OUT     ?= bin

.PHONY: build test lint fuzz bench clean

# A static binary that says its version and nothing of the machine it came from.
build:
	CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(OUT)/tokend ./cmd/tokend

# Every test that this machine allows. TOKEND_TEST_INSTALL=1 make test, as root on
# Debian, first installs and builds the real servers that the tests meet, and then
# skips nothing. FUZZTIME=10s also fuzzes each target for that long, and SIMTIME=40s
# has the simulation of the reconciler run seeds for that long that no run had before
# (SIMOF=anything has it run those of anything, which are always the same).
test:
	@$(GO) build -buildvcs=false -o $(OUT)/testrun ./test/run
	@$(OUT)/testrun

# gofmt, go vet, staticcheck.
lint:
	@$(GO) build -buildvcs=false -o $(OUT)/testrun ./test/run
	@$(OUT)/testrun -lint

# Every fuzz target for FUZZTIME (30s).
fuzz:
	@$(GO) build -buildvcs=false -o $(OUT)/testrun ./test/run
	@$(OUT)/testrun -fuzz

# How it stands against the numbers that it wants to reach; see test/bench. One of
# them is a comparison with Vault Agent, which TOKEND_TEST_INSTALL=1 make bench builds
# first; without it that row says NOT MEASURED.
bench:
	@$(GO) run -buildvcs=false ./test/bench

clean:
	rm -rf $(OUT) dist
