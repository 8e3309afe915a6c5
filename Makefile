# Everything a fresh machine with Python and make needs: `make demo`, then `make test`.
# The newest Python for which every package of constraints.txt is built; LoadGen has none for 3.14.
PYTHONS := 3.13 3.12 3.11
PYTHON ?= $(or $(shell .ci/find_python $(PYTHONS)),$(error no Python among $(PYTHONS) that can make environments; give one: make PYTHON=...))
SLOW ?= tests
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: coverage fuzz demo demo-full lava test suite style test-slow test-random test-emulated test-wheel lint types speed speed-baseline docs clean

# More for `make speed`: --strict fails where something became slower.
SPEED ?=

# The main job on real input: ResNet-50 over photographs and a forecaster over 71,721 neurons, with
# short measurements; demo-full measures as long as LoadGen asks, at all precisions.
demo: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" bash docs/demo.sh

demo-full: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" bash docs/demo.sh full

# One worker per core that tests may use, with one thread for each product; a file's tests in one
# place because they share what was made for them. Style and types beside them; the streams, which
# live by the clock, afterwards and alone.
WORKERS ?= 2
test: $(READY)
	$(MAKE) --jobs 2 suite style
	$(BIN)/python -m pytest tests/streaming

suite: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --ignore tests/streaming

style: lint types lava

# Lava needs a Python 3.10 of its own; without one the doctor says what is missing, and its tests skip.
lava: $(READY)
	-$(BIN)/zapdeploy doctor --set-up-lava

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow --ignore tests/speed $(SLOW)

# Every property with fresh examples, ROUNDS times as many as `make test` tries.
ROUNDS ?= 20
test-random: $(READY)
	failed=0; for round in $$(seq $(ROUNDS)); do echo "round $$round of $(ROUNDS)"; \
	$(BIN)/python -m pytest -q -m "hypothesis and not slow" --hypothesis-profile fresh || failed=1; \
	done; exit $$failed

# Which lines the tests run, and every `raise` that none of them reaches.
coverage: $(READY)
	$(BIN)/python -m coverage run --source zapdeploy -m pytest -q $(COVERED)
	$(BIN)/python -m coverage json -q -o .benchmarks/coverage.json
	$(BIN)/python -m tests.coverage_of_errors .benchmarks/coverage.json

# COVERED="tests/cli tests/quantize" is quicker than all of them.
COVERED ?= tests --ignore tests/speed

# Random graphs, damaged files, absurd calls and ended commands; goes on where it stopped: make fuzz COUNT=20000
COUNT ?= 1000
SEED ?= 1
fuzz: $(READY)
	mkdir -p .benchmarks
	$(BIN)/python -W ignore -m tests.fuzz.graphs --count $(COUNT) --seed $(SEED) --resume .benchmarks/fuzz-graphs-$(SEED).json
	$(BIN)/python -W ignore -m tests.fuzz.files --count $(COUNT) --seed $(SEED) --resume .benchmarks/fuzz-files-$(SEED).json
	$(BIN)/python -W ignore -m tests.fuzz.commands --count $(COUNT) --seed $(SEED) --resume .benchmarks/fuzz-commands-$(SEED).json
	$(BIN)/python -W ignore -m tests.fuzz.kills --count $(COUNT) --seed $(SEED) --resume .benchmarks/fuzz-kills-$(SEED).json

# What ONNX Runtime judges, on an emulated processor without AVX-512 VNNI.
test-emulated: $(READY)
	PYTHON=$(BIN)/python .ci/emulated

# The wheel alone, without extras, in an environment of its own for each Python that is found.
test-wheel: $(READY)
	$(BIN)/python -m pytest -m slow tests/packaging

lint: $(READY)
	$(BIN)/ruff check zapdeploy tests
	$(BIN)/ruff format --check zapdeploy tests

types: $(READY)
	$(BIN)/mypy

# The site, from docs/ and the code; broken links are errors.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

speed: $(READY)
	mkdir -p .benchmarks
	$(BIN)/python -m pytest tests/speed -m "slow or not slow" --benchmark-enable --benchmark-only --benchmark-json .benchmarks/speed.json
	$(BIN)/python -m tests.speed.comparing .benchmarks/speed.json $(SPEED)

# On an idle machine: what later runs are compared with.
speed-baseline: $(READY)
	$(MAKE) speed SPEED=--record

clean:
	rm -rf $(VENV) demo results site .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[models,recordings,quantize,meters,report,streaming,qonnx,explore,connectomes,docs,dev]'
	touch $(READY)
