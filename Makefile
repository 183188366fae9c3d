# kith: build, test, demo. `make` alone explains itself.

SHELL := /bin/bash
export SQLX_OFFLINE := true
TARGET := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help toolchain demo test fmt lint bench chaos proofs prepare clean

help: ## this list
	@echo 'kith, outreach beside Postgres. Targets:'
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@scripts/toolchain

toolchain:
	@scripts/toolchain

demo: toolchain ## play three months of a sample company (ARGS="--help" for its options)
	scripts/install postgres
	cargo build --release
	$(TARGET)/release/kith demo $(ARGS)

test: toolchain ## formatting, lints and every test; installs what they need
	scripts/install postgres pooler browser verifier faketime
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo test

fmt: toolchain ## format the sources
	cargo fmt

lint: toolchain ## formatting and lints
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

bench: toolchain ## the benchmarks that docs/benchmarks.md lists (ARGS="tick --contacts 100000" for one)
	scripts/install postgres
	cargo build --release
	$(if $(ARGS),$(TARGET)/release/kith bench $(ARGS),sed -n 's/^kith bench \([^#]*\).*/\1/p' docs/benchmarks.md | while read -r what; do echo "kith bench $$what" >&2; $(TARGET)/release/kith bench $$what </dev/null || exit; done)

chaos: toolchain ## kith broken on purpose 200 times over 50,000 messages (ARGS="--cycles 20" for less); about ten minutes
	scripts/install postgres
	cargo build --release
	$(TARGET)/release/kith chaos --cycles 200 --messages 50000 $(ARGS)

proofs: toolchain ## the tests that have a larger size, in that size; about half an hour
	scripts/install postgres
	scripts/proofs

prepare: toolchain ## refresh .sqlx, the offline data of the checked queries
	scripts/install postgres
	scripts/prepare-queries

clean: ## remove what was built
	cargo clean
