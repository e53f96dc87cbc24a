"""What is said about tracks: how many links are right, how far things go, and pictures of them."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kerazoo.metrics.tracking import detection_and_tracking, link_scores
from kerazoo.tracking import Tracks, write_csv, write_ctc

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure as Picture

    from applications.core.report import Result
    from applications.datasets.films import FilmData
    from applications.particle_tracking import ParticleTracking, Prediction

TAIL = 10  # frames of its way that a point draws behind it
MOST_FRAMES = 60  # of a GIF
LARGEST = 512  # pixels of a picture's longer side


class Units(NamedTuple):
    """In what lengths and times are given.

    Attributes:
        length: Its size in pixels' stead, 1 for pixels.
        time: Likewise of a frame.
        length_name, time_name: What they are called.
    """

    length: float
    time: float
    length_name: str
    time_name: str


def units(application: ParticleTracking, spacing: float = 0.0) -> Units:
    """Returns micrometres and seconds where both are known, else pixels and frames."""
    size = application.pixel_size or spacing
    if size and application.frame_interval:
        return Units(size, application.frame_interval, "µm", "s")
    return Units(1.0, 1.0, "px", "frame")


def headline(datasets: FilmData) -> str:
    """Returns the main metric's name."""
    return "link_recall" if datasets.linked else "detection"


def metrics(application: ParticleTracking, datasets: FilmData, found: list[Tracks]) -> dict[str, float]:
    """Returns the means over the test films, by name."""
    # A found point belongs to a true one up to two spots away, and never nearer to the middle between two frames.
    tolerance = max(2.0, 2 * application.spot)
    rows: dict[str, list[float]] = {}
    for film, tracks in zip(datasets.split["test"], found, strict=True):
        truth = datasets.truths[film]
        det, tra = detection_and_tracking(truth, tracks, tolerance=tolerance)
        rows.setdefault("detection", []).append(det)
        if datasets.linked:
            links = link_scores(truth, tracks, tolerance=tolerance)
            rows.setdefault("link_recall", []).append(links.recall)
            rows.setdefault("link_precision", []).append(links.precision)
            rows.setdefault("tracking", []).append(tra)
    return {name: float(np.mean(values)) for name, values in rows.items()}


def squared_displacements(tracks: Tracks, most: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean squared displacement over lags of 1, 2, ... frames, and of how many pairs each is the mean.

    Args:
        tracks: The tracks.
        most: Longest lag.

    Returns:
        Mean squares in px^2, nan where there is no pair, and counts.
    """
    total, count = np.zeros(most), np.zeros(most, int)
    for _, rows in tracks.each():
        frame, place = tracks.frame[rows], tracks.position[rows]
        lag = frame[None, :] - frame[:, None]
        squared = ((place[None, :] - place[:, None]) ** 2).sum(axis=-1)
        for step in range(1, most + 1):
            chosen = lag == step
            total[step - 1] += squared[chosen].sum()
            count[step - 1] += chosen.sum()
    return np.where(count > 0, total / np.maximum(count, 1), np.nan), count


def summary(tracks: Tracks, unit: Units) -> dict[str, float]:
    """Returns numbers on the motion: tracks, divisions, mean length, rms step, diffusion coefficient."""
    squares, count = squared_displacements(tracks, 4)
    known = count > 0
    # MSD = 4 D t + offset, where the offset is the detector's error, which does not grow with time.
    fit = np.polyfit(np.flatnonzero(known) + 1, squares[known], 1) if known.sum() > 1 else (np.nan, np.nan)
    lengths = tracks.lengths()
    return {
        "tracks": len(lengths),
        "divisions": len(set(tracks.parents.values())),
        f"mean length in {unit.time_name}s" if unit.time_name == "frame" else "mean length in s": (
            float(lengths.mean()) * unit.time if len(lengths) else 0.0
        ),
        f"rms step in {unit.length_name}": float(np.sqrt(squares[0])) * unit.length,
        f"diffusion coefficient in {unit.length_name}^2/{unit.time_name}": (
            float(fit[0]) / 4 * unit.length**2 / unit.time
        ),
    }


def report(application: ParticleTracking, model: keras.Model, datasets: FilmData) -> Result:
    """Judges detector and linking on the test films."""
    from applications.core.report import Animation, Figure, Result, Table
    from kerazoo.tracking import link_nearest

    test, find = datasets.split["test"], application.finder(model)
    points = [find(datasets.films[film]) for film in test]
    found = [application.follow(each) for each in points]
    scores = metrics(application, datasets, found)
    nearest = metrics(application, datasets, [link_nearest(each, application.max_distance) for each in points])
    exact = metrics(application, datasets, [application.follow(_true_points(datasets, film)) for film in test])
    name, unit = application.model if application.detector == "network" else "Laplacian of Gaussian", units(application)
    ways = {f"{name}, assignment": scores, f"{name}, closest pairs": nearest, "true places, assignment": exact}
    note = (
        "Recall and precision of links; detection and tracking are DET and TRA of the Cell Tracking Challenge. The "
        "last row shows what linking alone can do."
    )
    rows = [(way, *values.values()) for way, values in ways.items()]
    facts = [summary(tracks, unit) for tracks in found]
    truths = [summary(datasets.truths[film], unit) for film in test] if datasets.linked else None
    motion = [
        (
            key,
            float(np.mean([fact[key] for fact in facts])),
            *([float(np.mean([t[key] for t in truths]))] if truths else []),
        )
        for key in facts[0]
    ]
    remarks = [] if unit.length_name != "px" else [
        "Lengths are in pixels and times in frames; give --pixel-size and --frame-interval for micrometres and seconds."
    ]  # fmt: skip
    film = datasets.films[test[0]]
    return Result(
        metrics=scores,
        headline=headline(datasets),
        tables=[
            Table("Test films", ("way", *scores), rows, note),
            Table("Motion", ("means over the test films", "found", *(["true"] if truths else [])), motion),
        ],
        figures=[
            Figure("tracks", "Tracks of a test film", _tracks_figure(film, found[0]), "On the mean of all frames."),
            Figure("motion", "How long tracks are and how far things go", motion_figure(found, unit)),
        ],
        animations=[Animation("film", "A test film with the last way of each track", pictures(film, found[0]))],
        notes=remarks,
        commands=["predict {run} FILM.tif -o tracks/"],
    )


def _true_points(datasets: FilmData, film: int) -> list[np.ndarray]:
    truth = datasets.truths[film]
    return [truth.position[truth.frame == frame] for frame in range(len(datasets.films[film]))]


def _tracks_figure(film: np.ndarray, tracks: Tracks) -> Picture:
    from matplotlib.figure import Figure as Canvas

    from applications.core.figures import show_image

    canvas = Canvas(figsize=(6, 6), layout="constrained")
    axes = canvas.add_subplot()
    show_image(axes, np.clip(film.mean(axis=0), 0, 1))
    for number, rows in tracks.each():
        axes.plot(tracks.x[rows], tracks.y[rows], color=_colour(number) / 255, linewidth=1)
    return canvas


def motion_figure(found: list[Tracks], unit: Units) -> Picture:
    """Draws the tracks' lengths, the steps, and the mean squared displacement over time."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(9.6, 2.9), layout="constrained")
    lengths, steps, squares = canvas.subplots(1, 3)
    lengths.hist(np.concatenate([tracks.lengths() for tracks in found]) * unit.time, bins=20, color="#0072b2")
    lengths.set_xlabel(f"points of a track, in {unit.time_name}{'s' if unit.time_name == 'frame' else ''}")
    lengths.set_ylabel("tracks")
    way = []
    for tracks in found:
        links, _ = tracks.links()
        links = links[np.diff(tracks.frame[links], axis=1)[:, 0] == 1]
        way.append(np.linalg.norm(np.diff(tracks.position[links], axis=1)[:, 0], axis=-1))
    steps.hist(np.concatenate(way) * unit.length, bins=30, color="#0072b2")
    steps.set_xlabel(f"step in {unit.length_name}")
    steps.set_ylabel("links")
    pairs = [squared_displacements(tracks) for tracks in found]
    total = np.sum([np.nan_to_num(mean) * count for mean, count in pairs], axis=0)
    count = np.sum([count for _, count in pairs], axis=0)
    known = count > 0
    lags = (np.flatnonzero(known) + 1) * unit.time
    squares.loglog(lags, total[known] / count[known] * unit.length**2, "o-", color="#d55e00", markersize=3)
    squares.set_xlabel(f"time in {unit.time_name}{'s' if unit.time_name == 'frame' else ''}")
    squares.set_ylabel(f"mean squared displacement\nin {unit.length_name}²")
    return canvas


def _colour(number: int) -> np.ndarray:
    """Returns a bright colour of its own for each track."""
    import colorsys

    return np.array([255 * part for part in colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.85, 1.0)])


def pictures(film: np.ndarray, tracks: Tracks) -> list[np.ndarray]:
    """Returns the frames of a film, uint8 (H, W, 3), with each track's last way drawn into it.

    Args:
        film: (frames, H, W), about 0 to 1.
        tracks: What was found.
    """
    from PIL import Image, ImageDraw

    scale = max(1, min(3, LARGEST // max(film.shape[1:])))
    every = -(-len(film) // MOST_FRAMES)
    drawn = []
    for frame in range(0, len(film), every):
        grey = (255 * np.clip(film[frame], 0, 1)).astype(np.uint8)
        canvas = Image.fromarray(grey).convert("RGB").resize((grey.shape[1] * scale, grey.shape[0] * scale))
        pen = ImageDraw.Draw(canvas)
        for number, rows in tracks.each():
            times = tracks.frame[rows]
            chosen = np.flatnonzero((times <= frame) & (times > frame - TAIL)) + rows.start
            if not len(chosen) or times[-1] < frame:
                continue
            colour = tuple(int(part) for part in _colour(number))
            places = [(scale * (tracks.x[i] + 0.5), scale * (tracks.y[i] + 0.5)) for i in chosen]
            if len(places) > 1:
                pen.line(places, fill=colour, width=1)
            x, y = places[-1]
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), outline=colour)
        drawn.append(np.asarray(canvas))
    return drawn


def write_prediction(application: ParticleTracking, found: Prediction, folder: Path, stem: str) -> list[Path]:
    """Writes table, motion, the Cell Tracking Challenge's files and pictures of one input."""
    from applications.core.pictures import gif, save_picture
    from applications.core.run_directory import write_atomically
    from applications.datasets.films import normalised

    film, tracks = found.film, found.tracks
    folder.mkdir(parents=True, exist_ok=True)
    written = [write_csv(tracks, folder / f"{stem}_tracks.csv")]
    rows = summary(tracks, units(application, film.spacing[0]))
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([("quantity", "value"), *rows.items()])
    write_atomically(folder / f"{stem}_motion.csv", buffer.getvalue().encode())
    written.append(folder / f"{stem}_motion.csv")
    challenge = folder / f"{stem}_ctc"
    challenge.mkdir(exist_ok=True)
    options: dict[str, Any] = {"label_images": film.images} if film.labels else {"shape": _shape(found)}
    written += write_ctc(tracks, challenge, **options)
    if film.images is not None:
        shown = pictures(normalised(film.images), tracks)
        write_atomically(folder / f"{stem}_tracks.gif", gif(shown, 100))
        written += [folder / f"{stem}_tracks.gif", save_picture(folder / f"{stem}_tracks.png", shown[-1])]
    return written


def _shape(found: Prediction) -> tuple[int, int]:
    """Returns the size of the frames, or of what all points lie in."""
    if found.film.images is not None:
        return found.film.images.shape[1:]
    place = found.tracks.position
    return tuple(int(n) + 8 for n in np.ceil(place.max(axis=0))) if len(place) else (16, 16)  # type: ignore[return-value]
