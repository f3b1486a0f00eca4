# Everything a newcomer or CI runs. Needs only Python >= 3.11 and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock

# One process per core, each with database servers of its own; the slowest tests are named at the end.
PARALLEL ?= --numprocesses=auto --maxprocesses=4 --durations=20

.DEFAULT_GOAL := help
.PHONY: help install install-dev run test check lint format conformance faults lock clean

help:                                ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.installed          ## build .venv with the console command mcp-gateway

install-dev: $(VENV)/.installed-dev  ## the same, with what tests and checks need

run: install                         ## migrate the embedded database and serve config.yaml
	@$(BIN)/mcp-gateway serve --config config.yaml

test: install-dev                    ## run every test, on every core
	@$(BIN)/python -m pytest $(PARALLEL) $(PYTEST_FLAGS)

check: install-dev                   ## format, lint, types, tests
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(PARALLEL) $(PYTEST_FLAGS)

lint: install-dev                    ## what CI asks of the sources; changes nothing
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: install-dev                  ## format, and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

faults: install-dev                  ## kill a gateway 100 times per engine, and break its database
	@FAULTS_KILLS=$${FAULTS_KILLS:-100} $(BIN)/python -m pytest tests/faults $(PYTEST_FLAGS)

conformance: install-dev             ## run the official suite, renew its baseline and docs/conformance.md
	@$(BIN)/python -m tests.conformance

lock: install-dev                    ## take the newest releases that pyproject.toml allows, and pin them
	$(BIN)/python -m pip install --quiet --upgrade --upgrade-strategy eager --editable '.[dev]'
	@sed -n '/^#/p' requirements.lock > requirements.lock.new
	@$(BIN)/python -m pip freeze --exclude-editable >> requirements.lock.new
	@mv requirements.lock.new requirements.lock

clean:                               ## remove whatever was built, and the software that tests installed
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml requirements.lock
	$(PIP) --editable '.[demo,postgresql]'
	@touch $@

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml requirements.lock
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.installed
