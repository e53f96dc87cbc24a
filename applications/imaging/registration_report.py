"""What is said about a registration: overlap of labels, likeness, folds; checkerboards, grids and maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kerazoo.metrics import registration as scores

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure as Picture

    from applications.core.report import Result
    from applications.datasets.registration_pairs import RegistrationData
    from applications.image_registration import ImageRegistration

SHOWN = 4
MOST_LABELS = 30


class Registered(NamedTuple):
    """One test pair after a registration, without what was added to its sides.

    Attributes:
        moved: (H, W, C), what became of the moving image.
        field: (H, W, 2) displacements in pixels.
    """

    moved: np.ndarray
    field: np.ndarray


def caller(model: keras.Model) -> Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]:
    """Returns a function from two images (H, W, C), in pixels, to what the model says about them."""
    import tensorflow as tf

    run = tf.function(lambda pair: model(pair, training=False), autograph=False, reduce_retracing=True)

    def call(moving: np.ndarray, fixed: np.ndarray) -> dict[str, np.ndarray]:
        pair = {"moving": moving, "fixed": fixed}
        found = run({name: tf.constant(image[None], tf.float32) for name, image in pair.items()})
        return {name: np.asarray(value)[0] for name, value in found.items()}

    return call


def registered(model: keras.Model, datasets: RegistrationData) -> list[Registered]:
    """Returns the test pairs as the model lays them on each other."""
    call, (height, width) = caller(model), datasets.size
    found = []
    for pair in datasets.split["test"]:
        result = call(*(datasets.images[index] for index in datasets.pairs[pair]))
        found.append(Registered(result["moved"][:height, :width], result["field"][:height, :width]))
    return found


def unregistered(datasets: RegistrationData) -> list[Registered]:
    """Returns the test pairs as they are."""
    height, width = datasets.size
    still = np.zeros((height, width, 2), np.float32)
    chosen = datasets.pairs[datasets.split["test"], 0]
    return [Registered(datasets.images[index][:height, :width], still) for index in chosen]


def shifted(datasets: RegistrationData) -> list[Registered]:
    """Returns the test pairs after the shift by whole pixels that phase correlation finds."""
    height, width = datasets.size
    found = []
    for pair in datasets.split["test"]:
        moving, fixed = (datasets.images[index][:height, :width].mean(axis=-1) for index in datasets.pairs[pair])
        spectrum = np.fft.fft2(moving - moving.mean()) * np.conj(np.fft.fft2(fixed - fixed.mean()))
        peak = np.fft.ifft2(spectrum / np.maximum(np.abs(spectrum), 1e-12)).real
        place = np.array(np.unravel_index(np.argmax(peak), peak.shape), float)
        place -= np.where(place > np.array(peak.shape) / 2, peak.shape, 0)
        field = np.broadcast_to(place, (height, width, 2)).astype(np.float32)
        image = datasets.images[datasets.pairs[pair, 0]][:height, :width]
        found.append(Registered(scores.warp_image(image.astype(np.float32), field), field))
    return found


def headline(datasets: RegistrationData) -> str:
    """Returns the main metric's name: the overlap of labels where there are any."""
    return "dice" if datasets.objects is not None else "correlation"


def metrics(datasets: RegistrationData, found: list[Registered]) -> dict[str, float]:
    """Returns the means over the test pairs, by name."""
    rows: dict[str, list[float]] = {"dice": [], "correlation": [], "folded": [], "sd_log_jacobian": [], "error": []}
    for pair, result in zip(datasets.split["test"], found, strict=True):
        fixed = _cut(datasets, datasets.images[datasets.pairs[pair, 1]])
        rows["correlation"].append(float(np.corrcoef(result.moved.ravel(), fixed.ravel())[0, 1]))
        rows["folded"].append(scores.folded_share(result.field))
        rows["sd_log_jacobian"].append(scores.sd_log_jacobian(result.field))
        if datasets.objects is not None:
            rows["dice"].append(scores.mean_label_dice(*_labels(datasets, pair, result.field)))
        if datasets.fields is not None:
            inside = None
            if datasets.objects is not None:
                inside = _cut(datasets, datasets.objects[datasets.pairs[pair, 1]])[..., 0] > 0
            rows["error"].append(scores.endpoint_error(_cut(datasets, datasets.fields[pair]), result.field, inside))
    return {name: float(np.nanmean(values)) for name, values in rows.items() if values}


def _cut(datasets: RegistrationData, image: np.ndarray) -> np.ndarray:
    return image[: datasets.size[0], : datasets.size[1]]


def _labels(datasets: RegistrationData, pair: int, field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the fixed image's labels, and the moving one's after the deformation."""
    assert datasets.objects is not None
    moving, fixed = (_cut(datasets, datasets.objects[index])[..., 0] for index in datasets.pairs[pair])
    return fixed, scores.warp_labels(moving, field)


def report(application: ImageRegistration, model: keras.Model, datasets: RegistrationData) -> Result:
    """Judges the trained model on the test pairs."""
    from applications.core.report import Figure, Result, Table

    found = registered(model, datasets)
    ways = {
        "as they are": unregistered(datasets),
        "shifted (phase correlation)": shifted(datasets),
        application.model: found,
    }
    results = {name: metrics(datasets, way) for name, way in ways.items()}
    names = list(results[application.model])
    rows = [(name, *(values[key] for key in names)) for name, values in results.items()]
    tables = [Table("Test pairs", ("images", *map(_title, names)), rows, _explained(names))]
    if datasets.objects is not None:
        tables.append(_per_label(datasets, ways, application.model))
    moved = any(scores.moves(result.field) for result in found)
    notes = [] if moved else [
        "Nothing moved: no displacement is above 0.1 pixels. Train longer, with a larger --learning-rate or a smaller "
        "--smoothness, or see whether the images have anything in common."
    ]  # fmt: skip
    worst = np.argsort([_likeness(datasets, pair, r) for pair, r in zip(datasets.split["test"], found, strict=True)])
    others = [place for place in range(len(found)) if place != worst[0]]
    shown = [*others[: SHOWN - 1], int(worst[0])]
    pictures = [
        Figure("pairs", "Test pairs before and after", _panels(datasets, found, shown), _PANELS_NOTE),
        Figure("grids", "Deformed grids and what they do to areas", _grids(datasets, found, shown), _GRIDS_NOTE),
    ]
    return Result(
        metrics=results[application.model],
        headline=headline(datasets),
        tables=tables,
        figures=pictures,
        notes=notes,
        commands=["predict {run} MOVING FIXED -o registered/"],
    )


_PANELS_NOTE = (
    "Checkerboards have the fixed image in one half of the fields and the other image in the other half: outlines that "
    "run on lie on each other. The last row is the pair that fits worst."
)
_GRIDS_NOTE = (
    "A regular grid of the fixed image, drawn where its points come from, and the Jacobian determinant: 1 keeps areas, "
    "2 takes them from twice the area, 0 and less would be a fold."
)


def _title(name: str) -> str:
    titles = {
        "error": "field error in px",
        "folded": "folded share",
        "sd_log_jacobian": "sd log J",
        "dice": "label Dice",
    }
    return titles.get(name, name)


def _explained(names: list[str]) -> str:
    parts = [
        "Correlation of the pixels' brightness; share of pixels at which the deformation folds; spread of the "
        "logarithm of the Jacobian determinant."
    ]
    if "dice" in names:
        parts.append("Label Dice is the mean over labels, without the background, and pairs.")
    if "error" in names:
        parts.append("The field's error is the mean distance to the known one, inside labels where there are any.")
    return " ".join(parts)


def _likeness(datasets: RegistrationData, pair: int, result: Registered) -> float:
    if datasets.objects is not None:
        return scores.mean_label_dice(*_labels(datasets, pair, result.field))
    fixed = _cut(datasets, datasets.images[datasets.pairs[pair, 1]])
    return float(np.corrcoef(result.moved.ravel(), fixed.ravel())[0, 1])


def _per_label(datasets: RegistrationData, ways: dict[str, list[Registered]], model: str) -> Any:
    from applications.core.report import Table

    found: dict[str, dict[int, list[float]]] = {}
    for name, way in ways.items():
        dice: dict[int, list[float]] = {}
        for pair, result in zip(datasets.split["test"], way, strict=True):
            for label, score in scores.label_dice(*_labels(datasets, pair, result.field)).items():
                dice.setdefault(label, []).append(score)
        found[name] = dice
    labels = sorted(found[model])
    rows = [
        (label, len(found[model][label]), *(float(np.mean(dice.get(label, [np.nan]))) for dice in found.values()))
        for label in labels[:MOST_LABELS]
    ]
    note = "" if len(labels) <= MOST_LABELS else f"The first {MOST_LABELS} of {len(labels)} labels."
    return Table("Dice of each label", ("label", "pairs", *found), rows, note)


def checkerboard(first: np.ndarray, second: np.ndarray, fields: int = 8) -> np.ndarray:
    """Returns an image that has fields of the first and of the second image by turns.

    Args:
        first: (H, W, C).
        second: The same.
        fields: Fields along the longer side.
    """
    side = max(1, -(-max(first.shape[:2]) // fields))
    rows, columns = np.ogrid[: first.shape[0], : first.shape[1]]
    chosen = ((rows // side + columns // side) % 2 == 0)[..., None]
    return np.where(chosen, first, second)


def _panels(datasets: RegistrationData, found: list[Registered], shown: list[int]) -> Picture:
    from applications.core.figures import image_grid

    low, high = datasets.limits
    images, titles = [], []
    for place in shown:
        pair = datasets.split["test"][place]
        moving, fixed = (_cut(datasets, datasets.images[i]).astype(np.float32) for i in datasets.pairs[pair])
        moved, name = found[place].moved, datasets.pair_name(pair)
        panels = [moving, fixed, moved, checkerboard(fixed, moving), checkerboard(fixed, moved)]
        images += [np.clip((panel - low) / (high - low), 0, 1) for panel in panels]
        titles += [f"{name}\nmoving", "fixed", "moved", "fixed and moving", "fixed and moved"]
    return image_grid(images, titles, columns=5)


def _grids(datasets: RegistrationData, found: list[Registered], shown: list[int]) -> Picture:
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(2.4 * len(shown), 4.9), layout="constrained")
    for column, place in enumerate(shown):
        field = found[place].field
        height, width = field.shape[:2]
        step = max(2, max(height, width) // 24)
        y, x = np.mgrid[:height, :width]
        y, x = y + field[..., 0], x + field[..., 1]
        axes = canvas.add_subplot(2, len(shown), column + 1)
        axes.plot(x[::step].T, y[::step].T, color="#0072b2", linewidth=0.6)
        axes.plot(x[:, ::step], y[:, ::step], color="#0072b2", linewidth=0.6)
        axes.set_title(datasets.pair_name(datasets.split["test"][place]), fontsize=8, parse_math=False)
        axes.invert_yaxis()
        axes.set_aspect("equal")
        axes.axis("off")
        axes = canvas.add_subplot(2, len(shown), len(shown) + column + 1)
        drawn = axes.imshow(scores.jacobian_determinant(field), cmap="coolwarm", vmin=0, vmax=2)
        axes.axis("off")
    canvas.colorbar(drawn, ax=canvas.axes[1::2], shrink=0.7, label="Jacobian determinant")
    return canvas
