# Each target builds what it needs in its own .venv; a changed pyproject.toml installs again.
PYTHON ?= python3
VENV ?= .venv
OUT ?= report
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet
PYTEST := $(BIN)/python -m pytest

.PHONY: report test lint pytest lanes test-nojit test-boundscheck test-processors test-cuda test-peers tiny-report bench-smoke gate-proof format clean
.NOTPARALLEL:

report: $(VENV)/.report
	$(BIN)/rnn-vs-tdnn run --quick --out $(OUT)

test: lint pytest lanes

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

pytest: $(VENV)/.test
	$(PYTEST) -n 2 -m "not peers and not gpu and not cuda" --ignore tests/peers --ignore tests/cuda

# The same kernels without the compiler, and with every index checked.
lanes: test-nojit test-boundscheck

test-nojit: $(VENV)/.test
	NUMBA_DISABLE_JIT=1 $(PYTEST) -n 2 -m "lanes and not peers and not gpu" --ignore tests/peers tests

# In a cache of its own: Numba's does not know whether the code in it checks indices.
# BOUNDSCHECK_FOR: variables that name another processor than this one, as in tests/processors.py.
test-boundscheck: $(VENV)/.test
	env -u FASTRNN_TEST_CACHE -u NUMBA_CACHE_DIR NUMBA_BOUNDSCHECK=1 $(BOUNDSCHECK_FOR) $(PYTEST) -n 2 -m "lanes and not peers and not gpu" --ignore tests/peers tests

# The same kernels compiled for other processors, and for this one; what it cannot run is skipped.
PROCESSORS ?= generic haswell host

test-processors: $(VENV)/.test
	$(BIN)/python tests/processors.py $(PROCESSORS)

# The kernels for GPUs, with no GPU: run by an emulator, and compiled for some that are not here.
test-cuda: $(VENV)/.test
	@if test -e $(VENV)/.cuda || { $(PIP) --editable ".[cuda]" && touch $(VENV)/.cuda; }; then \
	  $(PYTEST) -n 2 -m "cuda and not gpu" tests/cuda; \
	else \
	  echo "test-cuda: skipped, the wheels of the extra cuda cannot be installed here (see above)"; \
	fi

# The imports first: with PyTorch or ONNX Runtime broken, the tests would only be skipped.
test-peers: $(VENV)/.peers
	$(BIN)/python -c "import onnx, onnxruntime, torch; assert torch.__version__.startswith('2.13.0')"
	$(PYTEST) -n 2 -m peers tests

# The whole way from the command line to the files, small.
tiny-report: $(VENV)/.report
	$(BIN)/python tests/tiny_report.py

# The asv suite, each benchmark once: it is found, runs, and gives right results.
bench-smoke: $(VENV)/.bench
	PYTHONPATH=. $(BIN)/python tests/bench_smoke.py

# The gate flags planted faults and no unchanged commit; half an hour, PROOF=--small two minutes.
PROOF ?=

gate-proof: $(VENV)/.bench
	PYTHONPATH=. $(BIN)/python tests/gate_proof.py $(PROOF)

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache \
	  build dist

# A stamp instead of the interpreter: an interrupted `venv` is taken up again.
$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.exit("FastRNN needs Python 3.11 or newer: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.report: pyproject.toml | $(VENV)/.made
	$(PIP) --editable ".[report,io]"
	touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/.made
	$(PIP) --editable ".[report,io,test]"
	touch $@ $(VENV)/.report

$(VENV)/.bench: $(VENV)/.report
	$(PIP) --editable ".[report,io,bench]"
	touch $@

# The pinned oracles only, not all peers.
$(VENV)/.peers: $(VENV)/.test
	$(PIP) "torch==2.13.0" onnx onnxruntime
	touch $@
