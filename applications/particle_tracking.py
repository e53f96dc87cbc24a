"""Particle tracking: things that move, found in each frame of a film and followed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from applications.core.application import Application, ScheduleName, Serving, Split
from applications.core.config import option
from applications.core.errors import UserError

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from applications.core.pipeline import Samples
    from applications.core.report import Result
    from applications.datasets.films import Film, FilmData
    from kerazoo.tracking import Tracks

Detector = Callable[["np.ndarray"], "list[np.ndarray]"]


class Prediction(NamedTuple):
    """What was followed in one file."""

    file: Path
    film: Film
    tracks: Tracks


@dataclass(frozen=True, kw_only=True)
class ParticleTracking(Application):
    """Finds things in each frame of a film and links them to tracks, with gaps and divisions.

    What is trained is the detector, a network that draws a spot where something is; linking is an assignment at the
    least cost. Prediction takes TIFF stacks, folders of frames, sequences of label images (names that end in `labels`
    or `masks`) and CSV tables of points, of which the last two need no detector. Data to train with: `particles` or
    `cells` (simulated, embedded), or a folder of TIFF stacks, each with a CSV table of points beside it.

    Example:
        >>> from applications.core.training import start
        >>> from applications.particle_tracking import ParticleTracking
        >>> run = start(ParticleTracking(data="particles", epochs=2))
    """

    task: ClassVar[str] = "particle-tracking"
    summary: ClassVar[str] = "things that move, found and followed"
    kinds: ClassVar[tuple[str, ...]] = ("dense_prediction",)
    own_data: ClassVar[str] = "path/to/films"
    reserved_options: ClassVar[tuple[str, ...]] = (*Application.reserved_options, "classifier_activation")

    data: str = option("particles", "`particles`, `cells`, or a folder of TIFF stacks with CSV tables of points.")
    model: str = option("unet_small", "Dense-prediction model of the catalogue.")
    epochs: int = option(20, "Passes over the training frames.", minimum=1)
    batch_size: int = option(8, "Frames per step, over all devices together.", minimum=1)
    learning_rate: float = option(3e-3, "Largest learning rate.", minimum=0)
    schedule: ScheduleName = option("cosine", "How the learning rate changes.")
    crop_size: int = option(64, "Height and width of the training crops in pixels.", minimum=32)
    detector: Literal["network", "log"] = option(
        "network", "What finds things: the trained network, or the Laplacian of a Gaussian, which needs no training."
    )
    spot: float = option(1.5, "Standard deviation in pixels of a spot.", above=0)
    network_threshold: float = option(0.4, "Least height of a spot the network draws.", above=0, maximum=1)
    log_threshold: float = option(5.0, "Least strength of a spot, in spreads of the filtered image.", above=0)
    max_distance: float = option(8.0, "Longest way from one frame to the next in pixels.", above=0)
    max_gap: int = option(2, "Frames in a row in which something may be missed.", minimum=0)
    splitting: bool = option(False, "Whether things divide.")
    motion: Literal["none", "velocity"] = option("none", "Look where something was, or where it is going.")
    pixel_size: float | None = option(None, "Micrometres per pixel; none: as the file says, or pixels.", above=0)
    frame_interval: float | None = option(None, "Seconds from one frame to the next; none: frames.", above=0)

    def check(self) -> None:
        super().check()
        if self.loss != "auto" or self.class_weights != "none":
            word = "loss" if self.loss != "auto" else "class_weights"
            raise UserError(f"{word}: {self.task} has its own loss and no classes; leave it out.")
        if self.pixel_size is not None and self.frame_interval is None:
            raise UserError(
                "frame_interval: with a pixel_size motions are given in micrometres and seconds, which needs both; add "
                "the seconds from one frame to the next."
            )
        if self.k_folds:
            raise UserError(f"k_folds: {self.task} has no folds; leave it at 0.")

    # Training the detector ------------------------------------------------------------------------------------------

    def datasets(self, progress: Callable | None = None) -> FilmData:  # type: ignore[override]
        from applications.datasets.films import load_films

        wanted = ("fractions", "seed", "data_dir", "options", "progress")
        data = load_films(self.data, **{k: v for k, v in self.loading(progress).items() if k in wanted})
        for name, film in zip(data.ids, data.films, strict=True):
            if min(film.shape[1:]) < self.crop_size:
                raise UserError(
                    f"Film {name!r} has {film.shape[1]} x {film.shape[2]} pixels, but the network is trained on crops "
                    f"of {self.crop_size} x {self.crop_size}: leave it out, or give a smaller --crop-size."
                )
        return data

    def for_other_data(self, data: str, known: dict[str, Any]) -> Application:
        return self.replace(data=data, data_options={}, split=Split(train=0.0, val=0.0, test=1.0))

    def as_trained(self, datasets: FilmData, known: dict[str, Any]) -> FilmData:  # type: ignore[override]
        return datasets

    def samples(self, datasets: FilmData, split: str, *, training: bool) -> Samples:  # type: ignore[override]
        import numpy as np
        import tensorflow as tf

        from applications.core.pipeline import ImageReader, Samples
        from applications.datasets.store import ImageStore

        frames = [
            np.stack([image, heat_map(datasets.truths[film], frame, image.shape, self.spot)], axis=-1)
            for film in datasets.split[split]
            for frame, image in enumerate(datasets.films[film])
        ]
        read, size = ImageReader(ImageStore.from_arrays(frames)), self.crop_size

        def load(index: tf.Tensor, draws: tf.Tensor) -> tuple:
            both = read(index)
            free = tf.shape(both)[:2] - size
            corner = tf.cast(draws[:2] * tf.cast(free + 1, tf.float32), tf.int32) if training else free // 2
            both = tf.image.crop_to_bounding_box(both, corner[0], corner[1], size, size)
            if training:
                for axis in (0, 1):
                    both = tf.where(draws[2 + axis] < 0.5, tf.reverse(both, [axis]), both)
            return both[..., :1], both[..., 1:]

        return Samples(len(frames), load, None, 4 if training else 0)

    def build(self, datasets: FilmData, dtype: str | None = None) -> keras.Model:  # type: ignore[override]
        return self.create((None, None, 1), 1, dtype=dtype)

    def compile(self, model: keras.Model, optimizer: keras.Optimizer, **execution: Any) -> None:
        model.compile(optimizer=optimizer, loss="binary_crossentropy", **execution)

    # Finding and following ------------------------------------------------------------------------------------------

    def finder(self, model: keras.Model) -> Detector:
        """Returns a function from a film (frames, H, W), normalised, to the points of each frame.

        Another segmenter or detector takes its place by overriding this method.
        """

        from applications.core.image_predictor import ImagePredictor
        from kerazoo.tracking import find_spots, peaks

        if self.detector == "log":
            return lambda film: [find_spots(image, self.spot, threshold=self.log_threshold) for image in film]
        predict = ImagePredictor(model, 8)
        distance = max(1, round(self.spot))

        def find(film: np.ndarray) -> list[np.ndarray]:
            maps = predict.each(film[..., None])
            return [peaks(found[..., 0], self.network_threshold, distance=distance) for found in maps]

        return find

    def follow(self, points: list[np.ndarray]) -> Tracks:
        """Links points as the options say."""
        from kerazoo.tracking import link

        return link(points, self.max_distance, **self._linking)

    @property
    def _linking(self) -> dict[str, Any]:
        return {"max_gap": self.max_gap, "splitting": self.splitting, "motion": self.motion}

    def report(self, model: keras.Model, datasets: FilmData) -> Result:  # type: ignore[override]
        from applications.imaging.tracking_report import report

        return report(self, model, datasets)

    def scores(self, model: keras.Model, datasets: FilmData) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        from applications.imaging.tracking_report import headline, metrics

        find = self.finder(model)
        found = [self.follow(find(datasets.films[film])) for film in datasets.split["test"]]
        return headline(datasets), metrics(self, datasets, found)

    def baseline(self, datasets: FilmData) -> tuple[str, dict[str, float]]:  # type: ignore[override]
        """The Laplacian of a Gaussian, linked by the closest pairs."""
        from applications.imaging.tracking_report import metrics
        from kerazoo.tracking import find_spots, link_nearest

        found = []
        for film in datasets.split["test"]:
            points = [find_spots(image, self.spot, threshold=self.log_threshold) for image in datasets.films[film]]
            found.append(link_nearest(points, self.max_distance))
        return "Laplacian of Gaussian, closest pairs", metrics(self, datasets, found)

    def find_inputs(self, inputs: Iterable[str]) -> list[Path]:
        from applications.datasets.films import find_films

        return find_films(list(inputs))

    def predict(self, model: keras.Model, inputs: Iterable[Path], about: dict[str, Any]) -> list[Prediction]:
        from applications.core.inference import each_usable
        from applications.datasets.films import normalised, read_film
        from kerazoo.tracking import link_labels

        find, found = self.finder(model), []
        for path, film in each_usable(inputs, read_film, self.on_bad_file):
            if film.labels and film.images is not None:
                tracks = link_labels(film.images, self.max_distance, **self._linking)
            else:
                points = film.points if film.images is None else find(normalised(film.images))
                assert points is not None
                tracks = self.follow(points)
            found.append(Prediction(path, film, tracks))
        return found

    def write(self, predictions: list[Prediction], folder: Path) -> list[Path]:
        """Writes for each input `NAME_tracks.csv`, `NAME_motion.csv`, `NAME_ctc/` and pictures of it.

        `NAME_ctc/` is in the format of the Cell Tracking Challenge; of a film there are `NAME_tracks.png` and
        `NAME_tracks.gif`, too.
        """
        from applications.core.inference import unique_stems
        from applications.imaging.tracking_report import write_prediction

        stems = unique_stems(prediction.file for prediction in predictions)
        return [
            path
            for stem, found in zip(stems, predictions, strict=True)
            for path in write_prediction(self, found, folder, stem)
        ]

    def serving(self, datasets: FilmData) -> Serving:  # type: ignore[override]
        import numpy as np

        size = self.crop_size
        frames = [image[:size, :size, None] for film in datasets.split["train"] for image in datasets.films[film]]
        return Serving(
            samples=np.stack(frames[:64]).astype(np.float32),
            labels=(),
            signature={
                "input": "frames, float32, (batch, height, width, 1), the film's darkest pixels 0, its brightest 1",
                "output": "heat maps, float32, (batch, height, width, 1): a spot of height 1 where something is",
            },
        )

    def search_space(self) -> dict[str, Any]:
        from applications.core.search_space import Choice, Real

        return {
            "learning_rate": Real(1e-4, 1e-2, log=True),
            "batch_size": Choice(8, 16, 32),
            "model_options.filters": Choice(8, 16, 32),
        }


def heat_map(truth: Tracks, frame: int, shape: tuple[int, int], spot: float) -> np.ndarray:
    """Returns an image that is 1 where something is, and falls off around it as a Gaussian.

    Args:
        truth: Where things are.
        frame: The frame.
        shape: Height and width.
        spot: Standard deviation in pixels.
    """
    import numpy as np

    heat = np.zeros(shape, np.float32)
    reach = int(np.ceil(4 * spot))
    for y, x in truth.position[truth.frame == frame]:
        top, left = max(round(y) - reach, 0), max(round(x) - reach, 0)
        window = slice(top, max(round(y) + reach + 1, 0)), slice(left, max(round(x) + reach + 1, 0))
        rows, columns = np.ogrid[top : min(window[0].stop, shape[0]), left : min(window[1].stop, shape[1])]
        one = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * spot**2))
        heat[window] = np.maximum(heat[window], one)
    return heat
