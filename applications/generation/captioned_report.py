"""How well drawn pictures show what their captions say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from applications.core.report import Figure, Result, Table
from applications.datasets.captions import words_of

if TYPE_CHECKING:
    import keras

    from applications.datasets.captions import CaptionedImages
    from applications.text_to_image import TextToImage

ATTRIBUTES = ("colour", "shape", "relation")
CHOICES = 10  # captions among which a picture has to find its own


def report(application: TextToImage, model: keras.Model, datasets: CaptionedImages) -> Result:
    """Draws test captions and scores the pictures: simulated ones are read, all are shown to the run's own CLIP."""
    from applications.core import figures
    from applications.text_to_image import chosen_captions, vocabulary_of

    captions, words = chosen_captions(datasets, application.scored), vocabulary_of(datasets)
    pictures = application.pictures(model, words, captions, steps=application.steps, seed=application.seed)
    real = _real_pictures(datasets, captions)
    metrics = {"caption_match": caption_match(model, words.encode(captions), pictures, application.seed)}
    tables, headline = [], "caption_match"
    notes = [
        f"caption_match: for which share of the pictures the run's own CLIP finds their caption among {CHOICES}; by "
        f"guessing {1 / CHOICES:.0%} are right. It judges what it was trained with, so it is no independent score."
    ]
    if datasets.simulated:
        found, truth = attributes(captions, pictures), attributes(captions, real)
        others = attributes(captions[1:] + captions[:1], pictures)
        metrics, headline = {**found, **metrics}, "attribute_accuracy"
        rows: list[tuple] = [(name, found[name], truth[name], others[name]) for name in found]
        tables.append(Table("What the pictures show", ("attribute", "drawn", "real pictures", "by chance"), rows))
        notes.append(
            "Colours, shapes and places are read out of the pixels, without any network. By chance: the same pictures "
            "compared with the caption of another one."
        )
    shown = [picture for pair in zip(real[:8], pictures[:8], strict=True) for picture in pair]
    titles = [title for caption in captions[:8] for title in (_broken(caption), "drawn")]
    grid = figures.image_grid(shown, titles)
    return Result(
        metrics=metrics,
        headline=headline,
        tables=tables,
        figures=[Figure("drawn", "Captions never seen in training, real and drawn", grid)],
        notes=notes,
    )


def baseline(application: TextToImage, datasets: CaptionedImages) -> tuple[str, dict[str, float]]:
    """Shows for a test caption the picture of the training caption that has the most words in common."""
    from applications.text_to_image import chosen_captions

    if not datasets.simulated:
        return "", {}
    captions = chosen_captions(datasets, application.scored)
    known = {datasets.captions[i]: i for i in datasets.split["train"]}
    sets = [(set(words_of(caption)), index) for caption, index in known.items()]
    pictures = []
    for caption in captions:
        wanted = set(words_of(caption))
        _, index = max(sets, key=lambda entry: len(wanted & entry[0]) / len(wanted | entry[0]))
        pictures.append(datasets.images[index])
    return "picture of the most similar training caption", attributes(captions, np.stack(pictures))


def attributes(captions: list[str], pictures: np.ndarray) -> dict[str, float]:
    """Returns the mean over all pictures of what is right about colours, shapes and places, and the mean of these."""
    from applications.datasets.simulators.shapes import right_attributes, scene_of

    rows = []
    for caption, picture in zip(captions, pictures, strict=True):
        scene = scene_of(caption)
        assert scene is not None
        found = right_attributes(scene, picture)
        rows.append([found[name] for name in ATTRIBUTES])
    means = np.mean(rows, axis=0)
    return {"attribute_accuracy": float(means.mean()), **dict(zip(ATTRIBUTES, map(float, means), strict=True))}


def caption_match(model: keras.Model, token_ids: np.ndarray, pictures: np.ndarray, seed: int) -> float:
    """Returns how often the caption of a picture fits it better than nine others, as the model's CLIP sees it."""
    import keras

    images = np.asarray(model.clip.image_encoder.predict(pictures / 127.5 - 1, verbose=0))
    texts = np.asarray(model.clip.text_encoder.predict(token_ids, verbose=0))
    scores = keras.ops.convert_to_numpy(model.clip.scores(images.astype("float32"), texts.astype("float32")))
    random, count = np.random.default_rng(seed), len(pictures)
    right = []
    for row in range(count):
        others = random.permutation(np.delete(np.arange(count), row))[: CHOICES - 1]
        right.append(scores[row, row] > scores[row, others].max())
    return float(np.mean(right))


def _real_pictures(datasets: CaptionedImages, captions: list[str]) -> np.ndarray:
    """Returns a real picture of each test caption, as bytes."""
    from applications.core.pictures import as_bytes

    first: dict[str, int] = {}
    for index in datasets.split["test"]:
        first.setdefault(datasets.captions[index], int(index))
    return as_bytes(datasets.images.as_array([first[caption] for caption in captions]), *datasets.value_range)


def _broken(caption: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(caption, 16)[:4])
