# Everything a fresh Linux machine with Python 3.11 to 3.13 needs: `make demo`, `make test`.
#
#   make demo         set up, reconstruct a real scan, write out/demo and say where the report is
#   make test         set up, run the test suite in up to four processes (WORKERS=1 for one; ARGS="tests/operators -x"
#                     goes to pytest)
#   make lint         ruff, pyright and the contracts on imports, the same checks as .ci/run and the pre-commit hooks
#   make docs         build the documentation into docs/_build/html
#   make wheel        build dist/scorefield-*.whl; make check-wheel installs it into an empty environment, outside the
#                     repository, and runs the demo there
#   make lock         write requirements/tested.txt anew, from the versions that are installed
#   make benchmarks   run every benchmark in benchmarks/, side by side with other tools where installed;
#                     those on real images need their folder, DATA=...
#   make clean        remove what the targets above wrote, but the environment
#   make distclean    remove the environment too
#
# PYTHON=... chooses the interpreter.  TORCH=... chooses the build of torch, by default what pip finds; a CPU-only
# build is a tenth of the download:
#
#   make test TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
#
# All else has the versions of requirements/tested.txt; CONSTRAINTS=/dev/null takes the newest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
TORCH ?= torch==2.13.0
CONSTRAINTS ?= requirements/tested.txt
ARGS ?=
DATA ?=
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 1); echo $$((n < 4 ? n : 4)))

VENV := .venv
BIN := $(VENV)/bin
LOG := $(VENV)/setup.log
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# idle threads that spin cost up to 6x on shared cores; a fixed hash seed leaves nothing to the order of sets
export OMP_WAIT_POLICY := PASSIVE
export PYTHONHASHSEED := 0

say = printf '==> %s\n'
# run what follows with its output in the log; on failure show the log's end and the sentence given by the caller
logged = >>$(LOG) 2>&1 || { tail -n 15 $(LOG); printf '\nSet-up stopped: %s\n(full log: $(LOG))\n'
fail = ; exit 1; }

.PHONY: demo test lint docs wheel check-wheel lock benchmarks clean distclean help

demo: $(VENV)/.dev
	@$(say) "demo"
	@$(BIN)/scorefield demo --out out/demo
	@reports=$$(find out/demo -name '*.html' | sort); $(say) $${reports:?the demo wrote no report}

test: $(VENV)/.dev
	@$(say) "tests"
	@$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

lint: $(VENV)/.dev
	@$(say) "ruff check";  $(BIN)/python -m ruff check
	@$(say) "ruff format"; $(BIN)/python -m ruff format --check
	@$(say) "pyright";     $(BIN)/python -m pyright
	@$(say) "imports";     $(BIN)/lint-imports --no-logo --no-cache

docs: $(VENV)/.docs
	@$(say) "documentation"
	@$(BIN)/python -m sphinx -E -W --keep-going -q docs docs/_build/html
	@$(say) "documentation: $(CURDIR)/docs/_build/html/index.html"

wheel: $(VENV)/.torch
	@rm -f dist/scorefield-*.whl
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist . $(logged) \
		"could not build the wheel; check the network, then run make again."$(fail)
	@$(say) "$$(ls -s --block-size=1M dist/scorefield-*.whl) MiB"

check-wheel: wheel
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; wheel=$$(realpath dist/scorefield-*.whl); \
	limits=$$(realpath $(CONSTRAINTS)); $(PYTHON) -m venv "$$folder/env"; cd "$$folder"; \
	env/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH); \
	env/bin/python -m pip install --quiet --disable-pip-version-check --constraint "$$limits" "$$wheel"; \
	env -u PYTHONPATH env/bin/scorefield demo --draws 2 --out demo; ls demo/*.html

lock: $(VENV)/.docs
	@{ sed '/^[^#]/d' requirements/tested.txt; $(BIN)/python -m pip freeze --exclude-editable \
		| grep -viE '^(torch|triton|nvidia[^=]*|cuda[^=]*|setuptools)[= ]'; } >$(VENV)/tested.txt
	@mv $(VENV)/tested.txt requirements/tested.txt
	@$(say) "$$(grep -c == requirements/tested.txt) versions in requirements/tested.txt"

benchmarks: $(VENV)/.dev
	@for script in $$(grep -l '^def main' benchmarks/*.py); do \
		if ! grep -q '"--data"' $$script; then $(say) "$$script"; $(BIN)/python $$script; \
		elif test -n "$(DATA)"; then $(say) "$$script"; $(BIN)/python $$script --data "$(DATA)"; \
		else $(say) "$$script: left out, it needs a folder of images: make benchmarks DATA=folder"; fi; done

clean:
	rm -rf out build dist docs/_build docs/gallery_out .pytest_cache .ruff_cache .hypothesis .benchmarks
	find src tests benchmarks scripts docs -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

# torch first and alone: which build it is (CPU or CUDA) is decided here, and what follows must not change it
$(VENV)/.torch:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found; install python3.11 and its venv module," \
		"or name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(say) "environment in $(VENV) ($$($(PYTHON) --version))"
	@mkdir -p $(VENV) && : >$(LOG)
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) $(logged) \
		"could not create $(VENV); install the venv module (Debian, Ubuntu: apt install python3-venv)."$(fail)
	@$(PIP) "pip>=23.1" $(logged) \
		"pip is too old and could not be replaced; check the network or proxy, then run make again."$(fail)
	@$(say) "torch (up to 3 GB on the first run; make help tells how to get the small CPU build)"
	@$(PIP) $(TORCH) $(logged) \
		"could not install $(TORCH); check network and free space (4 GB), or choose a build with TORCH=."$(fail)
	@touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml $(CONSTRAINTS)
	@$(say) "scorefield and its tools"
	@$(PIP) --constraint $(CONSTRAINTS) -e ".[dev]" $(logged) \
		"could not install scorefield[dev]; check the network and free space, then run make again."$(fail)
	@touch $@

$(VENV)/.docs: $(VENV)/.dev
	@$(say) "documentation tools"
	@$(PIP) --constraint $(CONSTRAINTS) -e ".[docs]" $(logged) \
		"could not install scorefield[docs]; check the network and free space, then run make again."$(fail)
	@touch $@
