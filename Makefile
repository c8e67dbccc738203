# Two commands set up a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)
RECIPE ?= quickstart
CORPUS ?=

.PHONY: demo test test-fast test-figures lint docs docs-check dry-run report bench clean
.DEFAULT_GOAL := demo

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11) and "affectkit needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[speech,face,dev]'
	@touch $@

demo: $(STAMP)  ## the main job on a built-in default: synthetic, or real EmoDB where AFFECTKIT_DATA is set
	bash recipes/quickstart.sh

# One thread of linear algebra for each of two test processes: four on two cores wait for each other more than they work.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

test: $(STAMP)  ## the tests
	$(PYTEST) -m 'not figures'

test-fast: $(STAMP)  ## without the slow ones
	$(PYTEST) -m 'not slow and not figures'

test-figures: $(STAMP)  ## that published figures still hold: real corpora, simulations, twins; minutes each
	$(PYTEST) -m figures

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)  ## regenerate the command reference in the README
	$(BIN)/cog -r README.md

docs-check: $(STAMP)
	$(BIN)/cog --check README.md

dry-run: $(STAMP)  ## every recipe, small, on the synthetic twins
	@for recipe in recipes/*.sh recipes/scene_face/all.sh; do echo "== $$recipe"; AFFECTKIT_DATA= RUNS=runs/dry-run bash $$recipe || exit 1; done

report: $(STAMP)  ## rerun a recipe and rebuild its report: make report RECIPE=quickstart [CORPUS=folder]
	bash recipes/$(RECIPE).sh $(CORPUS)

bench: $(STAMP)  ## each speed as a ratio against the named peer, measured now
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python tests/benchmarks/bench.py

clean:
	rm -rf runs build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
