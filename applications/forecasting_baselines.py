"""What forecasts are measured against: the last season again, with and without a drift, and Holt-Winters."""

from __future__ import annotations

import importlib.util
import warnings
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import numpy as np

    from applications.datasets.series import SeriesData

LONGEST = 5000  # rows that Holt-Winters is fitted on

_done: WeakKeyDictionary[SeriesData, dict[tuple, dict[str, np.ndarray]]] = WeakKeyDictionary()


def forecasts(data: SeriesData, origins: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the forecasts (origins, horizon, targets) of each simple method.

    Each sees everything before its origin, as the first user of the method would.
    """
    known, key = _done.setdefault(data, {}), tuple(origins.tolist())
    if key not in known:
        known[key] = _forecasts(data, origins)
    return known[key]


def _forecasts(data: SeriesData, origins: np.ndarray) -> dict[str, np.ndarray]:
    import numpy as np

    count, season, horizon = len(data.targets), data.season, data.horizon
    naive = "naive" if season == 1 else "seasonal naive"
    found: dict[str, list] = {}
    for origin in origins:
        for target in range(count):
            history = data.values[:origin, target]
            methods = {
                naive: seasonal_naive(history, season, horizon),
                f"{naive} with the drift of the last season": seasonal_naive(history, season, horizon, "last"),
                f"{naive} with the mean drift": seasonal_naive(history, season, horizon, "mean"),
            }
            if season == 1:
                del methods["naive with the drift of the last season"]
            smooth = holt_winters(history[-LONGEST:], season, horizon)
            if smooth is not None:
                methods["Holt-Winters" if season > 1 else "Holt's linear trend"] = smooth
            for name, values in methods.items():
                found.setdefault(name, []).append(values)
    whole = {name: rows for name, rows in found.items() if len(rows) == len(origins) * count}
    shape = (len(origins), count, horizon)
    return {name: np.array(rows).reshape(shape).transpose(0, 2, 1) for name, rows in whole.items()}


def seasonal_naive(history: np.ndarray, season: int, horizon: int, drift: str = "none") -> np.ndarray:
    """Returns the last season again.

    Args:
        history: All values before the forecast.
        season: Steps in a season.
        horizon: Steps to forecast.
        drift: What is added per season: "none", the change between the means of the "last" two seasons, or the "mean"
            change over a season in the whole history.
    """
    import numpy as np

    steps = np.arange(horizon)
    again = history[-season:][steps % min(season, len(history))]
    change = 0.0
    if drift == "last" and len(history) >= 2 * season:
        change = history[-season:].mean() - history[-2 * season : -season].mean()
    elif drift == "mean" and len(history) > season:
        change = (history[season:] - history[:-season]).mean()
    return again + change * (steps // season + 1)


def holt_winters(history: np.ndarray, season: int, horizon: int) -> np.ndarray | None:
    """Returns the forecast of exponential smoothing with additive trend and season, by statsmodels.

    None where statsmodels is not installed, or the history is shorter than two seasons.
    """
    if importlib.util.find_spec("statsmodels") is None or len(history) < max(2 * season, 10):
        return None
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    seasonal = {"seasonal": "add", "seasonal_periods": season} if season > 1 else {}
    with warnings.catch_warnings():  # the search for the best parameters ends early now and then
        warnings.simplefilter("ignore")
        return ExponentialSmoothing(history, trend="add", **seasonal).fit().forecast(horizon)
