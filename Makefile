# `make help` lists what there is to do.
VENV := .venv
# The first Python that runs: version managers leave names on the path that do not.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.10 python3; do $$p -c '' 2>/dev/null && echo $$p && break; done)
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
LOCK := locks/py$(VERSION).txt
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1

.PHONY: help venv demo test lint ablations table8 real-pictures benchmark pretrain clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' Makefile

venv: $(VENV)/ready ## a virtual environment in .venv, from the lock

$(VENV)/ready: $(wildcard $(LOCK)) pyproject.toml
	@echo "installing into $(VENV) for Python $(VERSION), which takes a minute or two"
	@test -f $(LOCK) || echo "there is no $(LOCK): taking the newest versions that fit"
	@$(PYTHON) -m venv $(VENV)
	@if test -f $(LOCK); then $(PIP) -r $(LOCK) && $(PIP) --no-build-isolation --no-deps --editable .; \
	else $(PIP) --editable '.[all]'; fi
	@touch $@

demo: venv ## the main job: dvc repro, then where the report and the numbers are
	@test -e .git || dvc config --local core.no_scm true
	dvc repro
	@echo "report:  $(CURDIR)/report/index.html"
	@echo "numbers: $(CURDIR)/metrics.json"

test: venv ## the test-suite, on all processors but no more than four
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: venv ## style and types
	ruff check .
	ruff format --check .
	mypy

ablations: venv ## the paper's ablations on the miniature world, after the demo; an hour and a half on two cores
	python -m benchmarks.ablations

table8: venv ## NeWCRFs with and without scale-oriented contrast on the miniature world, after the demo; half an hour on two cores
	python -m benchmarks.table8

real-pictures: venv ## tr2m_mini fine-tuned on real pictures, make real-pictures ROOT=folder OPTIONS=... (docs/real_pictures.md)
	OMP_NUM_THREADS=1 python -m benchmarks.real_pictures $(ROOT) $(OPTIONS)

benchmark: venv ## the claims of speed, each against its alternative
	python -m benchmarks.soc
	python -m benchmarks.soc_hook
	python -m benchmarks.train_step
	python -m benchmarks.render
	python -m benchmarks.describe
	python -m benchmarks.captioner
	python -m benchmarks.stream
	python -m benchmarks.steady
	python -m benchmarks.evaluate

pretrain: venv ## the small frozen networks that come with the package, again; over two hours on two cores
	$(PIP) -e '.[pretrain]'
	python -m pipelines.pretrain.relative_depth tr2m_plugin/weights/mini_depth_anything
	python -m pipelines.pretrain.relative_depth tr2m_plugin/weights/mini_midas --architecture midas --steps 1200
	python -m pipelines.pretrain.relative_depth tr2m_plugin/weights/mini_dpt --architecture dpt_hybrid --steps 1200
	python -m pipelines.pretrain.text_encoder tr2m_plugin/weights/mini_clip_text

clean: ## remove what the pipeline made, but not its cache
	rm -rf work report work_dirs predictions
