"""Groups of images that belong together (one patient, one dish, one day) and must not lie in two splits."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from applications.core.errors import UserError, nearest

if TYPE_CHECKING:
    import numpy as np

GROUP_FILE = "groups.csv"


def read_group_file(root: Path, names: Sequence[str]) -> np.ndarray | None:
    """Reads the group of each image from `groups.csv`, rows of `file,group` with or without these words on top.

    Args:
        root: Folder of the data.
        names: Image files relative to `root`, with forward slashes.

    Returns:
        Array of one group name per image, or None where there is no such file.

    Raises:
        UserError: A row without two entries, or an image without a group.
    """
    import numpy as np

    path = root / GROUP_FILE
    if not path.is_file():
        return None
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except UnicodeDecodeError:
        raise UserError(f"File {str(path)!r} is no UTF-8 text; save it as UTF-8.") from None
    for number, row in enumerate(rows, start=1):
        if len(row) != 2 or not all(row):
            raise UserError(f"File {str(path)!r}, row {number}: expected `file,group`, received {','.join(row)!r}.")
    group_of = {file.replace("\\", "/"): group for file, group in rows}
    missing = [name for name in names if name not in group_of]
    if missing:
        raise UserError(
            f"File {str(path)!r} gives no group to {missing[0]!r} ({len(missing)} of {len(names)} images have none)."
            f"{nearest(missing[0], group_of)} Files are named relative to the folder."
        )
    return np.array([group_of[name] for name in names])
