"""What all tests of the zoo share in pytest itself."""

from __future__ import annotations

import pytest

import kerazoo


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves repetitions out of the coverage, which makes everything half as slow again.

    Building every model once counts its lines; the other promises, kept for every model of the catalogue, run the same
    ones again. What they need besides is counted by the tests of single models beside them.
    """
    catalogue = set(kerazoo.list_models())
    for item in items:
        values = getattr(item, "callspec", None)
        named = values is not None and any(isinstance(v, str) and v in catalogue for v in values.params.values())
        if named and item.path.name != "test_zoo_build.py":
            item.add_marker("no_cover")
