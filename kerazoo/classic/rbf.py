"""Radial-basis-function network: local units around centres, read out linearly.

D. S. Broomhead, D. Lowe, "Multivariable functional interpolation and adaptive networks", Complex Systems 2, 1988.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import layers

from kerazoo import blocks, checks
from kerazoo.catalog import register_model
from kerazoo.layers.gaussian_rbf import GaussianRBF

if TYPE_CHECKING:
    import numpy as np


@register_model
def rbf(
    input_shape: Sequence[int] = (784,),
    num_outputs: int = 10,
    *,
    centres: Any = 100,
    width: float | None = None,
    width_factor: float = 1.0,
    trainable_centres: bool = False,
    trainable_widths: bool = False,
    output_activation: Any = None,
    include_preprocessing: bool | tuple[float, float] = False,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "rbf",
) -> keras.Model:
    """Gaussian units around fixed centres, and a linear read-out with a bias.

    The centres belong to data: choose them with `kerazoo.classic.rbf.choose_centres`, and either solve the
    read-out by least squares with `solve_readout`, as the paper does, or train it by gradient with `fit`.

    Args:
        input_shape: Shape of one input without the batch axis; more than one axis is flattened, so images
            work too.
        centres: The centres, an array (units, features); or their number, for standard normal ones that
            `set_centres` can replace later.
        width: Standard deviation of every Gaussian; `None` for the heuristic d_max / sqrt(2 units), with d_max
            the largest distance between two centres.
        width_factor: Factor on the heuristic: its Gaussians leave holes between them in many dimensions.
        trainable_centres: Whether `fit` moves the centres.
        trainable_widths: Whether `fit` changes the widths, one per unit.

    Returns:
        A flat functional `keras.Model`, (batch, *input_shape) -> (batch, num_outputs).

    Example:
        >>> model = kerazoo.rbf((13,), 1, centres=choose_centres(x, 20))
        >>> solve_readout(model, x, y)

    References:
        Broomhead, Lowe (1988), https://www.complex-systems.com/abstracts/v02_i03_a05/; the heuristic for the
        width is that of Haykin, "Neural Networks" (1999), section 5.13
    """
    sizes = checks.shape(input_shape, ranks=())
    if None in sizes:
        raise ValueError(f"input_shape of rbf must be fixed, since it is flattened. Received: {input_shape!r}")
    num_outputs = checks.positive_int("num_outputs", num_outputs)
    number = hasattr(centres, "__index__") and not getattr(centres, "ndim", 0)  # an array has __index__, too
    given = None if number else _checked_centres(centres, math.prod(int(n) for n in sizes if n))
    units = checks.positive_int("centres", centres) if given is None else len(given)
    if width is not None:
        _positive("width", width)
    _positive("width_factor", width_factor)
    checks.flag("trainable_centres", trainable_centres)
    checks.flag("trainable_widths", trainable_widths)
    checks.activation("output_activation", output_activation)

    inputs, x = blocks.image_input(sizes, include_preprocessing)
    if len(sizes) > 1:
        x = layers.Flatten(data_format="channels_last", name="flatten")(x)
    hidden = GaussianRBF(
        units,
        trainable_centres=trainable_centres,
        trainable_widths=trainable_widths,
        centres_initializer=keras.initializers.RandomNormal(stddev=1.0),
        name="hidden",
    )
    outputs = layers.Dense(num_outputs, activation=output_activation, dtype="float32", name="predictions")(hidden(x))
    model = keras.Model(inputs, outputs, name=name)
    set_centres(model, hidden.centres if given is None else given, width, width_factor)
    return model


def choose_centres(x: Any, units: int, method: str = "k-means", seed: int = 0) -> np.ndarray:
    """Chooses the centres of an RBF network from its training inputs.

    Args:
        x: Training inputs (samples, *input_shape).
        units: Number of centres.
        method: `"k-means"` for the means of clusters, `"data"` for that many of the inputs themselves, drawn
            without repetition (all of them, in their order, where `units` is their number).
        seed: Fixes the choice.

    Returns:
        Array (units, features), float32.

    Raises:
        ValueError: If there are fewer samples than centres.

    Example:
        >>> choose_centres([[0.1 * k] * 13 for k in range(40)], 20).shape
        (20, 13)
    """
    import numpy as np

    checks.one_of("method", method, ("k-means", "data"))
    points = np.asarray(x, "float32").reshape(len(x), -1)
    if checks.positive_int("units", units) > len(points):
        raise ValueError(f"units must be at most the number of samples, {len(points)}. Received: units={units!r}")
    if method == "k-means":
        from sklearn.cluster import KMeans

        return KMeans(units, n_init=4, random_state=seed).fit(points).cluster_centers_.astype("float32")
    if units == len(points):
        return points.copy()
    return points[np.sort(np.random.default_rng(seed).choice(len(points), units, replace=False))]


def heuristic_width(centres: Any) -> float:
    """Returns d_max / sqrt(2 units), with d_max the largest distance between two centres; 1 for a single centre."""
    import numpy as np
    from scipy.spatial.distance import pdist

    points = np.asarray(centres, "float64")
    largest = pdist(points).max(initial=0.0)
    return float(largest / math.sqrt(2 * len(points))) or 1.0


def set_centres(model: keras.Model, centres: Any, width: float | None = None, width_factor: float = 1.0) -> None:
    """Gives an RBF network centres, and all its units one width.

    Args:
        model: A model of `kerazoo.rbf`.
        centres: Array (units, features).
        width: Standard deviation; `None` for the heuristic.
        width_factor: Factor on the heuristic.

    Example:
        >>> set_centres(model, choose_centres(x, 20))
    """
    import numpy as np

    hidden = model.get_layer("hidden")
    points = _checked_centres(keras.ops.convert_to_numpy(centres), hidden.centres.shape[1])
    if len(points) != hidden.units:
        raise ValueError(f"centres must have {hidden.units} rows, one per unit. Received: {len(points)}")
    sigma = heuristic_width(points) * width_factor if width is None else width
    hidden.centres.assign(points)
    hidden.widths.assign(np.full(hidden.units, sigma, "float32"))


def solve_readout(model: keras.Model, x: Any, y: Any, l2: float = 0.0) -> None:
    """Solves the read-out of an RBF network by linear least squares; the solution of least norm where many fit.

    Args:
        model: A model of `kerazoo.rbf`.
        x: Inputs (samples, *input_shape).
        y: Targets (samples,) or (samples, num_outputs); where the output has an activation, what this is to be
            applied to (logits).
        l2: Weight of the squared norm of the read-out (bias spared) beside the sum of squared errors.

    Example:
        >>> solve_readout(model, x, y)
    """
    import numpy as np

    l2 = checks.non_negative("l2", l2)
    hidden, readout = keras.Model(model.input, model.get_layer("hidden").output), model.get_layer("predictions")
    parts = [hidden(x[start : start + 1024]) for start in range(0, len(x), 1024)]
    phi = np.concatenate([keras.ops.convert_to_numpy(part) for part in parts]).astype("float64")
    design = np.concatenate([phi, np.ones((len(phi), 1))], axis=1)
    targets = np.asarray(y, "float64").reshape(len(phi), -1)
    if l2:
        penalty = math.sqrt(l2) * np.eye(phi.shape[1], design.shape[1])
        design = np.concatenate([design, penalty])
        targets = np.concatenate([targets, np.zeros((len(penalty), targets.shape[1]))])
    solution = np.linalg.lstsq(design, targets, rcond=None)[0]
    readout.kernel.assign(solution[:-1])
    readout.bias.assign(solution[-1])


def _checked_centres(centres: Any, features: int) -> np.ndarray:
    """Returns centres as a float32 array (units, features)."""
    import numpy as np

    try:
        points = np.asarray(centres, "float32")
    except (TypeError, ValueError):
        points = np.empty(0)
    if points.ndim != 2 or not len(points) or points.shape[1] != features or not np.isfinite(points).all():
        raise ValueError(
            f"centres must be a whole number or a finite array (units, {features}). Received: centres={centres!r:.80}"
        )
    return points


def _positive(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a number above 0. Received: {name}={value!r}")
