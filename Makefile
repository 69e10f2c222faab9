# Set-up, checks and trials of poolgate. Nothing is assumed but python3 (3.11 or newer), a C compiler and make:
# everything else goes into .venv, or is installed by tests/install-servers.sh. `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find gateway policies pools protocols -name '*.py')
# What pytest gets beside its settings in pyproject.toml: make test PYTEST='-k redis'
PYTEST ?=
QUICK := -m "not slow"
SUITE = -m pytest -n 2 --dist worksteal $(QUICK) $(PYTEST)

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help run test test-full format bench-redis bench-mysql clean venv lint types layers compile servers test-interpreted test-compiled

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-18s%s\n", $$1, $$2 }'

run: compile ## Redis, the gateway and a short workload; stays up until Ctrl-C (ARGS=--once: ends by itself)
	@$(BIN)/python -P compose/run.py $(ARGS)

test: export POOLGATE_COMPILE = 1
test: lint types layers compile servers test-interpreted test-compiled ## everything that CI runs

test-full: QUICK :=
test-full: test ## the same, and the tests that take minutes

format: venv ## rewrite the sources as `make lint` wants them
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench-redis: compile $(VENV)/.bench servers ## poolgate beside Envoy and nutcracker, into a table and a plot
	$(BIN)/python -m bench redis $(ARGS)

bench-mysql: compile $(VENV)/.bench servers ## poolgate beside HAProxy before a MariaDB, into a table and a plot
	$(BIN)/python -m bench mysql $(ARGS)

clean: ## remove everything that make made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

# The parts of `make test`, each a target of its own.

venv: $(VENV)/.ready ## the environment with every dependency

lint: venv ## format and style
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: venv ## mypy strict, tests included
	$(BIN)/mypy

layers: venv ## who may import whom
	$(BIN)/lint-imports --no-logo

compile: $(VENV)/.installed ## install poolgate into .venv, compiled where a C compiler is

servers: $(VENV)/.servers ## the real servers that the tests use

test-interpreted: venv ## the suite against the sources
	PYTHONPATH=$(CURDIR) POOLGATE_FORM=interpreted $(BIN)/python $(SUITE)

test-compiled: compile ## the suite against the installed, compiled package
	PYTHONSAFEPATH=1 POOLGATE_FORM=compiled $(BIN)/python $(SUITE)

# Stamps: what is done is not done again until what it depends on changes.

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "poolgate needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another one: make PYTHON=..." >&2; \
	  exit 1; }
	tests/install-servers.sh python $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.ready: pyproject.toml | $(BIN)/python
	$(BIN)/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	  print(*p["dependencies"], *p["optional-dependencies"]["dev"], sep="\n")' > $@.txt
	$(BIN)/python -m pip install --quiet -r $@.txt
	@touch $@

$(VENV)/.installed: $(SOURCES) setup.py | $(VENV)/.ready
	rm -rf build/lib* build/bdist*
	$(BIN)/python -m pip install --quiet --no-deps --force-reinstall .
	@$(BIN)/python -P -c 'import protocols.call as c; c.__file__.endswith(".py") and print("WARNING: poolgate is \
	installed interpreted, several times slower: no C compiler or no Python.h. Add them, then: make clean compile")'
	@touch $@

$(VENV)/.bench: pyproject.toml | $(VENV)/.ready
	$(BIN)/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	  print(*p["optional-dependencies"]["bench"], sep="\n")' > $@.txt
	$(BIN)/python -m pip install --quiet -r $@.txt
	@touch $@

$(VENV)/.servers: tests/install-servers.sh $(wildcard tests/mysql/sha2_server/*) tests/mysql/node/package.json | $(VENV)/.ready
	tests/install-servers.sh all
	@touch $@
