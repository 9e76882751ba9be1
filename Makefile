# One door for people and CI. Everything lands in .venv; `make` alone lists the targets.
# PYTHON=python3.12 picks another interpreter, MODELS=1 adds torch and sentence-transformers,
# ARGS="..." goes to the command behind demo, test and bench.

PYTHON ?= python3
MODELS ?=
ARGS ?=
# Pinned, so that a CPU build (torch 2.13.0+cpu) wins wherever pip is told of one: docs/models.md.
TORCH ?= torch==2.13.0

VENV := .venv
BIN := $(VENV)/bin
CLIENTS := .venv-conformance
READY := $(VENV)/.installed
READY_MODELS := $(VENV)/.installed-models
INSTALLED := $(if $(MODELS),$(READY_MODELS),$(READY))
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup model redis chromium demo test lint bench peers chaos security soak conformance

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: redis chromium model ## make .venv with everything (again: only what changed)

demo: setup ## sample upstream, proxy and dashboard, with nothing to configure
	$(BIN)/likewise demo $(ARGS)

# Half of the suite's time is waiting, so two run beside each other; each file in one process.
test: setup ## the whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: $(INSTALLED) ## ruff, its formatter, and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup ## the load benchmark on this machine
	$(BIN)/likewise bench $(ARGS)

peers: setup ## Likewise beside GPTCache, LiteLLM and RedisVL, each in an environment of its own
	$(BIN)/python -m bench.peers $(ARGS)

chaos: setup ## kills, a stalled Redis, a full disk, purges: what do clients notice?
	$(BIN)/python -m tests.chaos $(ARGS)

soak: setup ## half an hour under load, then proxy and model side by side: what grows, what is untrue?
	$(BIN)/python -m tests.soak $(ARGS)
	$(BIN)/python -m tests.model

security: setup ## tenants, timing, canaries, smuggling, fuzzing: does every wall hold?
	$(BIN)/python -m tests.security $(ARGS)

conformance: setup $(CLIENTS)/.installed ## official clients: can they tell an answer from memory?
	$(BIN)/python -m tests.conformance $(ARGS)

# The clients get an environment of their own: they pin what the product does not. What npm or the
# source distribution of openai (for its own tests) would bring is skipped where it cannot be had.
$(CLIENTS)/.installed: tests/conformance/requirements.txt tests/conformance/package.json | $(BIN)/python
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip --disable-pip-version-check --quiet install -r $<
	@mkdir -p $(CLIENTS)/node $(CLIENTS)/sources && cp tests/conformance/package.json $(CLIENTS)/node/
	@npm install --silent --no-audit --no-fund --prefix $(CLIENTS)/node || \
	  echo "likewise: npm install did not work; what needs Node is skipped"
	@version=$$($(CLIENTS)/bin/python -c 'import openai; print(openai.__version__)') && \
	cd $(CLIENTS)/sources && rm -rf openai-* && \
	../bin/python -m pip --disable-pip-version-check --quiet download --no-deps --no-binary openai "openai==$$version" && \
	tar -xzf openai-*.tar.gz || echo "likewise: openai's source distribution could not be had; its own tests are skipped"
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "likewise: '$(PYTHON)' is missing or older than 3.11; install Python 3.11 or newer, or say: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "likewise: '$(PYTHON)' cannot make virtual environments; install its venv package (Debian: apt-get install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(READY): pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[dev]'
	@touch $@

# One pip command, so that what needs torch cannot bring in another build of it.
$(READY_MODELS): pyproject.toml | $(BIN)/python
	$(PIP) install '$(TORCH)' -e '.[dev,models]'
	@touch $(READY) $@

# Says nothing and ends at once when the model is there.
model: $(INSTALLED)
	$(BIN)/likewise models pull

# Only tests need these; without them they skip and say so (in CI they fail).
define installed
@command -v $(1) >/dev/null && exit 0; \
if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
  echo "likewise: installing $(1) for the tests"; \
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
  { apt-get install -y -qq $(1) || { apt-get update -qq && apt-get install -y -qq $(1); }; } >/dev/null 2>&1; \
fi; \
command -v $(1) >/dev/null || echo "likewise: no $(1) on PATH; tests that need it will skip (Debian: apt-get install $(1))"
endef

redis:
	$(call installed,redis-server)

chromium:
	$(call installed,chromium)
