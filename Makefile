# Each target sets up what it needs: a virtual environment and the package, from pyproject.toml.
PYTHON ?= python3
MODEL ?= alexnet_pro
ARGS ?=
BIN := .venv/bin

.PHONY: ablate test check bench clean

# The study of MODEL: planned, run, tracked in MLflow, reported.
ablate: .venv/ready
	$(BIN)/research ablate $(MODEL) $(ARGS)

# The whole test suite.
test: .venv/ready-dev
	$(BIN)/pytest $(ARGS)

# Style, types and the shape of the code.
check: .venv/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The figures of the README, measured here.
bench: .venv/ready-dev
	$(BIN)/pip install --quiet --editable '.[bench]'
	$(BIN)/python scripts/bench.py $(ARGS)

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv .venv

.venv/ready: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/ready-dev: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ .venv/ready
