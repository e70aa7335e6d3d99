# Two commands do everything: `make run` and `make test`. See README.md.

PYTHON ?= python3
CORES ?= all
CONFIG ?= config.yaml
BIN := .venv/bin
SNAKEMAKE := $(BIN)/snakemake
TORCH := $(shell grep '^torch==' requirements.lock)
# Of another index, torch's own: https://download.pytorch.org/whl/cpu has a build without CUDA.
TORCH_INDEX ?=
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: run test report lint setup extra clean

run: setup
	$(SNAKEMAKE) --cores $(CORES) --configfile $(CONFIG)
	@$(BIN)/python -m workflow_scripts.show_summary $(CONFIG)

test: .venv/tests-installed
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

report: run
	$(SNAKEMAKE) --cores 1 --configfile $(CONFIG) --report results/snakemake_report.html

lint: .venv/tests-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules workflow
	$(BIN)/mypy
	$(SNAKEMAKE) --lint

setup: .venv/installed

# For occlusion.flow: ptlflow, audio_features: hf and deepspeech, denoiser: deepfilternet, TensorBoard's page.
extra: .venv/extra-installed

# torch first and with its dependencies, so that a CUDA machine gets the CUDA build and what that
# build needs; the lock constrains both steps.
.venv/installed: requirements.lock
	@if $(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; then \
	  $(PYTHON) -m venv .venv; \
	else \
	  echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13; fetching 3.12 with uv"; \
	  { command -v uv > .venv-uv-path || { $(PYTHON) -m venv .venv-uv \
	    && .venv-uv/bin/pip install --quiet --disable-pip-version-check uv \
	    && echo .venv-uv/bin/uv > .venv-uv-path; }; } \
	  && $$(cat .venv-uv-path) venv --quiet --clear --seed --python 3.12 .venv; status=$$?; \
	  rm -rf .venv-uv .venv-uv-path; \
	  [ $$status = 0 ] || { echo "error: no Python 3.12 to be had; install one and say" \
	    "make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }; \
	fi
	$(PIP) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --constraint requirements.lock $(TORCH)
	$(PIP) --no-deps --requirement requirements.lock
	@touch $@

.venv/extra-installed: .venv/installed requirements-extra.lock
	$(PIP) --no-deps --requirement requirements-extra.lock
	@touch $@

.venv/tests-installed: .venv/extra-installed requirements-test.lock
	$(PIP) --no-deps --requirement requirements-test.lock
	$(BIN)/python -m wildtalker_core.pretrained.mediapipe_files
	@touch $@

# The lock of --software-deployment-method conda: Snakemake hands the environment this file alone.
envs/wildtalker.post-deploy.sh: requirements.lock requirements-extra.lock
	@{ echo '# Written by `make $@`: the packages of requirements.lock and requirements-extra.lock.'; \
	  echo 'set -e'; echo 'lock="$$(mktemp)"'; echo "cat > \"\$$lock\" <<'END'"; \
	  grep --no-filename '==' $^; echo END; \
	  echo '# torch first and with its dependencies, as in the Makefile.'; \
	  echo 'pip install --constraint "$$lock" "$$(grep "^torch==" "$$lock")"'; \
	  echo 'pip install --no-deps --requirement "$$lock"'; echo 'rm "$$lock"'; } > $@

clean:
	rm -rf results .snakemake
