"""What a run of `autoencoding` says about its model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from applications.core.fidelity import fidelity, squared_errors
from applications.core.report import Animation, Figure, Result, Table
from applications.generation.walks import decode, encode, reconstruct, walk

if TYPE_CHECKING:
    import keras
    import matplotlib.figure

    from applications.autoencoding import Autoencoding
    from applications.datasets.data import Datasets

SHOWN, DRAWN = 10, 1000
MEDIAN = 3  # pixels, side of the median filter


def report(application: Autoencoding, model: keras.Model, datasets: Datasets) -> Result:
    """Returns scores of reconstructions, the map of the codes, and new pictures of a variational model.

    Args:
        application: The task.
        model: The trained model, pixels in [0, 1].
        datasets: The data with their split.
    """
    from applications.autoencoding import scaled

    test = datasets.split["test"]
    clean = scaled(datasets, test)
    given = clean if application.corruption is None else application.corrupted(clean)
    found = reconstruct(model, given)
    errors = squared_errors(clean, found)
    metrics = fidelity(clean, found) | {"mse_95_percent": float(np.quantile(errors, 0.95))}
    headline, notes = "mse" if application.corruption is None else "psnr", ["Errors are those of pixels in [0, 1]."]
    figures = [_reconstructions(given, clean, found, errors, application.corruption is not None)]
    codes = encode(model, clean)
    figures.append(_map(codes, datasets, test))
    if application.is_variational:
        headline = "bits_per_dimension"
        metrics |= likelihood(model, clean)
        notes.append(_likelihood_note(model))
        drawn, more, sentence = _prior(model, datasets)
        metrics |= more
        notes += sentence
        figures.insert(0, drawn)
    return Result(
        metrics=metrics,
        headline=headline,
        tables=[_unusual(datasets, test, errors)],
        figures=figures,
        animations=[_walk(model, codes, application.is_variational)],
        notes=notes,
    )


def likelihood(model: keras.Model, pictures: Any) -> dict[str, float]:
    """Returns the evidence lower bound in nats per picture, and the bits per pixel and channel it stands for."""
    from kerazoo.autoencoders.vae import bound

    nats = float(np.mean(bound(model, pictures, samples=1)))
    tighter = float(np.mean(bound(model, pictures, samples=16)))
    bits = math.prod(model.output_shape[1:]) * math.log(2)
    return {
        "elbo_nats": nats,
        "bits_per_dimension": -nats / bits,
        "bits_per_dimension_16_samples": -tighter / bits,
    }


def factorised_bits(train: np.ndarray, test: np.ndarray, bernoulli: bool) -> float:
    """Returns bits per pixel and channel of a model in which no pixel knows of another.

    Args:
        train: Pictures its parameters are fitted to, pixels in [0, 1].
        test: Pictures it is tested on.
        bernoulli: Whether a pixel is the probability of a one; else it is normal with a variance of 1, both as in the
            variational models.
    """
    mean = train.mean(axis=0, dtype=np.float64)
    if not bernoulli:
        nats = 0.5 * np.square(test - mean) + 0.5 * math.log(2 * math.pi)
    else:
        p = np.clip(mean, 1 / (len(train) + 2), 1 - 1 / (len(train) + 2))
        nats = -(test * np.log(p) + (1 - test) * np.log(1 - p))
    return float(nats.mean() / math.log(2))


def baseline(application: Autoencoding, datasets: Datasets) -> tuple[str, dict[str, float]]:
    """Returns name and metrics of the simple method beside the model."""
    from applications.autoencoding import scaled

    test = scaled(datasets, datasets.split["test"])
    if application.corruption is not None:
        from scipy.ndimage import median_filter

        filtered = median_filter(application.corrupted(test), (1, MEDIAN, MEDIAN, 1))
        return f"median filter of {MEDIAN} x {MEDIAN} pixels", fidelity(test, filtered)
    train = scaled(datasets, datasets.split["train"])
    if application.is_variational:
        bits = factorised_bits(train, test, application.options["output_activation"] == "sigmoid")
        return "pixels independent of each other", {"bits_per_dimension": bits}
    size = min(application.options["latent_dim"], len(train), math.prod(train.shape[1:]))
    return f"{size} principal components", fidelity(test, principal_components(train, test, size))


def principal_components(train: np.ndarray, test: np.ndarray, size: int) -> np.ndarray:
    """Returns what `size` principal components of the training pictures keep of the test pictures."""
    from sklearn.decomposition import PCA

    components = PCA(size, random_state=0).fit(train.reshape(len(train), -1))
    return components.inverse_transform(components.transform(test.reshape(len(test), -1))).reshape(test.shape)


def _likelihood_note(model: keras.Model) -> str:
    from kerazoo.autoencoders._models import is_bernoulli

    if is_bernoulli(model):
        return "Bits per dimension take a pixel in [0, 1] for the probability of a one (Bernoulli), here and beside it."
    return "Bits per dimension are those of a normal density with a variance of 1 on pixels in [0, 1]."


def _prior(model: keras.Model, datasets: Datasets) -> tuple[Figure, dict[str, float], list[str]]:
    """Returns pictures of random codes and, where there are classes, what a classifier says of them."""
    from applications.autoencoding import scaled
    from applications.generation.features import train_judge
    from applications.generation.scores import coverage

    drawn = model.generate(DRAWN, seed=1)
    figure = Figure("new_pictures", "New pictures", _grid(drawn[:40]), "Decoded from random codes.")
    if datasets.labels is None or len(datasets.split.get("train", ())) < 2:
        return figure, {}, []
    train, test = datasets.split["train"], datasets.split["test"]
    labels = datasets.labels
    judge = train_judge(
        scaled(datasets, train), labels[train], datasets.num_classes, (scaled(datasets, test), labels[test])
    )
    sentence = (
        f"A classifier trained apart, right for {judge.accuracy:.1%} of the test split, judges {DRAWN} new pictures."
    )
    return figure, coverage(judge.classify(drawn)), [sentence]


def _walk(model: keras.Model, codes: np.ndarray, spherical: bool) -> Animation:
    """Returns a walk between the codes of test pictures."""
    walkers, corners = 6, 4
    order = np.random.default_rng(0).permutation(len(codes))
    places = np.resize(order, corners * walkers).reshape(corners, walkers)
    frames = walk(lambda given: decode(model, given), codes[places], 10, spherical)
    return Animation(
        "walk", "From picture to picture through their codes", frames, "Six walkers between test pictures and back."
    )


def _reconstructions(
    given: np.ndarray, clean: np.ndarray, found: np.ndarray, errors: np.ndarray, noisy: bool
) -> Figure:
    """Returns test pictures from the best to the worst reconstruction, evenly."""
    order = np.argsort(errors)
    shown = order[np.unique(np.linspace(0, len(order) - 1, min(SHOWN, len(order))).astype(int))]
    rows = {"clean" if noisy else "picture": clean, **({"given": given} if noisy else {}), "model": found}
    rows["difference"] = 0.5 + 0.5 * (found - clean)
    title = "From the smallest error on the left to the largest on the right; grey is no difference."
    return Figure("reconstructions", "Reconstructions of the test split", _rows(rows, shown), title)


def _rows(rows: dict[str, np.ndarray], shown: np.ndarray) -> matplotlib.figure.Figure:
    from applications.core.pictures import as_bytes, strips

    return strips([(name, as_bytes(pictures[shown])) for name, pictures in rows.items()])


def _grid(pictures: np.ndarray, columns: int = 10) -> matplotlib.figure.Figure:
    from applications.core.pictures import as_bytes, strips

    parts = [as_bytes(pictures[start : start + columns]) for start in range(0, len(pictures), columns)]
    return strips([("", part) for part in parts])


def _map(codes: np.ndarray, datasets: Datasets, test: np.ndarray) -> Figure:
    """Returns the codes of the test split in two dimensions, coloured by class where there are classes."""
    from matplotlib.figure import Figure as Canvas
    from sklearn.decomposition import PCA

    from applications.core.figures import TRAIN, class_colours, short

    if codes.shape[1] > 2 and len(codes) > 2:
        components = PCA(2, random_state=0).fit(codes)
        places, share = components.transform(codes), components.explained_variance_ratio_.sum()
        note = f"Codes of the test split on their first two principal components ({share:.0%} of their variance)."
    else:
        places, note = np.pad(codes, ((0, 0), (0, max(0, 2 - codes.shape[1])))), "Codes of the test split."
    canvas = Canvas(figsize=(7.6, 5.2), layout="constrained")
    axes = canvas.add_subplot()
    if datasets.labels is None:
        axes.scatter(*places[:, :2].T, s=14, color=TRAIN, alpha=0.7, linewidths=0)
    else:
        colours = class_colours(datasets.num_classes + 1)[1:] / 255  # black is for backgrounds
        for number, name in enumerate(datasets.class_names):
            members = datasets.labels[test] == number
            axes.scatter(*places[members, :2].T, s=16, color=colours[number], label=short(name, 20), linewidths=0)
        if datasets.num_classes <= 20:
            legend = canvas.legend(loc="outside right center", frameon=False, fontsize=8)
            for text in legend.get_texts():
                text.set_parse_math(False)
    axes.set_xlabel("first component")
    axes.set_ylabel("second component")
    axes.grid(alpha=0.25)
    return Figure("codes", "Map of the codes", canvas, note)


def _unusual(datasets: Datasets, test: np.ndarray, errors: np.ndarray, count: int = 10) -> Table:
    """Returns the test pictures that the model gives back the worst."""
    order = np.argsort(-errors, kind="stable")[:count]
    labels, rows = datasets.labels, list[tuple[Any, ...]]()
    for index in order:
        sample = test[index]
        name = "" if labels is None else datasets.class_names[labels[sample]]
        rows.append((datasets.ids[sample], name, float(errors[index]), float(errors[index] / np.median(errors))))
    note = "What the model has not learnt to describe; `kerazoo predict` writes the same error for your own files."
    return Table("The most unusual pictures", ("picture", "class", "mse", "times the median"), rows, note)
