"""What a run of `image-generation` says about its model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from applications.core.pictures import as_bytes, strips
from applications.core.report import Animation, Figure, Result, Table
from applications.generation import scores

if TYPE_CHECKING:
    import keras

    from applications.datasets.data import Datasets
    from applications.generation.features import Judge
    from applications.image_generation import ImageGeneration

ROUNDS = 20


@dataclass(frozen=True)
class Real:
    """The real pictures that generated ones are compared with.

    Attributes:
        pictures: Those not trained on, pixels in [0, 1].
        train: Those trained on.
        features: From pictures to what distances are measured in.
        space: What that is.
        judge: The classifier, where there are classes.
    """

    pictures: np.ndarray
    train: np.ndarray
    features: Callable[[np.ndarray], np.ndarray]
    space: str
    judge: Judge | None


@functools.lru_cache(maxsize=1)
def real(datasets: Datasets) -> Real:
    """Returns the real pictures of a data set and their judge, who is trained once."""
    from applications.autoencoding import scaled
    from applications.generation.features import pixel_features, train_judge

    split, labels = datasets.split, datasets.labels
    held = np.concatenate([split.get("val", np.arange(0)), split["test"]]).astype(np.int64)
    train = split["train"] if len(split.get("train", ())) else held  # other data have no training split
    pictures, known = scaled(datasets, held), scaled(datasets, train)
    if labels is None or datasets.num_classes < 2:
        return Real(pictures, known, pixel_features(known), "principal components of the pixels", None)
    judge = train_judge(known, labels[train], datasets.num_classes, (pictures, labels[held]))
    return Real(pictures, known, judge.features, "the last layer of a classifier of the training pictures", judge)


def report(application: ImageGeneration, model: keras.Model, datasets: Datasets) -> Result:
    """Returns scores, a grid of new pictures beside real ones, their nearest training pictures, and a walk.

    Args:
        application: The task.
        model: The trained model.
        datasets: The data with their split.
    """
    truth, count = real(datasets), application.judged
    low, high = application.pixel_range
    labels = application.turns(datasets, count)
    drawn = np.clip((application.draw(model, count, 1, labels) - low) / (high - low), 0, 1).astype(np.float32)
    features, known = truth.features(drawn), truth.features(truth.pictures)
    ours, _ = scores.compared_with_halves(known, features, ROUNDS)
    precision, recall = scores.precision_recall(known, features)
    metrics = {"kernel_distance": ours, "precision": precision, "recall": recall}
    notes = [
        f"Distances, precision and recall are in the features of {truth.space}, to {len(known)} pictures not "
        "trained on; the kernel distance is no FID or KID and can be compared within this run only."
    ]
    tables = []
    if truth.judge is not None:
        probabilities = truth.judge.classify(drawn)
        metrics |= scores.coverage(probabilities)
        if labels is not None:
            metrics["class_consistency"] = scores.class_consistency(probabilities, labels)
        tables.append(_classes(datasets, probabilities, labels))
        notes.append(f"The classifier is right for {truth.judge.accuracy:.1%} of the pictures not trained on.")
    if application.inception_weights is not None:
        metrics |= _inception(application.inception_weights, truth.pictures, drawn)
        notes.append("Inception distances are with keras.applications' weights, not those the FID was defined with.")
    metrics |= _bound(application, model, datasets)
    return Result(
        metrics=metrics,
        headline="kernel_distance",
        tables=tables,
        figures=[_new(drawn, labels, datasets, truth), _nearest(drawn, features, truth)],
        animations=_walk(application, model, datasets),
        notes=notes,
        commands=["generate {run} --count 64 -o out/"],
    )


def baseline(datasets: Datasets) -> tuple[str, dict[str, float]]:
    """Returns what two halves of the real pictures score: no model can do better."""
    truth = real(datasets)
    known = truth.features(truth.pictures)
    _, floor = scores.compared_with_halves(known, known, ROUNDS)
    half = len(known) // 2
    order = np.random.default_rng(0).permutation(len(known))
    precision, recall = scores.precision_recall(known[order[:half]], known[order[half:]])
    found = {"kernel_distance": floor, "precision": precision, "recall": recall}
    if truth.judge is not None:
        found |= scores.coverage(truth.judge.classify(truth.pictures))
    return "one half of the real pictures", found


def _inception(weights: str, pictures: np.ndarray, drawn: np.ndarray) -> dict[str, float]:
    from applications.generation.features import inception_features

    features = inception_features(weights)
    known, found = features(pictures), features(drawn)
    return {
        "inception_frechet_distance": scores.frechet_distance(known, found),
        "inception_kernel_distance": scores.kernel_distance(known, found),
    }


def _bound(application: ImageGeneration, model: keras.Model, datasets: Datasets) -> dict[str, float]:
    """Returns bits per dimension of test pictures where the model bounds their likelihood."""
    from applications.autoencoding import scaled
    from applications.generation.autoencoding_report import likelihood

    if type(model).__name__ != "VariationalAutoencoder":
        return {}
    test = datasets.split["test"]
    pictures: Any = scaled(datasets, test)
    if application.is_told(datasets) and datasets.labels is not None:
        pictures = {"input": pictures, "label": np.eye(datasets.num_classes, dtype=np.float32)[datasets.labels[test]]}
    return likelihood(model, pictures)


def _classes(datasets: Datasets, probabilities: np.ndarray, labels: np.ndarray | None) -> Table:
    found = probabilities.argmax(axis=1)
    rows: list[tuple[Any, ...]] = []
    for number, name in enumerate(datasets.class_names):
        row: tuple[Any, ...] = (name, float((found == number).mean()))
        rows.append(row if labels is None else (*row, float((found[labels == number] == number).mean())))
    columns = ("class", "share of the new pictures")
    note = "As the classifier sees them."
    if labels is None:
        return Table("Classes of the new pictures", columns, rows, note)
    return Table("Classes of the new pictures", (*columns, "right where asked for"), rows, note)


def _new(drawn: np.ndarray, labels: np.ndarray | None, datasets: Datasets, truth: Real) -> Figure:
    """Returns new pictures, those of one class in a column where the model is told classes, above real ones."""
    columns = min(12, datasets.num_classes) if labels is not None else 10
    chosen = np.arange(6 * columns)
    if labels is not None:
        chosen = np.concatenate(
            [np.arange(row, row + columns) for row in range(0, 6 * datasets.num_classes, datasets.num_classes)]
        )
    chosen = chosen[chosen < len(drawn)]
    rows = [
        ("" if start else "new", as_bytes(drawn[chosen[start : start + columns]]))
        for start in range(0, len(chosen), columns)
    ]
    places = np.random.default_rng(0).permutation(len(truth.pictures))[:columns]
    rows.append(("real", as_bytes(truth.pictures[places])))
    note = "The last row is real." if labels is None else "One class per column; the last row is real, of any class."
    return Figure("new_pictures", "New pictures", strips(rows), note)


def _nearest(drawn: np.ndarray, features: np.ndarray, truth: Real, count: int = 10) -> Figure:
    """Returns new pictures above the training picture nearest to each: equal ones are learnt by heart."""
    from scipy.spatial.distance import cdist

    known = truth.features(truth.train)
    places = cdist(features[:count], known).argmin(axis=1)
    rows = [("new", as_bytes(drawn[:count])), ("nearest", as_bytes(truth.train[places]))]
    note = "If they were equal, the model would have learnt its pictures by heart."
    return Figure("nearest", "The nearest training pictures", strips(rows), note)


def _walk(application: ImageGeneration, model: keras.Model, datasets: Datasets) -> list[Animation]:
    """Returns a walk through the noise, where the model draws from a code."""
    from applications.generation.drawing import codes_to_pictures
    from applications.generation.walks import walk

    found = codes_to_pictures(application, model, datasets, walkers=6)
    if found is None:
        return []
    draw, corners = found
    return [
        Animation("walk", "A walk through the noise", walk(draw, corners, 10, spherical=True), "Six walkers, and back.")
    ]
