# Two commands: `make demo` runs the main job, `make test` proves the checkout. Each sets itself up.
PYTHON ?= python3
VENV   ?= .venv
DOCS   ?= .venvdocs
PYTHON313 ?= python3.13
BIN    := $(VENV)/bin
# Prefect runs with its own throw-away server, and tells nobody about it.
export PREFECT_SERVER_ANALYTICS_ENABLED = false
export DO_NOT_TRACK = 1
# The site's theme tells of its successor, in colours, at every build.
export NO_MKDOCS_2_WARNING = 1
# Where Python may keep no byte code, every process of a run and of the tests compiles torch anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup chaos demo demo-s3 report-assets format test test-313 test-oldest lint types contracts unit slow docs lock clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## the virtual environment, from the locked and hashed requirements

$(VENV)/.ready: requirements/bootstrap.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "congeal needs Python 3.11 or newer: set PYTHON=python3.11 (found $$($(PYTHON) -V))" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

DEMO = $(BIN)/python scripts/demo.py $(if $(IMAGES),--images "$(IMAGES)") $(if $(DEST),--destination "$(DEST)")

demo: setup ## the main job on the samples (IMAGES=folder for your own)
	@$(DEMO)

demo-s3: setup ## the same through an S3 endpoint, started for it
	@$(DEMO) --s3

format: setup ## order imports, mend what ruff can, lay out the code
	$(BIN)/ruff check --fix-only --exit-zero .
	$(BIN)/ruff format .

test: lint types contracts unit ## everything that must hold before a commit

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy
	$(BIN)/mypy tests/helpers/typed_answers.py
	MYPYPATH=scripts $(BIN)/mypy scripts/method_pose_figures.py scripts/method_map_figures.py

contracts: setup
	$(BIN)/lint-imports

unit: setup
	$(BIN)/pytest

slow: setup ## the tests that take minutes
	$(BIN)/pytest -m slow -n 0

test-313: ## the tests under Python 3.13, in an environment of its own (PYTHON313=python3.13)
	@$(PYTHON313) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null || \
	  { echo "no test was run: $(PYTHON313) is no Python 3.13; give one with PYTHON313=/path/to/python3.13" >&2; exit 1; }
	@$(MAKE) unit PYTHON=$(PYTHON313) VENV=.venv313

chaos: setup ## kill runs at random moments (N=30), flip bits, damage pictures, fail as stores do; what is left?
	$(VENV)/bin/python benchmarks/faults/chaos.py --kills $(or $(N),30)

report-assets: ## the page of the report, from congeal/report/page (needs Node 20 or newer)
	cd congeal/report/page && npm ci --ignore-scripts && npm run --silent check && npm run --silent build

docs: $(DOCS)/.ready ## the site of docs/, into site/; a warning is an error
	$(DOCS)/bin/mkdocs build --strict
	@echo "built: site/index.html"

# The tools of the site alone: the API pages are made from the source text, which is not imported.
$(DOCS)/.ready: requirements/bootstrap.txt requirements/docs.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	$(DOCS)/bin/uv pip install --quiet --python $(DOCS)/bin/python --require-hashes -r requirements/docs.txt
	@touch $@

OLDEST = .venv-oldest/bin

test-oldest: setup ## the tests with the oldest supported dependencies, in an environment of its own
	$(BIN)/uv venv --quiet --allow-existing --python $(PYTHON) .venv-oldest
	$(BIN)/uv pip install --quiet --python $(OLDEST)/python --resolution lowest-direct -r pyproject.toml --group dev
	$(BIN)/uv pip install --quiet --python $(OLDEST)/python --no-deps --no-build-isolation --editable .
	$(OLDEST)/pytest

lock: ## resolve the requirements anew (needs uv)
	uv pip compile requirements/bootstrap.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements/bootstrap.txt
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements/dev.txt
	uv pip compile --group docs --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements/docs.txt

clean:
	rm -rf $(VENV) .venv313 .venv-oldest $(DOCS) site build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
