# Plain pip and venv. PYTHON picks the interpreter; everything lands in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.lamps-setup

.PHONY: setup demo docs test test-slow test-faults fuzz bench lint
.DEFAULT_GOAL := setup

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@# The pip that comes with Python may be years old, and resolve in minutes what takes this one seconds.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --upgrade pip
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e ".[dev]"
	@# What pip would do on one core; some packages carry files for a later Python.
	@$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib lamps_core lamps_cli flows tasks || true
	touch $@

demo: setup
	$(BIN)/python -m lamps_core.docstrings runs/demo/docstrings.csv
	$(BIN)/lamps search --dataset runs/demo/docstrings.csv --input-col text --target-col topic \
		--models zoo --max-train-rows 2000 --max-epochs 3 --budget 120s --out runs/demo/search

docs: setup
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -c docs -d build/doctrees . build/site
	@echo build/site/index.html

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-slow: setup
	$(BIN)/python -m pytest -m slow

test-faults: setup
	$(BIN)/python -m pytest -m faults

fuzz: setup
	LAMPS_FUZZ_EXAMPLES=5000 $(BIN)/python -m pytest tests/lamps_core/test_mutated_files.py
	$(BIN)/python -m pytest -n 2 --hypothesis-profile thorough -m "not slow and not faults and hypothesis"

bench: setup
	$(BIN)/python -m benchmarks.table

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
