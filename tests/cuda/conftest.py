"""All tests of this folder carry the mark `cuda`, and are skipped without numba-cuda."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items):
    from fastrnn.cuda.intrinsics import missing  # not before numba's cache folder is chosen

    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.cuda)
            if missing:
                item.add_marker(pytest.mark.skip(reason=missing))
