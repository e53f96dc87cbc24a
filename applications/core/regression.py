"""What all tasks that predict numbers share: targets in standard units, figures of merit, pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError, nearest

if TYPE_CHECKING:
    import keras
    import numpy as np

    from applications.core.report import Figure, Table

LOSSES = ("mean_squared_error", "mean_absolute_error", "root_mean_squared_error", "huber")


@dataclass(frozen=True)
class TargetScale:
    """Mean and spread of the training targets; the network learns (y - mean) / spread.

    Attributes:
        mean, spread: one number per target.
    """

    mean: tuple[float, ...]
    spread: tuple[float, ...]

    @classmethod
    def fit(cls, targets: np.ndarray) -> TargetScale:
        """Takes mean and standard deviation from training targets (samples, K)."""
        spread = targets.std(axis=0)
        return cls(tuple(targets.mean(axis=0).tolist()), tuple((spread + (spread == 0)).tolist()))

    def standardised(self, targets: np.ndarray) -> np.ndarray:
        """Returns targets (samples, K) as the network learns them, float32."""
        import numpy as np

        return ((targets - np.array(self.mean)) / np.array(self.spread)).astype(np.float32)

    def in_units(self, output: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the network's output in the units of the targets; a built-in layer that every export knows."""
        from keras import layers

        return layers.Rescaling(list(self.spread), list(self.mean), dtype="float32", name="units")(output)


def make_regression_loss(name: str) -> Any:
    """Returns a loss for numbers by name, one of `LOSSES`; "auto" is the mean squared error."""
    if name == "root_mean_squared_error":
        return root_mean_squared_error
    from applications.core.optimization import make_loss

    return make_loss("mean_squared_error" if name == "auto" else name)


def check_loss(name: str, allowed: Sequence[str], what: str) -> None:
    """Raises UserError unless a loss is "auto" or one of `allowed`."""
    if name != "auto" and name not in allowed:
        raise UserError(
            f"loss: expected auto, {', '.join(allowed)} for {what}, received {name!r}.{nearest(name, allowed)}"
        )


def root_mean_squared_error(targets: Any, outputs: Any) -> Any:
    """Root of the mean squared error of a batch."""
    from keras import ops

    # Its gradient is infinite where the error is zero.
    return ops.sqrt(ops.mean(ops.square(ops.cast(targets, outputs.dtype) - outputs)) + 1e-12)


def regression_metrics(targets: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Returns RMSE, MAE and R2 in the units of the targets; several targets have theirs one by one.

    Args:
        targets: True values (samples, K).
        predicted: The same for the predictions.
        names: Names of the K targets.

    Returns:
        `rmse`, `mae` and `r2` of one target; of several `r2`, their mean, and `rmse_NAME`, `mae_NAME`, `r2_NAME`.
    """
    import numpy as np

    rows = {}
    for index, name in enumerate(names):
        error = predicted[:, index] - targets[:, index]
        variance = np.square(targets[:, index] - targets[:, index].mean()).mean()
        rows[name] = {
            "rmse": float(np.sqrt(np.square(error).mean())),
            "mae": float(np.abs(error).mean()),
            "r2": float(1 - np.square(error).mean() / variance) if variance else float("nan"),
        }
    if len(names) == 1:
        return rows[names[0]]
    mean = {"r2": float(np.mean([row["r2"] for row in rows.values()]))}
    return mean | {f"{metric}_{name}": value for name, row in rows.items() for metric, value in row.items()}


def headline(names: Sequence[str]) -> str:
    """Returns the main figure of merit: targets of different units have only R2 in common."""
    return "rmse" if len(names) == 1 else "r2"


def worst_table(
    targets: np.ndarray, predicted: np.ndarray, ids: Sequence[str], names: Sequence[str], count: int = 10
) -> Table:
    """Returns the samples with the largest errors, in spreads of their target, the worst first."""
    import numpy as np

    from applications.core.report import Table

    errors = np.abs(predicted - targets) / (targets.std(axis=0) + (targets.std(axis=0) == 0))
    order = np.argsort(-errors.max(axis=1), kind="stable")[:count]
    rows: list[tuple[Any, ...]] = []
    for index in order:
        column = int(errors[index].argmax())
        true, found = float(targets[index, column]), float(predicted[index, column])
        rows.append((ids[index], names[column], true, found, found - true))
    return Table("Largest errors", ("sample", "target", "true", "predicted", "error"), rows)


def regression_figures(targets: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> list[Figure]:
    """Returns predicted against true values, and the residuals."""
    from applications.core.report import Figure

    return [
        Figure(
            "predicted_against_true",
            "Predicted against true values of the test split",
            _panels(targets, predicted, names, residuals=False),
            "On the dashed line they are equal.",
        ),
        Figure(
            "residuals",
            "Residuals of the test split",
            _panels(targets, predicted, names, residuals=True),
            "Predicted minus true: a trend or a fan says what the model has not learnt.",
        ),
    ]


def _panels(targets: np.ndarray, predicted: np.ndarray, names: Sequence[str], *, residuals: bool) -> Any:
    import numpy as np
    from matplotlib.figure import Figure

    from applications.core.figures import TRAIN, short

    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.6 * rows), layout="constrained")
    for index, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, index + 1)
        true, found = targets[:, index], predicted[:, index]
        x, y = (found, found - true) if residuals else (true, found)
        axes.scatter(x, y, s=12, alpha=0.6, color=TRAIN, linewidths=0)
        if residuals:
            axes.axhline(0, color="#777777", linewidth=1, linestyle="--")
        else:
            ends = [float(np.min([true, found])), float(np.max([true, found]))]
            axes.plot(ends, ends, color="#777777", linewidth=1, linestyle="--")
        axes.set_xlabel("predicted" if residuals else "true")
        axes.set_ylabel("predicted - true" if residuals else "predicted")
        axes.set_title(short(name, 40), loc="left", parse_math=False)
        axes.grid(alpha=0.25)
    return figure
