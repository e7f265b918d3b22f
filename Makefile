# Each target sets up all it needs: one virtual environment, shared by all.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow check format bench clean

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nodepath needs Python 3.11 or newer, this is %s; try make PYTHON=python3.12" % sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing nodepath and what it needs into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,vision]'
	@touch $@

install: $(INSTALLED)  ## Make .venv with everything in it

demo: install  ## Prune, measure, train and compare on real images; writes demo/index.html
	$(BIN)/nodepath demo

test: install  ## Run the tests (minutes)
	$(BIN)/python -m pytest -n 2

test-slow: install  ## Run the slow studies (many minutes)
	$(BIN)/python -m pytest -n 2 -m slow

check: install  ## Format, lint, types, import contract
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install  ## Format and mend what can be mended
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: install  ## Measure speed as ratios taken in one run
	$(BIN)/python -m bench

clean:  ## Remove the environment and all that was built
	rm -rf $(VENV) demo build dist site *.egg-info src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
