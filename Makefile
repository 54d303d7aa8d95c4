# `make` alone lists the targets.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
# Scales the counts of load tests: 1 is the full count.
SCALE ?= 0.1
export SCALE
# Tests that only compute run on every core (tests/conftest.py); pytest by itself runs in one process, for a debugger.
SPREAD := --numprocesses auto --dist loadscope

LOCK := $(BIN)/uv pip compile --no-config --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-package llm-gateway-client --custom-compile-command "make lock" --quiet $(if $(UPGRADE),--upgrade)

.PHONY: help up down test check lint fmt soak proto lock dist site audit clean

help: ## This list
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' Makefile | expand -t 10

up: $(VENV)/.server ## Start the gateway (DETACH=1: return once it is running; ARGS="--config-path config.yaml ...")
	@exec $(BIN)/sidecar up $(if $(filter 1,$(DETACH)),--detach) $(ARGS)

down: $(VENV)/.server ## Stop the gateway that `make up DETACH=1` started
	@exec $(BIN)/sidecar down $(ARGS)

test: $(VENV)/.dev lint ## Every check and every test, the slow ones too (ARGS="-k words" for pytest)
	@$(BIN)/pytest $(SPREAD) $(ARGS)

check: $(VENV)/.dev lint ## The inner loop, under a minute: lint, types, generated code, fast tests
	@$(BIN)/pytest -q -m "not slow" $(SPREAD) $(ARGS)

lint: $(VENV)/.dev ## Style, types, proto files
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/python tools/generate.py --check
	@$(BIN)/buf lint

fmt: $(VENV)/.dev ## Format, and fix what can be fixed
	@$(BIN)/ruff format --quiet
	@$(BIN)/ruff check --fix --quiet

soak: SCALE := 1
soak: $(VENV)/.dev ## The slow tests with their full counts
	@$(BIN)/pytest -m slow $(ARGS)

proto: $(VENV)/.dev ## Regenerate what comes from proto/ and from tables in the code
	@$(BIN)/python tools/generate.py
	@$(BIN)/python -m sidecar.front.bindings
	@$(BIN)/python -m sidecar.front.envoy
	@$(BIN)/python -m tools.docs
	@$(BIN)/python -m tools.dashboards
	@$(BIN)/python -m tools.prometheus_rule
	@$(BIN)/python -m sidecar.config.schema > docs/reference/config.schema.json.new && mv docs/reference/config.schema.json.new docs/reference/config.schema.json

lock: $(VENV)/.dev ## Resolve the locks in requirements/ (UPGRADE=1: to the newest versions)
	@$(LOCK) -o requirements/server.txt pyproject.toml
	@$(LOCK) -c requirements/server.txt --group dev -o requirements/dev.txt pyproject.toml
	@$(LOCK) -c requirements/dev.txt --group build -o requirements/build.txt
	@$(LOCK) -c requirements/dev.txt --group release -o requirements/release.txt
	@$(LOCK) -c requirements/dev.txt --group site -o requirements/site.txt

dist: $(VENV)/.release ## Build the wheels of the gateway and of its client into dist/, with a bill of materials for each
	@$(BIN)/python -m hatchling build -t wheel -d dist
	@cd client && $(abspath $(BIN))/python -m hatchling build -t wheel -d ../dist
	@$(BIN)/python -m tools.sbom dist

site: $(VENV)/.site ## Build the documentation as a web site into site/, to be read and searched without a network
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

audit: $(VENV)/.dev ## Ask PyPI's advisory database about every pinned version; exit code 1 if one has a known hole (network)
	@for lock in server build release dev; do $(BIN)/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
		-r requirements/$$lock.txt || exit 1; done

clean: ## Remove the virtual environment, caches and dist/ (.sidecar/ with users and keys stays)
	@rm -rf $(VENV) dist build site client/dist .buf .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The server alone is what `make up` installs: no test tools. Hashes are checked, versions are the lock's.
$(VENV)/.server: requirements/server.txt requirements/build.txt pyproject.toml client/pyproject.toml
	@tools/venv.sh $(VENV)
	@echo "installing into $(VENV) (once; about 250 MB)"
	@$(PIP) --require-hashes -r requirements/server.txt -r requirements/build.txt
	@$(PIP) --no-deps --no-build-isolation --editable . --editable client
	@touch $@

$(VENV)/.release: $(VENV)/.server requirements/release.txt
	@$(PIP) --require-hashes -r requirements/release.txt
	@touch $@

$(VENV)/.site: $(VENV)/.server requirements/site.txt
	@$(PIP) --require-hashes -r requirements/site.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.server requirements/dev.txt
	@echo "installing test tools into $(VENV) (once)"
	@$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@
