"""What a translation of images is worth: against the truth where there is one, by its masks, and there and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

    from applications.core.report import Result
    from applications.datasets.domains import Domain, DomainData
    from applications.image_translation import ImageTranslation

HEADLINES = ("mask_iou", "psnr", "cycle_error")


def translator(model: keras.Model, target: dict[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from an image of any size to the one it becomes, in the pixels of the other kind.

    Args:
        model: Pixels in, pixels out.
        target: What is known about the other kind, see `Domain.about`.
    """
    from applications.core.image_predictor import ImagePredictor

    (low, high), dtype = target["limits"], np.dtype(target["dtype"])

    def pixels(found: np.ndarray) -> np.ndarray:
        if target["is_mask"]:
            return np.where(found >= (low + high) / 2, high, low).astype(dtype)
        found = np.clip(found, low, high)
        return (found if dtype.kind == "f" else np.rint(found)).astype(dtype)

    return ImagePredictor(model, finish=pixels)


def report(app: ImageTranslation, model: keras.Model, datasets: DomainData) -> Result:
    """Returns what the report shows of a packaged model."""
    import keras

    from applications.core.report import Result, Table

    directions = [app.direction] if app.needs_pairs else [app.direction, _reverse(app.direction)]
    metrics: dict[str, float] = {}
    tables, shown = [], {}
    for direction in directions:
        sources, found, truths = translated(model, datasets, direction)
        prefix = "" if direction == app.direction else "back_"
        scores = judged(datasets, direction, sources, found, truths)
        metrics |= {prefix + name: value for name, value in scores.items()}
        shown[direction] = sources, found, truths
    if not app.needs_pairs:
        keras.utils.set_random_seed(app.seed)  # so that every evaluation builds the same untrained networks
        fresh = app.packaged(app.build(datasets), datasets)
        trained, untrained = cycle_error(model, datasets), cycle_error(fresh, datasets)
        for name, errors in (("cycle_error", trained), ("untrained_cycle_error", untrained)):
            metrics[name] = float(np.mean(list(errors.values())))
        rows = [(name, trained[name], untrained[name]) for name in trained]
        tables.append(Table("There and back", ("images", "mean error", "mean error of untrained networks"), rows))
    if datasets.paired and any(domain.is_mask for domain in (datasets.a, datasets.b)) and not _both_masks(datasets):
        masks = [("of real images", real_overlap(datasets))]
        for direction in directions:
            masks.append((f"of translated images, {direction}", mask_overlap(datasets, direction, *shown[direction])))
        note = (
            "Masks in images that are no masks are found by a random forest, which learnt from real pairs for training "
            "what a pixel of the foreground looks like, by brightness, slope and curvature around it. What it finds in "
            "the real test images is the mark that translated ones can reach."
        )
        tables.append(Table("Overlap (IoU) of recovered masks with the true ones", ("masks", "IoU"), masks, note))
    headline = next(name for name in HEADLINES if name in metrics)
    notes = [
        f"The range of the pixels of {domain.name} is {domain.limits[1] - domain.limits[0]:g}, from "
        f"{domain.limits[0]:g} to {domain.limits[1]:g}: for PSNR and SSIM, and errors are parts of it."
        for domain in (datasets.a, datasets.b)
    ]
    return Result(
        metrics=metrics, headline=headline, tables=tables, figures=_figures(datasets, model, shown), notes=notes
    )


def scores_of_one_way(app: ImageTranslation, model: Any, datasets: DomainData) -> tuple[str, dict[str, float]]:
    """Returns headline and scores of a model, or a file, that translates in the direction of a task alone.

    Without pairs nobody knows what should come out, and there are none.
    """
    _, target = _ends(datasets, app.direction)
    call, sources = translator(model, target.about()), _test_images(datasets, app.direction)
    truths = _test_images(datasets, _reverse(app.direction)) if datasets.paired else []
    found = judged(datasets, app.direction, sources, [call(image) for image in sources], truths) if truths else {}
    return next((name for name in HEADLINES if name in found), ""), found


def identity(app: ImageTranslation, datasets: DomainData) -> tuple[str, dict[str, float]]:
    """Returns the name and the scores of images that are left as they are."""
    if not datasets.paired or datasets.a.images.channels != datasets.b.images.channels:
        return "", {}
    found: dict[str, float] = {}
    for direction in [app.direction] if app.needs_pairs else [app.direction, _reverse(app.direction)]:
        source, target = _ends(datasets, direction)
        sources = _test_images(datasets, direction)
        scale = (target.limits[1] - target.limits[0]) / (source.limits[1] - source.limits[0])
        pixels = [(image.astype(np.float32) - source.limits[0]) * scale + target.limits[0] for image in sources]
        images = [np.clip(image, *target.limits) for image in pixels]
        scores = judged(datasets, direction, sources, images, _test_images(datasets, _reverse(direction)))
        if source.is_mask:
            scores.pop("mask_iou", None)  # a mask that is left as it is overlaps with itself
        prefix = "" if direction == app.direction else "back_"
        found |= {prefix + name: value for name, value in scores.items()}
    return "images as they are", found


def translated(model: keras.Model, datasets: DomainData, direction: str) -> tuple[list, list, list]:
    """Returns the test images of one kind, what becomes of them, and what should (nothing where nobody knows)."""
    from applications.image_translation import one_way

    _, target = _ends(datasets, direction)
    call = translator(one_way(model, direction), target.about())
    sources = _test_images(datasets, direction)
    return (
        sources,
        [call(image) for image in sources],
        _test_images(datasets, _reverse(direction)) if datasets.paired else [],
    )


def judged(datasets: DomainData, direction: str, sources: list, found: list, truths: list) -> dict[str, float]:
    """Returns `psnr`, `ssim`, `mae` and, where one kind are masks, `mask_iou`; nothing without a truth."""
    from applications.core.fidelity import psnr, ssim

    if not truths:
        return {}
    source, target = _ends(datasets, direction)
    peak = target.limits[1] - target.limits[0]
    pairs = [
        (np.clip(truth.astype(np.float32), *target.limits)[None], np.asarray(image, np.float32)[None])
        for truth, image in zip(truths, found, strict=True)
    ]
    scores = {
        "psnr": float(np.mean([psnr(truth, image, peak)[0] for truth, image in pairs])),
        "ssim": float(np.mean([ssim(truth, image, peak)[0] for truth, image in pairs])),
        "mae": float(np.mean([np.abs(truth - image).mean() for truth, image in pairs]) / peak),
    }
    if not np.isfinite(scores["psnr"]):
        scores.pop("psnr")  # two equal images
    if source.is_mask != target.is_mask:
        scores["mask_iou"] = mask_overlap(datasets, direction, sources, found, truths)
    return scores


def mask_overlap(datasets: DomainData, direction: str, sources: list, found: list, truths: list) -> float:
    """Returns the overlap (IoU) of the masks that translated images are, or show, with the true masks.

    What images show is found by what learnt it from real ones, as in the FCN-score of Isola et al. (2017, section 4.1),
    with a random forest in place of the network.
    """
    source, target = _ends(datasets, direction)
    if target.is_mask:
        true, made = [target.foreground(image) for image in truths], [target.foreground(image) for image in found]
    else:
        true, made = [source.foreground(image) for image in sources], [datasets.find_mask(image) for image in found]
    both = sum(int((one & other).sum()) for one, other in zip(true, made, strict=True))
    return both / max(1, sum(int((one | other).sum()) for one, other in zip(true, made, strict=True)))


def real_overlap(datasets: DomainData) -> float:
    """Returns the overlap of the masks found in the real pictures for testing with the true ones."""
    direction = "a-to-b" if datasets.a.is_mask else "b-to-a"
    pictures = _test_images(datasets, _reverse(direction))
    return mask_overlap(datasets, direction, _test_images(datasets, direction), pictures, pictures)


def cycle_error(model: keras.Model, datasets: DomainData) -> dict[str, float]:
    """Returns the mean error of the test images of each kind after the way there and back, in parts of the range."""
    from applications.image_translation import one_way

    found = {}
    for direction in ("a-to-b", "b-to-a"):
        source, target = _ends(datasets, direction)
        there = translator(one_way(model, direction), target.about() | {"is_mask": False, "dtype": "float32"})
        back = translator(one_way(model, _reverse(direction)), source.about() | {"is_mask": False, "dtype": "float32"})
        peak = source.limits[1] - source.limits[0]
        images = [np.clip(image.astype(np.float32), *source.limits) for image in _test_images(datasets, direction)]
        found[source.name] = float(np.mean([np.abs(back(there(image)) - image).mean() for image in images]) / peak)
    return found


def _ends(datasets: DomainData, direction: str) -> tuple[Domain, Domain]:
    return (datasets.a, datasets.b) if direction == "a-to-b" else (datasets.b, datasets.a)


def _reverse(direction: str) -> str:
    return "b-to-a" if direction == "a-to-b" else "a-to-b"


def _both_masks(datasets: DomainData) -> bool:
    return datasets.a.is_mask and datasets.b.is_mask


def _test_images(datasets: DomainData, direction: str) -> list[np.ndarray]:
    if direction == "a-to-b":
        return [datasets.a.images[index] for index in datasets.split["test"]]
    return [datasets.b.images[index] for index in datasets.split_b["test"]]


def _figures(datasets: DomainData, model: keras.Model, shown: dict[str, tuple[list, list, list]]) -> list[Any]:
    """Draws some test images, what became of them and what should have."""
    from applications.core import figures
    from applications.core.report import Figure
    from applications.image_translation import one_way

    drawn = []
    for direction, (sources, found, truths) in shown.items():
        source, target = _ends(datasets, direction)
        columns = [(source.name, sources), ("translated", found)]
        columns += [(f"true {target.name}", truths)] if truths else []
        if len(shown) == 2:
            back = translator(one_way(model, _reverse(direction)), source.about())
            columns.append(("there and back", [back(image.astype(np.float32)) for image in found[:4]]))
        count = min(4, len(sources))
        images = [images[i] for i in range(count) for _, images in columns]
        titles = [name for _ in range(count) for name, _ in columns]
        grid = figures.image_grid(images, titles, columns=len(columns))
        name = f"translated_{direction.replace('-', '_')}"
        drawn.append(Figure(name, f"Test images: {source.name} to {target.name}", grid))
    return drawn
