# Two commands: `make demo` does the main job on a simulated service, `make test` installs and runs all tests.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test browser fast lint docs schema matrix lock clean help

help:
	@echo "make demo   write and run the demo in demo/"
	@echo "make test   lint, types, import contracts, docs, all tests"
	@echo "make fast   the tests without the slow ones and the browser"
	@echo "make docs   build the docs site into site/"
	@echo "make matrix write what every rule says of a clean, a faulty and a blind study into the docs"
	@echo "make lock   renew requirements/*.lock (needs uv)"

demo: $(VENV)/run.stamp
	$(BIN)/rankcast demo demo

test: browser $(VENV)/dev.stamp $(VENV)/rectools.stamp $(VENV)/mlflow.stamp $(VENV)/s3.stamp lint docs
	$(BIN)/python -m pytest -n auto

# The tests open reports in a Chromium, and one peer is a Perl program: installed where that can be done, else said to be missing.
browser:
	@missing=""; \
	command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || missing="chromium fonts-dejavu-core"; \
	command -v perl >/dev/null 2>&1 || missing="$$missing perl"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ]; then \
	  echo "installing $$missing"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else echo "not here: $$missing; the tests that need it are skipped (on Debian, as root: apt-get install $$missing)"; fi

fast: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -n auto -m "not slow and not browser"

lint: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/dev.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

schema: $(VENV)/run.stamp
	$(BIN)/rankcast schema service > examples/schema/service.json
	$(BIN)/rankcast schema study > examples/schema/study.json
	$(BIN)/rankcast schema online_test > examples/schema/online_test.json

matrix: $(VENV)/dev.stamp
	rm -rf .matrix && mkdir .matrix
	RANKCAST_WRITE_MATRIX=$(CURDIR)/.matrix $(BIN)/python -m pytest -n auto -q tests/test_rules.py
	sed -i '/^| \[[A-Z][A-Z][0-9][0-9]\]/d' docs/guide/rules-matrix.md
	for row in .matrix/*; do cat $$row >> docs/guide/rules-matrix.md; echo >> docs/guide/rules-matrix.md; done
	rm -rf .matrix

lock:
	uv pip compile pyproject.toml --extra build --universal --python-version 3.11 --generate-hashes --no-header -q -o requirements/run.lock
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-header -q -o requirements/dev.lock
	uv pip compile pyproject.toml --extra build --extra http --extra s3 --extra serve --universal --python-version 3.11 --generate-hashes --no-header -q -o requirements/image.lock
	uv pip compile requirements/mlflow.in --universal --python-version 3.11 --generate-hashes --no-header -q -o requirements/mlflow.lock
	uv pip compile requirements/s3.in --universal --python-version 3.11 --generate-hashes --no-header -q -o requirements/s3.lock
	uv pip compile requirements/rectools.in --universal --python-version 3.11 --generate-hashes --no-header -q -o requirements/rectools.lock

clean:
	rm -rf $(VENV) demo site .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit("Rankcast needs Python 3.11 or newer, found " + sys.version.split()[0] + "; say which with make PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/run.stamp: $(VENV)/python.stamp requirements/run.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@

# RecTools needs another NumPy than Rankcast, so this peer has an environment of its own.
$(VENV)/rectools.stamp: $(VENV)/python.stamp requirements/rectools.lock
	$(PYTHON) -m venv $(VENV)/rectools
	$(VENV)/rectools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/rectools.lock
	@touch $@

# The server of a model registry is far larger than its client: it runs from an environment of its own.
$(VENV)/mlflow.stamp: $(VENV)/python.stamp requirements/mlflow.lock
	$(PYTHON) -m venv $(VENV)/mlflow
	$(VENV)/mlflow/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/mlflow.lock
	@touch $@

# An S3 server for the tests of object storage, from an environment of its own.
$(VENV)/s3.stamp: $(VENV)/python.stamp requirements/s3.lock
	$(PYTHON) -m venv $(VENV)/s3
	$(VENV)/s3/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/s3.lock
	@touch $@
