"""Time series that need no network: two real ones that come with statsmodels."""

from __future__ import annotations

import importlib
from datetime import datetime

from applications.core.errors import UserError
from applications.datasets.series_files import Table, mended
from applications.datasets.time_axis import axis_of

_DESCRIPTIONS = {
    "co2": "Real weekly carbon dioxide in the air over Mauna Loa, 1958 to 2001, in ppm (Keeling and Whorf, from "
    "statsmodels).",
    "sunspots": "Real yearly sunspot numbers, 1700 to 2008 (NOAA, from statsmodels).",
}
# Context, horizon and season in steps; the end of the series is for validation and test.
_RECIPES = {
    "co2": {"context": 208, "horizon": 52, "season": 52, "val_length": 208, "test_length": 208},
    "sunspots": {"context": 44, "horizon": 11, "season": 11, "val_length": 44, "test_length": 66},
}


def embedded_series(name: str) -> tuple[Table, str, dict[str, int]]:
    """Returns table, description and sizes of `co2` or `sunspots`.

    Raises:
        UserError: statsmodels is not installed.
    """
    import numpy as np

    try:
        frame = importlib.import_module(f"statsmodels.datasets.{name}").load_pandas().data
    except ImportError:
        raise UserError(
            f"Data set {name!r} comes with statsmodels, which is not installed: pip install 'kerazoo[forecast]'."
        ) from None
    if name == "co2":
        times, values = [time.to_pydatetime() for time in frame.index], frame["co2"]
    else:
        times, values = [datetime(int(year), 1, 1) for year in frame["YEAR"]], frame["SUNACTIVITY"]
    axis, places = axis_of(times, [f"row {row}" for row in range(len(times))], "%Y-%m-%d" if name == "co2" else "%Y")
    column = np.asarray(values, np.float64)
    lines = {int(row): f"row {row}" for row in places}
    return mended(axis, {name: column}, {"targets": (name,)}, len(column), lines), _DESCRIPTIONS[name], _RECIPES[name]
