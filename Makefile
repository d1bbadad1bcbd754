# `make help` lists what there is to do.
VENV := .venv
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.10 python3; do $$p -c '' 2>/dev/null && echo $$p && break; done)
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
LOCK := locks/py$(VERSION).txt
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1

.PHONY: help venv demo test lint pretrain benchmark clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' Makefile

venv: $(VENV)/ready ## a virtual environment in .venv, from the lock

$(VENV)/ready: $(wildcard $(LOCK)) pyproject.toml
	@test -f $(LOCK) || echo "no lock for Python $(VERSION) ($(LOCK)): installing the newest versions that fit"
	$(PYTHON) -m venv $(VENV)
	if test -f $(LOCK); then $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r $(LOCK) \
	  && $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .; \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all]'; fi
	@touch $@

demo: venv ## the main job: dvc repro, then where the report and the numbers are
	@git rev-parse --is-inside-work-tree >/dev/null 2>&1 || $(BIN)/dvc config --local core.no_scm true
	$(BIN)/dvc repro
	@echo "report:  $(CURDIR)/report/index.html"
	@echo "numbers: $(CURDIR)/metrics.json"

test: venv ## the test-suite
	$(BIN)/python -m pytest

lint: venv ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean: ## remove what the pipeline made, but not its cache
	rm -rf work report metrics.json work_dirs predictions
