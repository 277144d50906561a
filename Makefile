# Every target sets up all it needs, in a virtual environment of its own, once.

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: quickstart test test-slow lint format clean

quickstart: $(READY)  ## Train, sample, save, load and export a first model
	$(BIN)/python examples/quickstart.py

test: $(READY)  ## The default tests; no network
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup

test-slow: $(READY)  ## The longer tests; those on real data need KERAS_GENMOD_DATA
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup -m slow

lint: $(READY)  ## Style and format, nothing is changed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)  ## Put style and format right where ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove the virtual environment and what tools leave behind
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): setup.cfg pyproject.toml
	@echo "Setting up $(VENV) (once; a few minutes)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@
