"""The tasks that are installed, found through the entry-point group `kerazoo.applications`."""

import functools
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from applications.core.errors import UserError, nearest

if TYPE_CHECKING:
    from applications.core.application import Application


@functools.cache
def applications() -> dict[str, EntryPoint]:
    """Returns the entry points of all installed tasks by name."""
    return {point.name: point for point in sorted(entry_points(group="kerazoo.applications"), key=lambda p: p.name)}


def application_class(task: str) -> "type[Application]":
    """Loads the class of a task; raises UserError with the nearest name where there is none."""
    known = applications()
    if task not in known:
        raise UserError(f"Unknown task {task!r}; there are {', '.join(known)}.{nearest(task, known)}")
    return known[task].load()
