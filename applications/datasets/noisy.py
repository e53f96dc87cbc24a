"""Noisy images, with or without the clean ones: simulated on photographs, and the user's own files and stacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError, nearest
from applications.datasets.data import FRACTIONS, NOISY_NAMES, Datasets, Progress
from applications.datasets.loading import BadFiles, in_threads, relative_name
from applications.datasets.pixels import common_dtype, to_channels, to_dtype, value_range
from applications.datasets.readers import SUFFIXES, BadFileError, natural_key, plain, scan_folder, subfolders
from applications.datasets.splits import ALL_TEST, check_fractions, split_indices
from applications.datasets.stacks import is_stack, read_stack
from applications.datasets.store import ImageStore

if TYPE_CHECKING:
    import numpy as np

NOISY_FOLDERS = ("noisy", "low", "input", "source")
CLEAN_FOLDERS = ("clean", "gt", "high", "target")
HELD_OUT = {"val": ("clock", "microaneurysms"), "test": ("camera",)}
_MOST_WATCHED = 8


@dataclass(frozen=True)
class Noise:
    """Noise that is added to clean images.

    Attributes:
        kind: `"none"`, `"gaussian"` or `"poisson"`.
        sigma: Standard deviation of Gaussian noise, in 255ths of the range of pixels.
        photons: Photons that the brightest possible pixel stands for (Poisson noise).
    """

    kind: str = "none"
    sigma: float = 25.0
    photons: float = 30.0

    def added(self, image: np.ndarray, limits: tuple[float, float], random: np.random.Generator) -> np.ndarray:
        """Returns a noisy image as float32; nothing is cut off or rounded."""
        import numpy as np

        span, pixels = limits[1] - limits[0], np.asarray(image, np.float64)
        if self.kind == "gaussian":
            pixels = pixels + random.normal(0.0, self.sigma * span / 255.0, pixels.shape)
        elif self.kind == "poisson":
            counts = random.poisson(np.clip((pixels - limits[0]) / span, 0.0, None) * self.photons)
            pixels = counts / self.photons * span + limits[0]
        return pixels.astype(np.float32)

    def drawn(self, image: Any, limits: tuple[float, float], seed: Any) -> Any:
        """The same in TensorFlow, for a float32 tensor and a seed of two whole numbers."""
        import tensorflow as tf

        span = limits[1] - limits[0]
        if self.kind == "gaussian":
            return image + tf.random.stateless_normal(tf.shape(image), seed) * (self.sigma * span / 255.0)
        expected = tf.maximum((image - limits[0]) / span, 0.0) * self.photons
        counts = tf.random.stateless_poisson(tf.shape(image), seed, expected, tf.float32)
        return counts * (span / self.photons) + limits[0]


@dataclass(frozen=True, eq=False)
class NoisyData(Datasets):
    """Noisy images (`images`) and, where there are any, the clean ones.

    Attributes:
        clean: Clean images of the same sizes, or None.
        noise: How `images` were made of them; of kind `"none"` where they come from a camera.
    """

    clean: ImageStore | None = None
    noise: Noise = Noise()

    def about(self) -> dict[str, Any]:
        return {**super().about(), "dtype": str(self.images.dtype if self.clean is None else self.clean.dtype)}


def load_noisy(
    data: str,
    *,
    blind: bool,
    noise: Noise,
    channels: int | None = None,
    fractions: tuple[float, float, float] = FRACTIONS,
    seed: int = 0,
    on_bad_file: str = "error",
    data_dir: str | None = None,
    options: Any = None,
    progress: Progress | None = None,
) -> NoisyData:
    """Loads what a denoising network learns from.

    Args:
        data: `noisy_camera` (one photograph), `noisy_photographs`, one file, a folder of images, or a folder with
            `noisy/` and `clean/`, whose files have the same names. TIFF files may hold many images.
        blind: Whether the network learns from the noisy images alone. Then it learns from all of them, and all are its
            test, since it is to denoise the very images it has seen.
        noise: What is added to images that are clean; of the embedded data Gaussian where the kind is `"none"`.
        channels, fractions, seed, on_bad_file, progress: as in `load_classification`.
        data_dir: not used; nothing is prepared.
        options: there are none.

    Raises:
        UserError: One sentence for the user.
    """
    check_fractions(fractions)
    if options:
        raise UserError(f"data_options: {data!r} has none, received {', '.join(options)}.")
    if data in NOISY_NAMES:
        return _bundled(data, blind, noise, channels or 1, fractions)
    root = Path(data).expanduser()
    if not root.exists():
        raise UserError(
            f"Unknown data {data!r}: neither an embedded data set ({', '.join(NOISY_NAMES)}) nor a file or folder that "
            f"exists.{nearest(data, NOISY_NAMES)}"
        )
    bad = BadFiles(on_bad_file, root if root.is_dir() else root.parent)
    pairs = _pair_folders(root)
    if pairs:
        noisy, clean, ids = _read_pairs(*pairs, channels, bad, progress)
        noise = Noise()
    else:
        noisy, ids = _read_all(_files(root), channels, bad, progress)
        clean = None
        if noise.kind == "none" and not blind:
            raise UserError(
                f"{data!r} holds images without clean partners: give a folder with noisy/ and clean/, clean images and "
                "the noise to be simulated (--noise.kind gaussian), or a model that needs none (--model noise2void)."
            )
    limits = value_range(noisy.dtype, noisy)
    if not pairs and noise.kind != "none":
        noisy, clean = _with_noise(noisy, noise, limits), noisy
    return NoisyData(
        name=plain(root.resolve().stem),
        description=f"The user's own images from {str(root)!r}{_simulated(noise, pairs is None)}.",
        images=noisy,
        clean=clean,
        noise=noise,
        split=_parts(len(noisy), blind, fractions, seed),
        class_names=(),
        ids=tuple(ids),
        value_range=limits,
        skipped=tuple(bad.skipped),
    )


def _simulated(noise: Noise, ours: bool) -> str:
    if not ours or noise.kind == "none":
        return ""
    amount = f"sigma {noise.sigma:g} of 255" if noise.kind == "gaussian" else f"{noise.photons:g} photons at most"
    return f", with simulated {noise.kind} noise ({amount})"


def _with_noise(clean: ImageStore, noise: Noise, limits: tuple[float, float]) -> ImageStore:
    """Returns the images with noise that is the same every time."""
    import numpy as np

    return ImageStore.from_arrays([noise.added(image, limits, np.random.default_rng(0)) for image in clean])


def _parts(count: int, blind: bool, fractions: tuple[float, float, float], seed: int) -> dict[str, np.ndarray]:
    import numpy as np

    everything = np.arange(count)
    if not blind or fractions == ALL_TEST:
        if not blind and count < 3 and fractions != ALL_TEST:
            raise UserError(f"Training on pairs needs at least 3 images, one for each part; there are {count}.")
        return split_indices(count, fractions=fractions, seed=seed)
    watched = everything[:: -(-count // _MOST_WATCHED)]
    return {"train": everything, "val": watched, "test": everything}


def _bundled(data: str, blind: bool, noise: Noise, channels: int, fractions: tuple[float, float, float]) -> NoisyData:
    import numpy as np

    from applications.datasets.photographs import load_photographs

    noise = noise if noise.kind != "none" else Noise("gaussian", noise.sigma, noise.photons)
    found = load_photographs("photographs", channels=channels)
    names = ["camera"] if data == "noisy_camera" else list(found.ids)
    if data == "noisy_camera" and not blind:
        raise UserError("noisy_camera is a single image, of which no model learns from pairs; take noisy_photographs.")
    clean = found.images.select([found.ids.index(name) for name in names])
    split = _parts(len(names), True, fractions, 0)
    if not blind and fractions != ALL_TEST:
        part = {name: key for key, held in HELD_OUT.items() for name in held}
        keys = np.array([part.get(name, "train") for name in names])
        split = {key: np.flatnonzero(keys == key) for key in ("train", "val", "test")}
    return NoisyData(
        name=data,
        description=f"Real photographs that scikit-image brings along{_simulated(noise, True)}.",
        images=_with_noise(clean, noise, (0.0, 255.0)),
        clean=clean,
        noise=noise,
        split=split,
        class_names=(),
        ids=tuple(names),
        value_range=(0.0, 255.0),
    )


def _pair_folders(root: Path) -> tuple[Path, Path] | None:
    """Returns the folders of noisy and of clean images, or None where there are none."""
    found: dict[str, Path] = {}
    for folder in subfolders(root) if root.is_dir() else ():
        for kind, names in (("noisy", NOISY_FOLDERS), ("clean", CLEAN_FOLDERS)):
            if folder.name.lower() in names and folder.suffix != ".zarr":
                if kind in found:
                    raise UserError(f"Folders {found[kind].name!r} and {folder.name!r} both mean {kind} images.")
                found[kind] = folder
    if len(found) == 1:
        ((kind, folder),) = found.items()
        raise UserError(
            f"Folder {str(root)!r} has {folder.name}/ ({kind} images) but not the other half of pairs: "
            f"{', '.join(CLEAN_FOLDERS if kind == 'noisy' else NOISY_FOLDERS)}."
        )
    return (found["noisy"], found["clean"]) if found else None


def _files(root: Path) -> list[Path]:
    if root.is_file() or root.suffix.lower() == ".zarr":
        return [root]
    zarrs = [folder for folder in subfolders(root) if folder.suffix.lower() == ".zarr"]
    files = sorted([*scan_folder(root)[0], *zarrs], key=lambda path: natural_key(path.name))
    if not files:
        raise UserError(f"Folder {str(root)!r} holds no image; readable are {', '.join(sorted(SUFFIXES))} and zarr.")
    return files


def _frames(path: Path) -> list[np.ndarray]:
    """Returns the images (height, width, channels) of one file."""
    import numpy as np

    if not is_stack(path):
        from applications.datasets.readers import read_image

        frames = read_image(path)[None]
    else:
        pixels = read_stack(path).pixels
        frames = pixels.reshape(-1, *pixels.shape[2:])
    if frames.dtype.kind == "f" and not np.isfinite(frames).all():
        raise BadFileError(path, "it holds NaN or infinite pixels")
    return list(frames)


def _read_all(
    files: Sequence[Path], channels: int | None, bad: BadFiles, progress: Progress | None
) -> tuple[ImageStore, list[str]]:
    """Reads every image of every file into one store, with a name for each."""
    read = in_threads(lambda index: _frames(files[index]), len(files), bad, progress, "reading images")
    frames: list[np.ndarray] = []
    ids: list[str] = []
    for path, found in zip(files, read, strict=True):
        name = relative_name(path, bad.root)
        frames += found or []
        ids += [name] if found and len(found) == 1 else [f"{name}[{number}]" for number in range(len(found or []))]
    if not frames:
        raise UserError("None of the image files can be read.")
    counts = {frame.shape[-1]: name for frame, name in zip(frames, ids, strict=True)}
    if channels is None:
        channels = max(counts)
    dtype = common_dtype(frame.dtype for frame in frames)
    try:
        return ImageStore.from_arrays([to_channels(to_dtype(frame, dtype), channels) for frame in frames]), ids
    except ValueError as error:
        examples = ", ".join(f"{name!r} has {count}" for count, name in sorted(counts.items()))
        raise UserError(
            f"Images have different numbers of channels ({examples}); give all of them the same."
        ) from error


def _read_pairs(
    noisy: Path, clean: Path, channels: int | None, bad: BadFiles, progress: Progress | None
) -> tuple[ImageStore, ImageStore, list[str]]:
    """Reads files of the same names in two folders."""
    folders = [{path.stem: path for path in _files(folder)} for folder in (noisy, clean)]
    if set(folders[0]) != set(folders[1]):
        alone = sorted(set(folders[0]) ^ set(folders[1]))[0]
        where, other = (noisy, clean) if alone in folders[0] else (clean, noisy)
        raise UserError(f"{alone!r} in {where.name}/ has no partner of the same name in {other.name}/.")
    stems = sorted(folders[0], key=natural_key)
    stores = []
    for found in folders:
        strict = BadFiles("error", bad.root)  # a bad file would leave its partner alone
        stores.append(_read_all([found[stem] for stem in stems], channels, strict, progress))
    (images, ids), (truths, other_ids) = stores
    if len(ids) != len(other_ids):
        raise UserError(
            f"{noisy.name}/ holds {len(ids)} images and {clean.name}/ {len(other_ids)}; pairs need as many."
        )
    for name, first, second in zip(ids, images.shapes.tolist(), truths.shapes.tolist(), strict=True):
        if first != second:
            sizes = " and ".join(" x ".join(map(str, shape)) for shape in (first, second))
            raise UserError(
                f"The two images of the pair {name!r} differ in size ({sizes}); both must show the same place."
            )
    if images.dtype != truths.dtype:
        dtype = common_dtype((images.dtype, truths.dtype))
        images, truths = (ImageStore.from_arrays([to_dtype(i, dtype) for i in store]) for store in (images, truths))
    return images, truths, ids
