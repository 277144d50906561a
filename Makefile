# Every target sets up all it needs, in a virtual environment of its own, once.

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: quickstart test test-slow test-arithmetic test-faults lint format clean

quickstart: $(READY)  ## Train, sample, save, load and export a first model
	$(BIN)/python examples/quickstart.py

test: $(READY)  ## The default tests; no network
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup

test-slow: $(READY)  ## The longer tests; those on real data need KERAS_GENMOD_DATA
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup -m slow

# Kernels, instruction sets and threads under which sums are made in other orders.
ARITHMETIC := TF_ENABLE_ONEDNN_OPTS=0 ONEDNN_MAX_CPU_ISA=AVX2 ONEDNN_MAX_CPU_ISA=SSE41 \
	XLA_FLAGS=--xla_cpu_max_isa=AVX2 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTRAOP_THREADS=2

test-arithmetic: $(READY)  ## The default tests under other arithmetic, once for each setting
	@for setting in $(ARITHMETIC); do \
		echo "$$setting"; \
		env $$setting $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup || exit 1; \
	done

test-faults: $(READY)  ## Deliberate faults in a copy of the package, each of which the tests must notice
	$(BIN)/python tests/deliberate_faults.py --workers $(WORKERS)

lint: $(READY)  ## Style, format and types; nothing is changed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

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
