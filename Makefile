# Two commands on a fresh machine with Python 3.11+, make and git:  make demo  and  make test .
# Each sets up all it needs in .venv, pinned by constraints.txt. `make help` lists the rest.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable
# Tests run in several processes; one thread each keeps them out of each other's way.
ONE_THREAD := OMP_NUM_THREADS=1

.PHONY: help demo test lint types contracts unit slow docs format clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

demo: $(VENV)/.run  ## audit the embedded demo and show the report
	$(BIN)/prune-audit run --out runs/demo --policy lenient
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] || [ "$$(uname)" = Darwin ]; then \
		$(BIN)/python -m webbrowser "file://$(CURDIR)/runs/demo/report.html" >/dev/null; fi
	@echo "Open runs/demo/report.html in a browser."

test: lint types contracts unit  ## everything that CI checks

lint: $(VENV)/.dev  ## ruff: format and rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev  ## mypy --strict
	$(BIN)/mypy

contracts: $(VENV)/.dev  ## which room may import which
	$(BIN)/lint-imports

unit: $(VENV)/.dev  ## the tests
	$(ONE_THREAD) $(BIN)/pytest --numprocesses auto

slow: $(VENV)/.dev  ## the tests that take minutes
	$(ONE_THREAD) $(BIN)/pytest -m slow

docs: $(VENV)/.run  ## the documentation as a site, in build/site
	$(INSTALL) ".[docs]"
	$(BIN)/mkdocs build --strict

format: $(VENV)/.dev  ## mend what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove the environment and all that was made
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than 3.11: run  make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml constraints.txt
	$(INSTALL) .
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(INSTALL) ".[dev]"
	@touch $@ $(VENV)/.run
