"""What a denoising run shows: how close it comes, simple methods beside it, and what went worst."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError

if TYPE_CHECKING:
    import keras
    import numpy as np

    from applications.core.report import Result
    from applications.datasets.noisy import NoisyData
    from applications.datasets.stacks import Stack
    from applications.denoising import Denoising

_CROP = 96


def denoiser(app: Denoising, model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from a noisy image of any size to one without noise, float32.

    It is the mean over turned and mirrored copies, each predicted in windows and turned back.
    """
    import numpy as np

    import kerazoo

    def denoise(image: np.ndarray) -> np.ndarray:
        pixels = np.asarray(image, np.float32)
        total = np.zeros_like(pixels)
        for turns, mirrored in [(n, m) for m in (False, True) for n in range(4)][: app.orientations]:
            turned = np.rot90(pixels[:, ::-1] if mirrored else pixels, turns)
            found = np.rot90(kerazoo.predict_tiled(model, turned, tile_size=app.tile_size), -turns)
            total += found[:, ::-1] if mirrored else found
        return total / app.orientations

    return denoise


def denoised_stack(app: Denoising, model: keras.Model, path: Path, about: dict[str, Any]) -> Stack:
    """Returns every image of a file without noise, in the file's own kind of pixels or as float32."""
    import numpy as np

    from applications.datasets.readers import BadFileError
    from applications.datasets.stacks import read_stack

    stack = read_stack(path)
    channels = stack.pixels.shape[-1]
    if channels != about["channels"]:
        raise UserError(f"'{path}' has {channels} channels, the run was trained on {about['channels']}.")
    dtype = stack.pixels.dtype if app.write_as == "original" else np.dtype("float32")
    denoise, found = denoiser(app, model), np.empty(stack.pixels.shape, dtype)
    factor = _depth_factor(stack.pixels.dtype, np.dtype(about.get("dtype", "float32")))
    for place in np.ndindex(stack.pixels.shape[:2]):
        image = np.asarray(stack.pixels[place], np.float32)
        if not np.isfinite(image).all():
            raise BadFileError(path, "it holds NaN or infinite pixels")
        clear = denoise(image * factor) / factor
        if dtype.kind == "u":
            clear = np.clip(np.rint(clear), 0, np.iinfo(dtype).max)
        found[place] = clear
    return stack._replace(pixels=found)


def _depth_factor(own: np.dtype, trained: np.dtype) -> float:
    """Returns what brings pixels to the depth of the training's, for whole numbers of other bits."""
    import numpy as np

    if own == trained or "f" in (own.kind, trained.kind):
        return 1.0
    return float(np.iinfo(trained).max) / float(np.iinfo(own).max)


# Simple methods ------------------------------------------------------------------------------------------------------


def simple_methods(sigma: float, limits: tuple[float, float]) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Returns name -> method for images with white noise of a known standard deviation, the best one last."""
    import numpy as np

    span = limits[1] - limits[0]

    def gaussian(image: np.ndarray) -> np.ndarray:
        from scipy.ndimage import gaussian_filter

        return gaussian_filter(image, (1.0, 1.0, 0.0))

    methods: dict[str, Callable[[np.ndarray], np.ndarray]] = {"Gaussian filter": gaussian}
    try:
        from skimage.restoration import denoise_nl_means, denoise_tv_chambolle
    except ImportError:
        return methods

    def total_variation(image: np.ndarray) -> np.ndarray:
        scaled = np.asarray(image, np.float64) / span
        return span * denoise_tv_chambolle(scaled, weight=1.224 * sigma / span, channel_axis=-1)

    def non_local_means(image: np.ndarray) -> np.ndarray:
        options: dict[str, Any] = {"patch_size": 5, "patch_distance": 6, "fast_mode": True, "channel_axis": -1}
        scaled = np.asarray(image, np.float64) / span
        found = denoise_nl_means(scaled, h=0.6 * sigma / span, sigma=sigma / span, **options)
        return span * found.reshape(image.shape)  # it leaves a single channel out

    return {**methods, "total variation": total_variation, "non-local means": non_local_means}


def noise_of(datasets: NoisyData, index: int) -> float:
    """Returns the standard deviation of an image's noise: the known one, or an estimate."""
    import numpy as np

    from kerazoo.restoration.diagnostics import noise_level

    noise, (low, high) = datasets.noise, datasets.value_range
    if noise.kind == "gaussian":
        return noise.sigma * (high - low) / 255.0
    if datasets.clean is not None:
        return float(np.std(datasets.images[index].astype(np.float64) - datasets.clean[index]))
    return noise_level(datasets.images[index])


# Scores --------------------------------------------------------------------------------------------------------------


def compared(truth: np.ndarray, found: np.ndarray, limits: tuple[float, float]) -> dict[str, float]:
    """Returns PSNR and SSIM for the declared range of pixels, and the PSNR that knows no range."""
    import numpy as np

    from applications.core.fidelity import psnr, range_invariant_psnr, ssim

    peak = limits[1] - limits[0]
    first, second = (np.asarray(image, np.float64)[None] for image in (truth, found))
    return {
        "psnr": float(psnr(first, second, peak)[0]),
        "ssim": float(ssim(first, second, peak)[0]),
        "range_invariant_psnr": float(range_invariant_psnr(first, second)[0]),
    }


def _tested(datasets: NoisyData) -> Iterator[tuple[int, np.ndarray, np.ndarray | None]]:
    for index in datasets.split["test"]:
        yield index, datasets.images[index], None if datasets.clean is None else datasets.clean[index]


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def scores(app: Denoising, model: keras.Model, datasets: NoisyData) -> tuple[str, dict[str, float]]:
    """Returns the headline and the scores of the test images."""
    denoise = denoiser(app, model)
    if datasets.clean is None:
        return "hidden_rmse", {"hidden_rmse": hidden_rmse(app, denoise, datasets)}
    rows = [compared(truth, denoise(noisy), datasets.value_range) for _, noisy, truth in _tested(datasets)]
    return "psnr", _mean(rows)


def hidden_rmse(app: Denoising, denoise: Callable[[np.ndarray], np.ndarray], datasets: NoisyData) -> float:
    """Returns the root mean square error of hidden pixels, all that can be measured without clean images.

    It is at least the noise, whose own square is in it.
    """
    import numpy as np

    offset, scale = app.standard(datasets) if len(datasets.split["train"]) else ([0.0], [1.0])
    total, count = 0.0, 0
    for index, noisy, _ in _tested(datasets):
        seeds = np.full((1, 4), (int(index) % 9973) / 9973.0, np.float32)
        hidden, targets = app.hide(((noisy - np.float32(offset)) / np.float32(scale))[None], seeds)
        mask = targets[0, ..., noisy.shape[-1] :] > 0
        found = denoise(hidden[0] * np.float32(scale) + np.float32(offset))
        total += float(np.square(found[mask] - noisy[mask].astype(np.float64)).sum())
        count += int(mask.sum())
    return float(np.sqrt(total / max(count, 1)))


def baseline(datasets: NoisyData) -> tuple[str, dict[str, float]]:
    """Returns the best simple method there is, and its scores; nothing without clean images."""
    if datasets.clean is None:
        return "", {}
    rows = []
    for index, noisy, truth in _tested(datasets):
        assert truth is not None
        name, method = list(simple_methods(noise_of(datasets, index), datasets.value_range).items())[-1]
        rows.append(compared(truth, method(noisy), datasets.value_range))
    return f"{name}, the noise being known", _mean(rows)


# The report -----------------------------------------------------------------------------------------------------------


def report(app: Denoising, model: keras.Model, datasets: NoisyData) -> Result:
    """Evaluates the trained model on the test images."""
    from applications.core.report import Figure, Result, Table

    denoise = denoiser(app, model)
    found = {index: denoise(noisy) for index, noisy, _ in _tested(datasets)}
    low, high = datasets.value_range
    result = Result(metrics={}, headline="psnr", notes=_findings(datasets, found))
    if datasets.clean is None:
        result.headline, result.metrics = "hidden_rmse", {"hidden_rmse": hidden_rmse(app, denoise, datasets)}
        result.notes.append(
            "There are no clean images to compare with. hidden_rmse is the error with which hidden pixels are guessed, "
            "the noise of these pixels included; it cannot fall below the noise itself."
        )
        panels = _panels(datasets, found, list(found)[:4], {})
    else:
        rows, best = _compare(app, datasets, found)
        note = (
            f"PSNR in dB and SSIM for pixels from {low:g} to {high:g}; the last column is the PSNR after the best "
            "change of brightness and contrast, for the range of the clean image. Nothing is rounded or cut off."
        )
        columns = ("image", "method", "PSNR", "SSIM", "range-invariant PSNR")
        result.tables.append(Table("Test images", columns, rows, note))
        result.metrics = _mean([row for name, _, row in best if name == app.model])
        ordered = sorted(found, key=lambda i: next(r["psnr"] for n, j, r in best if n == app.model and j == i))
        panels = _panels(datasets, found, ordered[:4], simple_methods)
    result.figures.append(Figure("denoised", "Where the error is largest, the worst image first", panels))
    return result


def _compare(app: Denoising, datasets: NoisyData, found: dict[int, np.ndarray]) -> tuple[list[tuple], list[tuple]]:
    """Returns the rows of the table, and (method, image, scores)."""
    rows, all_scores = [], []
    for index, noisy, truth in _tested(datasets):
        assert truth is not None
        methods = {"noisy": lambda image: image, **simple_methods(noise_of(datasets, index), datasets.value_range)}
        results = {name: method(noisy) for name, method in methods.items()} | {app.model: found[index]}
        for name, image in results.items():
            values = compared(truth, image, datasets.value_range)
            all_scores.append((name, index, values))
            rows.append((datasets.ids[index], name, *values.values()))
    return rows, all_scores


def _findings(datasets: NoisyData, found: dict[int, np.ndarray]) -> list[str]:
    """Returns sentences about outputs that are inputs, and about what is left in the noise that was removed."""
    import numpy as np

    from kerazoo.restoration.diagnostics import autocorrelation, identity_collapse, strongest_neighbour

    sentences = []
    for index, image in list(found.items())[:3]:
        noisy = datasets.images[index].astype(np.float64)
        collapsed = identity_collapse(noisy, image)
        if collapsed is not None:
            sentences.append(f"{datasets.ids[index]!r}: {collapsed}")
        elif min(noisy.shape[:2]) > 4:
            removed = np.moveaxis(noisy - image, -1, 0)
            value, (rows, columns) = strongest_neighbour(autocorrelation(removed))
            if abs(value) > 0.15:
                sentences.append(
                    f"{datasets.ids[index]!r}: what was removed correlates by {value:.2f} over {rows} row(s) and "
                    f"{columns} column(s): either the noise is structured, or parts of the image were taken for noise."
                )
    return sentences


def _panels(datasets: NoisyData, found: dict[int, np.ndarray], chosen: list[int], methods: Any) -> Any:
    """Draws the crop of each image in which the network errs most, and what others make of it."""
    from applications.core import figures

    panels: list[np.ndarray] = []
    titles: list[str] = []
    for index in chosen:
        noisy, name = datasets.images[index], datasets.ids[index]
        truth = None if datasets.clean is None else datasets.clean[index]
        top, left = _worst_place(found[index], noisy if truth is None else truth)
        parts: dict[str, Any] = {"noisy": noisy}
        if truth is not None:
            simple, method = list(methods(noise_of(datasets, index), datasets.value_range).items())[-1]
            parts[simple] = method(noisy)
        parts["denoised"] = found[index]
        if truth is not None:
            parts["clean"] = truth
        for title, image in parts.items():
            panels.append(_shown(image[top : top + _CROP, left : left + _CROP], datasets.value_range))
            titles.append(f"{name}\n{title}")
    columns = 2 if datasets.clean is None else 4
    return figures.image_grid(panels, titles, columns=columns)


def _worst_place(found: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
    """Returns the corner of the crop with the largest squared error."""
    import numpy as np
    from scipy.ndimage import uniform_filter

    error = np.square(found.astype(np.float64) - truth).mean(axis=-1)
    height, width = (max(1, n - _CROP + 1) for n in error.shape)
    middle = uniform_filter(error, _CROP)[_CROP // 2 :, _CROP // 2 :][:height, :width]
    if not middle.size:
        return 0, 0
    top, left = np.unravel_index(middle.argmax(), middle.shape)
    return int(top), int(left)


def _shown(image: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Returns pixels as 8 bits over the declared range, so that all panels have one scale."""
    import numpy as np

    low, high = limits
    scaled = np.clip((image.astype(np.float64) - low) / (high - low), 0, 1)
    return np.rint(255 * scaled[..., : 3 if image.shape[-1] >= 3 else 1]).astype(np.uint8)
