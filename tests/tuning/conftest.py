"""What all tests of the search share in pytest itself."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves the trainings of trials out of the coverage: those of tests/applications have counted their lines."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("no_cover")
