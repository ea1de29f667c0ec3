# Everything is built into .venv, from constraints.txt; nothing outside the repository is touched.

PYTHON ?= python3
BIN := .venv/bin
RUN_STAMP := .venv/.stamp-run
DEV_STAMP := .venv/.stamp-dev

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# pip builds an editable package in an environment of its own, where -c has no say; these two reach it
# (the first in pip before 25.3, the second from then on).
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt

empty :=
space := $(empty) $(empty)
comma := ,
ACTORS := cpu mm ptl khugepaged allocator scheduler context fault_context
ACTOR_FILES := $(subst $(space),$(comma),$(ACTORS:%=kactors/%.py) kactors/kernel/*)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test lint types imports unit bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(RUN_STAMP) ## install what a run needs (once) and run the main job
	@$(BIN)/python -m kactors.mainjob

test: lint types imports unit ## everything that must hold: lint, types, imports, unit

lint: $(DEV_STAMP) ## ruff's rules and its format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV_STAMP) ## mypy --strict
	$(BIN)/mypy --strict kactors protocols

imports: $(DEV_STAMP) ## the layers of ARCHITECTURE.md
	$(BIN)/lint-imports --no-logo

unit: $(DEV_STAMP) ## pytest on all CPUs; 95 % of the branches of the engine and of the actors
	$(BIN)/pytest -n auto --cov --cov-branch --cov-report=
	$(BIN)/coverage report --include='kactors/engine/*' --fail-under=95
	$(BIN)/coverage report --include='$(ACTOR_FILES)' --fail-under=95

bench: $(DEV_STAMP) ## messages per second in a ring, beside SimPy
	@$(BIN)/python -m benchmarks.ring

clean: ## remove .venv, caches and reports
	rm -rf .venv .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# bin/pip and not the folder: a Python without ensurepip leaves the folder behind when it fails.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("kactors needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	@$(PYTHON) -m venv --clear .venv

$(RUN_STAMP): pyproject.toml constraints.txt | $(BIN)/pip
	@echo "installing kactors into .venv (once)"
	@$(BIN)/python -m pip install -qq -c constraints.txt -e .
	@touch $@

# After the other stamp, never beside it: two pips at work in one venv break it.
$(DEV_STAMP): $(RUN_STAMP)
	@echo "installing the development tools into .venv (once)"
	@$(BIN)/python -m pip install -qq -c constraints.txt -e '.[dev]'
	@touch $@
