# Each target builds what it needs in its own .venv; a changed pyproject.toml installs again.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
OUT ?= report

.PHONY: report test lint pytest lanes test-peers tiny-report format clean

report: $(VENV)/.report
	$(BIN)/rnn-vs-tdnn run --quick --out $(OUT)

test: lint pytest lanes

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

pytest: $(VENV)/.test
	$(BIN)/pytest -n 2 -m "not peers"

# The same kernels without the compiler, and with every index checked.
lanes: $(VENV)/.test
	NUMBA_DISABLE_JIT=1 $(BIN)/pytest -m "lanes and not peers" tests
	NUMBA_BOUNDSCHECK=1 $(BIN)/pytest -n 2 -m "lanes and not peers" tests

test-peers: $(VENV)/.peers
	$(BIN)/pytest -n 2 -m peers tests

tiny-report: $(VENV)/.test
	$(BIN)/python -m tests.tiny_report

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.report: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable ".[report,io]"
	touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable ".[report,io,test]"
	touch $@ $(VENV)/.report

# Pinned, and without jax: only what the tests compare with.
$(VENV)/.peers: $(VENV)/.test
	$(PIP) "torch==2.13.0" onnx onnxruntime
	touch $@
