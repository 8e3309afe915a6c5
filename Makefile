# Everything a fresh machine with Python 3.11 and make needs: `make demo`, then `make test`.
PYTHON ?= python3.11
SLOW ?= tests
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo lava test test-slow lint types speed speed-baseline docs clean

# More for `make speed`: --strict fails where something became slower.
SPEED ?=

# The main job on real input: ResNet-50 over photographs and a forecaster over 71,721 neurons.
demo: $(READY) lava
	PATH="$(CURDIR)/$(BIN):$$PATH" bash docs/demo.sh

test: lint types lava
	$(BIN)/python -m pytest

# Lava needs a Python 3.10 of its own; without one the doctor says what is missing, and its tests skip.
lava: $(READY)
	-$(BIN)/zapdeploy doctor --set-up-lava

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow --ignore tests/speed $(SLOW)

lint: $(READY)
	$(BIN)/ruff check zapdeploy tests
	$(BIN)/ruff format --check zapdeploy tests

types: $(READY)
	$(BIN)/mypy

speed: $(READY)
	mkdir -p .benchmarks
	$(BIN)/python -m pytest tests/speed -m "slow or not slow" --benchmark-enable --benchmark-only --benchmark-json .benchmarks/speed.json
	$(BIN)/python -m tests.speed.comparing .benchmarks/speed.json $(SPEED)

# On an idle machine: what later runs are compared with.
speed-baseline: $(READY)
	$(MAKE) speed SPEED=--record

clean:
	rm -rf $(VENV) demo results .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[models,quantize,meters,report,streaming,dev]'
	touch $(READY)
