# Every target sets up all it needs, in a virtual environment of its own, once.

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DOCS_READY := $(VENV)/.docs-ready
OLDEST := .venv-oldest

.PHONY: quickstart test test-slow test-arithmetic test-faults test-oldest test-wheel test-docs docs gallery \
	lint format clean

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

# The lower ends of the ranges in setup.cfg.
test-oldest: $(OLDEST)/.ready  ## The default tests with the oldest supported versions
	$(OLDEST)/bin/python -m pytest -q -n $(WORKERS) --dist loadgroup

test-wheel: $(READY)  ## Build source archive and wheel, and try the wheel outside this folder
	$(BIN)/python tests/try_wheel.py

docs: $(DOCS_READY)  ## Build the documentation into docs/_build/html; a warning is an error
	$(BIN)/python -m sphinx -b html -j $(WORKERS) -W --keep-going -q docs docs/_build/html

test-docs: $(DOCS_READY)  ## Run all code of the pages and of the README
	$(BIN)/python docs/run_blocks.py

gallery: $(DOCS_READY)  ## Run the longer examples and keep their pictures in examples/gallery/
	$(BIN)/python examples/update_gallery.py

lint: $(READY)  ## Style, format and types; nothing is changed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## Put style and format right where ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove the virtual environment and what tools leave behind
	rm -rf $(VENV) $(OLDEST) build dist docs/_build docs/api *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): setup.cfg pyproject.toml
	@echo "Setting up $(VENV) (once; a few minutes)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@

$(DOCS_READY): $(READY)
	@echo "Setting up $(VENV) for the documentation (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[docs]"
	@touch $@

$(OLDEST)/.ready: setup.cfg pyproject.toml
	@echo "Setting up $(OLDEST) (once; a few minutes)"
	@$(PYTHON) -m venv $(OLDEST)
	@$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[test]" \
		"keras==3.10.*" "numpy==1.26.*" "scikit-learn==1.6.*" "tensorflow==2.19.*" \
		"tensorflow-probability==0.25.*" "tensorflow-serving-api==2.19.*"
	@touch $@
