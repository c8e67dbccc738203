# Two commands set up a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Recipes and tests start hundreds of processes: each would compile the package again, half a second.
unexport PYTHONDONTWRITEBYTECODE
RECIPE ?= quickstart
CORPUS ?=

.PHONY: demo serve test test-slow test-processes test-figures test-pretrained lint docs docs-check dry-run golden report bench clean
.DEFAULT_GOAL := demo

# pip would compile all modules of 6 GB of packages, a minute or more; those that are imported are compiled then.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11) and "affectkit needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[speech,face,pose,text,asr,serve,track,dev]'
	@touch $@

demo: $(STAMP)  ## the main job on a built-in default: synthetic, or real EmoDB where AFFECTKIT_DATA is set
	bash recipes/quickstart.sh

serve: $(STAMP)  ## the model of `make demo`, over HTTP on port 8001
	@test -d runs/quickstart/linear || $(MAKE) --no-print-directory demo
	$(BIN)/affectkit serve runs/quickstart/linear --host 127.0.0.1 --port 8001

# One thread of linear algebra for each of two test processes: four on two cores wait for each other more than they work.
# In the order in which tests/conftest.py puts the files.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

test: $(STAMP)  ## the tests, without those of the targets below
	$(PYTEST) -m 'not slow and not figures and not processes and not pretrained'

test-slow: $(STAMP)  ## the dearer ones: more kills, more damage, whole chains, how often intervals cover
	$(PYTEST) -m 'slow and not figures and not processes and not pretrained'
	$(PYTEST_PROCESSES) -m 'slow and processes' $(WITH_PROCESSES)

# One test at a time: each has two processes of torch itself. Only the files with such tests: to read all takes longer.
PYTEST_PROCESSES := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q
WITH_PROCESSES = $$(grep -rl --include='*.py' 'mark\.processes' tests)

test-processes: $(STAMP)  ## that several processes share the work of a command
	$(PYTEST_PROCESSES) -m 'processes and not slow' $(WITH_PROCESSES)

test-figures: $(STAMP)  ## that published figures still hold: real corpora, simulations, twins; minutes each
	$(PYTEST) -m figures

test-pretrained: $(STAMP)  ## real networks (speech, transcripts, text, images, faces, poses): 430 MB are fetched; what cannot be had is skipped
	$(BIN)/python tests/pretrained/fetch.py runs/pretrained
	OMP_NUM_THREADS=2 $(BIN)/python -m pytest -q -m pretrained

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)  ## regenerate the command reference
	$(BIN)/cog -r affectkit/commands/README.md

docs-check: $(STAMP)
	$(BIN)/cog --check affectkit/commands/README.md

# Two at a time, each with one thread of linear algebra, the longest first; what a recipe prints is kept beside its study.
RUNS ?= runs/dry-run
LONGEST := scene_face/all speech_text_fusion active_learning mental_health speech_emotion daic_woz two_stage_fusion
DRY_RUNS := $(addprefix dry-run/,$(LONGEST) $(filter-out $(LONGEST),$(basename $(notdir $(wildcard recipes/*.sh)))))
.PHONY: $(DRY_RUNS)

dry-run: $(STAMP)  ## every recipe, small, on the synthetic twins
	@$(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j2 --output-sync=target) $(DRY_RUNS)

$(DRY_RUNS): dry-run/%: recipes/%.sh
	@mkdir -p $(RUNS)
	@AFFECTKIT_DATA= OMP_NUM_THREADS=1 RUNS=$(RUNS) bash $< > $(RUNS)/$(subst /,_,$*).log 2>&1 && echo "== $<: done" \
	  || { cat $(RUNS)/$(subst /,_,$*).log; echo "== $<: failed"; exit 1; }

GOLDEN ?=

golden: $(STAMP)  ## what all dry runs leave and print, and all help: make golden [GOLDEN=an earlier runs/golden.json, to compare]
	rm -rf runs/golden
	$(MAKE) --no-print-directory dry-run RUNS=runs/golden
	$(BIN)/python tests/golden.py record runs/golden runs/golden.json
	$(if $(GOLDEN),$(BIN)/python tests/golden.py compare $(GOLDEN) runs/golden.json)

report: $(STAMP)  ## rerun a recipe and rebuild its report: make report RECIPE=quickstart [CORPUS=folder]
	bash recipes/$(RECIPE).sh $(CORPUS)

bench: $(STAMP)  ## each speed as a ratio against the named peer, measured now
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python tests/benchmarks/bench.py

clean:
	rm -rf runs build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
