# Every target makes the environment it needs; nothing but Python 3.11 to 3.14 and make has to be there.
PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
BIN := .venv/bin
# A file of tests stays in one process: what its fixtures make is made once. tests/conftest.py has the order of files.
PYTEST := $(BIN)/pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: install quickstart test test-all fuzz check docs format wheel resolve clean

install: .venv/.installed

.venv/.installed: pyproject.toml $(CONSTRAINTS)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(addprefix --constraint ,$(CONSTRAINTS)) --editable '.[all,dev]'
	touch $@

quickstart: install
	$(BIN)/corpusmill quickstart

test: install
	$(PYTEST) -m "not slow"

test-all: install
	$(PYTEST)

# Damaged files for everything that reads bytes; faults are kept in fuzz-faults/.
SECONDS ?= 300
fuzz: install
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m mkdocs build --quiet

docs: install
	$(BIN)/python -m mkdocs build

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: install
	rm -rf dist
	$(BIN)/python -m hatchling build -d dist

resolve: install
	$(BIN)/python -m pip install --quiet 'uv>=0.9,<1'
	$(BIN)/python scripts/resolve_wheels.py

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache dist site quickstart-output
