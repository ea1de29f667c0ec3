# Everything is built into .venv, from constraints.txt; nothing outside the repository is touched.

PYTHON ?= python3
BIN := .venv/bin
RUN_STAMP := .venv/.stamp-run
DEV_STAMP := .venv/.stamp-dev
NODE := .node
MUTATION := .venv-mutants

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# pip builds an editable package in an environment of its own, where -c has no say; these two reach it
# (the first in pip before 25.3, the second from then on).
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt

empty :=
space := $(empty) $(empty)
comma := ,
ACTORS := cpu mm ptl khugepaged allocator page_cache filemap host scheduler run_queue sched_domain thread context fault_context
ACTOR_FILES := $(subst $(space),$(comma),$(ACTORS:%=kactors/%.py) kactors/kernel/*)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run serve test lint types imports unit foreign-clients bench soak mutants clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(RUN_STAMP) ## install what a run needs (once), run the main job, serve on until Ctrl-C (ONCE=1: do not)
	@$(BIN)/python -m kactors.mainjob $(if $(filter-out 0,$(ONCE)),--once)

serve: $(RUN_STAMP) ## the service alone, at its default address, until Ctrl-C
	@$(BIN)/python -m kactors serve

test: lint types imports unit ## everything that must hold: lint, types, imports, unit

lint: $(DEV_STAMP) ## ruff's rules and its format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV_STAMP) ## mypy --strict
	$(BIN)/mypy --strict kactors protocols

imports: $(DEV_STAMP) ## the layers of ARCHITECTURE.md
	$(BIN)/lint-imports --no-logo

unit: $(DEV_STAMP) foreign-clients ## pytest on all CPUs; 95 % of the branches of the engine and of the actors
	$(BIN)/pytest -n auto --cov --cov-branch --cov-report=
	$(BIN)/coverage report --include='kactors/engine/*' --fail-under=95
	$(BIN)/coverage report --include='$(ACTOR_FILES)' --fail-under=95

foreign-clients: $(NODE)/.stamp ## npm's clients of the service for the tests, into .node; where node is missing, nothing

bench: $(DEV_STAMP) ## messages per second in a ring, beside SimPy; schedules per second of a search; the service's answers per second, and when it is busy
	@$(BIN)/python -m benchmarks.ring
	@$(BIN)/python -m benchmarks.search
	@$(BIN)/python -m benchmarks.service_rate
	@$(BIN)/python -m benchmarks.service_load

soak: $(DEV_STAMP) ## ten minutes of 200 clients and of strangers who misbehave: nothing is lost, nothing grows
	@$(BIN)/python -m benchmarks.service_load --soak

# In a venv of its own: mutmut brings a user interface and a parser that nothing else here needs.
mutants: $(MUTATION)/.stamp ## mutation testing of the policies and the actors, about an hour (Python 3.12 or later; docs/mutation-testing.md)
	CI=1 $(MUTATION)/bin/mutmut run
	@$(MUTATION)/bin/mutmut results

clean: ## remove .venv, caches and reports
	rm -rf .venv $(MUTATION) mutants $(NODE) .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
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

$(MUTATION)/.stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 12) or sys.exit("under mutmut Python 3.11 crashes; name a newer one: make mutants PYTHON=python3.13")'
	@echo "installing kactors and mutmut into $(MUTATION) (once)"
	@$(PYTHON) -m venv --clear $(MUTATION)
	@$(MUTATION)/bin/python -m pip install -qq -c constraints.txt -e '.[test]' mutmut==3.8.1 pytest-timeout==2.4.0
	@touch $@

# Without node or the network there is no stamp: the next make tries again, and the tests say why they are skipped.
$(NODE)/.stamp: tests/service/foreign/package.json
	@tests/service/foreign/install.sh $(NODE)
