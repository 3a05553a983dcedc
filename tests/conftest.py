"""Each session compiles into a cache of its own: Numba's does not see edits in helper files."""

import os
import shutil
import sys
import tempfile

import pytest


def pytest_configure(config):
    """Make the folder, before anything imports numba; workers and subprocesses inherit it."""
    if hasattr(config, "workerinput") or "FASTRNN_TEST_CACHE" in os.environ:
        return
    if "numba" in sys.modules:
        raise RuntimeError("numba was imported before its cache folder was chosen")
    folder = tempfile.mkdtemp(prefix="fastrnn-cache-")
    os.environ["NUMBA_CACHE_DIR"] = os.environ["FASTRNN_TEST_CACHE"] = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    config.add_cleanup(lambda: os.environ.pop("FASTRNN_TEST_CACHE", None))


@pytest.fixture(autouse=True)
def small_work_is_shared(monkeypatch):
    """Let tests of a few hundred numbers use as many threads as they ask for."""
    from fastrnn import threads  # not before numba's cache folder is chosen

    monkeypatch.setattr(threads, "_WORTH_A_THREAD", 1)
