"""Between a series in its units and what a network learns: the same operations in training and in the saved model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from applications.datasets.series import SeriesData

FLOOR = 1e-3  # of the training's spread: the least spread of a window


@dataclass(frozen=True)
class SeriesScaling:
    """How windows become inputs of a network, and its outputs forecasts; fitted on the training part alone.

    Attributes:
        differencing: "seasonal": targets are changes from one season to the next, forecasts are counted from the
            seasonal naive forecast with the mean drift of the training. "window": targets are in means and spreads of
            their own window. "none": in those of the training.
        season: Steps in a season.
        horizon: Steps to forecast.
        mean, spread: Of each column (targets, past and future covariates, calendar) in the training part.
        drift, drift_spread: Of the targets' changes over a season.
        covariates: Position of the first future covariate, and their number.
    """

    differencing: str
    season: int
    horizon: int
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    drift: tuple[float, ...]
    drift_spread: tuple[float, ...]
    covariates: tuple[int, int]

    @classmethod
    def fit(cls, data: SeriesData, differencing: str) -> SeriesScaling:
        """Takes means and spreads from the rows of the training part."""

        count, plain = len(data.targets), 2 * len(data.cycles)
        rows = data.values[: data.ends[0]]
        mean, spread = rows.mean(axis=0), rows.std(axis=0)
        if plain:  # sine and cosine are on a scale of their own
            mean[-plain:], spread[-plain:] = 0.0, 1.0
        targets = rows[:, :count]
        change = targets[data.season :] - targets[: -data.season]
        return cls(
            differencing=differencing,
            season=data.season,
            horizon=data.horizon,
            mean=tuple(mean.tolist()),
            spread=_positive(spread),
            drift=tuple(change.mean(axis=0).tolist()) if len(change) else (0.0,) * count,
            drift_spread=_positive(change.std(axis=0)) if len(change) else (1.0,) * count,
            covariates=(count + len(data.past), len(data.future)),
        )

    @property
    def count(self) -> int:
        """Number of targets."""
        return len(self.drift)

    def width(self) -> int:
        """Features per step of the network's input."""
        return len(self.mean) + self.covariates[1]

    def length(self, context: int) -> int:
        """Steps of the network's input for a context."""
        return context - self.season if self.differencing == "seasonal" else context

    def inputs(self, past: Any, future: Any) -> Any:
        """Returns what the network sees (batch, steps, features).

        Args:
            past: Windows in units (batch, context, columns), arrays or symbolic tensors.
            future: Future covariates (batch, horizon, covariates); None where there are none. At each step the network
                sees their value a horizon later, too.
        """
        from keras import ops

        count, (first, covariates) = self.count, self.covariates
        targets = past[:, :, :count]
        if self.differencing == "seasonal":
            change = targets[:, self.season :] - targets[:, : -self.season]
            parts = [_standardised(change, self.drift, self.drift_spread)]
        elif self.differencing == "window":
            parts = [(targets - self.anchor(past)[:, :1]) / self.unit(past)]
        else:
            parts = [_standardised(targets, self.mean[:count], self.spread[:count])]
        skip = self.season if self.differencing == "seasonal" else 0
        if len(self.mean) > count:
            parts.append(_standardised(past[:, skip:, count:], self.mean[count:], self.spread[count:]))
        if covariates:
            known = ops.concatenate([past[:, :, first : first + covariates], future], axis=1)
            later = known[:, self.horizon + skip :]
            place = slice(first, first + covariates)
            parts.append(_standardised(later, self.mean[place], self.spread[place]))
        return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)

    def anchor(self, past: Any) -> Any:
        """Returns what forecasts are counted from, in units (batch, horizon, targets), or (batch, 1, targets)."""
        from keras import ops

        targets = past[:, :, : self.count]
        if self.differencing == "window":
            return ops.mean(targets, axis=1, keepdims=True)
        if self.differencing == "none":
            return ops.zeros_like(targets[:, :1]) + _row(self.mean[: self.count])
        last = targets[:, targets.shape[1] - self.season :]
        rounds = -(-self.horizon // self.season)
        seasons = [last + _row(self.drift) * float(number) for number in range(1, rounds + 1)]
        whole = seasons[0] if rounds == 1 else ops.concatenate(seasons, axis=1)
        return whole[:, : self.horizon]

    def unit(self, past: Any) -> Any:
        """Returns the unit of the network's outputs, (batch, 1, targets) or (1, 1, targets)."""
        from keras import ops

        if self.differencing == "seasonal":
            return _row(self.drift_spread)
        spread = _row(self.spread[: self.count])
        if self.differencing == "none":
            return spread
        targets = past[:, :, : self.count]
        deviation = targets - ops.mean(targets, axis=1, keepdims=True)
        return ops.sqrt(ops.mean(ops.square(deviation), axis=1, keepdims=True)) + FLOOR * spread

    def learnt(self, truth: Any, past: Any) -> Any:
        """Returns true values (batch, horizon, targets) as the network learns them, (batch, horizon * targets)."""
        from keras import ops

        scaled = (truth - self.anchor(past)) / self.unit(past)
        return ops.reshape(scaled, (-1, self.horizon * self.count))

    def in_units(self, outputs: Any, past: Any, quantiles: int) -> Any:
        """Returns outputs (batch, horizon * targets * quantiles) as forecasts (batch, horizon, targets, quantiles).

        Quantiles are sorted: a network may let neighbouring ones cross.
        """
        from keras import ops

        shaped = ops.reshape(outputs, (-1, self.horizon, self.count, quantiles))
        if quantiles > 1:
            shaped = ops.sort(shaped, axis=-1)
        # Indexed rather than `expand_dims`, which would make tensors of arrays: those cannot be exported to ONNX.
        return self.anchor(past)[..., None] + shaped * self.unit(past)[..., None]


def _positive(spread: Any) -> tuple[float, ...]:
    return tuple((spread + (spread == 0)).tolist())


def _row(values: tuple[float, ...]) -> Any:
    """Returns one number per column as an array that broadcasts over batch and time."""
    import numpy as np

    return np.array(values, np.float32).reshape(1, 1, -1)


def _standardised(x: Any, mean: tuple[float, ...], spread: tuple[float, ...]) -> Any:
    return (x - _row(mean)) / _row(spread)
