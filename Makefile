# Two commands do everything: `make run` and `make test`. See README.md.

PYTHON ?= python3
CORES ?= all
CONFIG ?= config.yaml
BIN := .venv/bin
SNAKEMAKE := $(BIN)/snakemake
TORCH := $(shell grep '^torch==' requirements.lock)

.PHONY: run test report lint setup clean

run: setup
	$(SNAKEMAKE) --cores $(CORES) --configfile $(CONFIG)
	@$(BIN)/python -m workflow_scripts.show_summary $(CONFIG)

test: .venv/tests-installed
	$(BIN)/python -m pytest

report: run
	$(SNAKEMAKE) --cores 1 --configfile $(CONFIG) --report results/snakemake_report.html

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(SNAKEMAKE) --lint

setup: .venv/installed

# torch first and with its dependencies, so that a CUDA machine gets the CUDA build and what that
# build needs; the lock constrains both steps.
.venv/installed: requirements.lock
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v == (3, 11) else "error: Python %d.%d found; WildTalker needs Python 3.11 (make PYTHON=python3.11 ...)" % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint requirements.lock $(TORCH)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --requirement requirements.lock
	@touch $@

.venv/tests-installed: .venv/installed requirements-test.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --requirement requirements-test.lock
	@touch $@

clean:
	rm -rf results .snakemake
