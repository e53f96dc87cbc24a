"""What all tests share: folders of their own, and trainings that do not depend on how fast the machine is."""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Iterator

import pytest

from tests import processes


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps the embedded data sets of all workers of this test run in one folder of its own."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    os.environ["TFDS_DATA_DIR"] = str(shared / "tfds")
    os.environ["XDG_CACHE_HOME"] = str(base / "cache")  # where plans of executions are remembered


@pytest.fixture(scope="session", autouse=True)
def no_search_in_what_was_imported() -> None:
    """Keeps the objects of all imports out of every search for garbage, which took a third of a second for them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def no_look_at_the_clock() -> Iterator[None]:
    """Trains as the options say: the fastest way of execution is looked for in the tests of that alone."""
    from applications.core import execution

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "FEWEST_STEPS", math.inf)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_import_of_tensorflow_again() -> Iterator[None]:
    """Exports and searches as everywhere, with forks for new interpreters where these would import TensorFlow."""
    from kerazoo.exporters import measuring, quantization
    from tuning import elsewhere

    with pytest.MonkeyPatch.context() as patch:
        for module in (measuring, quantization, elsewhere):
            patch.setattr(module, "subprocess", processes.Stand)
        yield
