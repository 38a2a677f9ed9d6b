# Each of these sets up .venv by itself, once: `make demo`, `make test`, `make docs`, ...

PYTHON ?= python3
VENV ?= .venv
WORKDIR ?= runs/demo
BIN := $(VENV)/bin

.PHONY: demo demo-zero-shot notebooks test test-quick lint docs format clean

demo: $(VENV)/.core
	$(BIN)/python -m adapt_jax.train --config=configs/digits_adapt.py --workdir=$(WORKDIR)

demo-zero-shot: $(VENV)/.core
	$(BIN)/python -m examples.tiny_clip.digits_clip --out=runs/digits-clip
	$(BIN)/python -m adapt_jax.zero_shot --config=configs/digits_zero_shot.py --workdir=runs/demo-zero-shot

# Executes colab/*.ipynb from the start and keeps their outputs, two or three minutes on 2 cores.
notebooks: $(VENV)/.test
	rm -rf runs/quickstart* runs/notebook_*
	$(BIN)/python colab/execute.py

# In the order of their names the longest files come early, and both cores end together.
test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# What needs no training, for work in progress.
test-quick: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/core tests/metrics tests/config tests/results \
	  tests/launch tests/report tests/runtime tests/text_bank tests/workdir tests/test_architecture.py

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy

docs: $(VENV)/.docs
	JAX_PLATFORMS=cpu $(BIN)/python -m sphinx -W --keep-going -n -q -b html docs docs/_build/html

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build docs/_build *.egg-info .pytest_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "adapt_jax needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) --version`. Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.core: pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) (once; a minute or two) ..."
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) (once; a minute or two) ..."
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/.core

$(VENV)/.docs: pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) (once; a minute or two) ..."
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@ $(VENV)/.core
