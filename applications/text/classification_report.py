"""What the report of a text classifier shows: figures of merit, mistakes, lengths, the simple method beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core.report import Figure, Result, Table

if TYPE_CHECKING:
    import matplotlib.figure
    import numpy as np

    from applications.datasets.texts import TextData
    from applications.text.tokenizer import TextTokenizer
    from applications.text_classification import Prediction

MISTAKES, SHOWN = 15, 240  # rows of the table of mistakes, characters of a text in it


def report(
    datasets: TextData, tokenizer: TextTokenizer, ids: np.ndarray, cut: np.ndarray, probabilities: np.ndarray
) -> Result:
    """Returns the results on the test split.

    Args:
        datasets: The texts.
        tokenizer: What the model reads them with.
        ids: Token numbers of the test texts, (texts, length).
        cut: Which of them were cut, (texts,).
        probabilities: The model's outputs, (texts, classes).
    """
    import numpy as np
    from sklearn.metrics import confusion_matrix

    from applications.core import figures
    from applications.image_classification import classification_metrics

    labels, names, texts = datasets.labels[datasets.split["test"]], datasets.class_names, datasets.part("test")
    metrics, table = classification_metrics(labels, probabilities, names, unit="texts")
    matrix = confusion_matrix(labels, probabilities.argmax(axis=1), labels=np.arange(len(names)))
    read = ids[ids != 0]
    unknown = float((read == tokenizer.unknown).mean()) if read.size else 0.0
    return Result(
        metrics=metrics,
        headline="accuracy",
        tables=[table, mistakes(texts, labels, probabilities, names)],
        figures=[
            Figure("confusion_matrix", "Confusion matrix of the test split", figures.confusion_matrix(matrix, names)),
            lengths_figure(datasets, tokenizer),
        ],
        notes=[
            f"The model reads the first {tokenizer.length} tokens of a text; {int(cut.sum())} of {len(texts)} test "
            f"texts are longer and were cut. The tokeniser has {tokenizer.vocab_size:,} tokens, learnt in training; "
            f"{unknown:.1%} of the tokens of the test texts are unknown to it."
        ],
    )


def mistakes(texts: Sequence[str], labels: np.ndarray, probabilities: np.ndarray, names: Sequence[str]) -> Table:
    """Returns the wrong answers the model is surest of."""
    import numpy as np

    from applications.core.figures import short

    predicted = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    wrong = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:MISTAKES]
    rows: list[tuple[Any, ...]] = [
        (short(texts[i], SHOWN), names[labels[i]], names[predicted[i]], float(probabilities[i].max())) for i in wrong
    ]
    return Table("Surest mistakes", ("text", "true", "predicted", "probability"), rows)


def lengths_figure(datasets: TextData, tokenizer: TextTokenizer) -> Figure:
    """Returns the histogram of the tokens per text, with a line where texts are cut."""
    import numpy as np

    lengths = tokenizer.uncut().lengths(datasets.texts)
    figure = _canvas()
    axes = figure.add_subplot()
    axes.hist(lengths, bins=np.geomspace(max(1, lengths.min()), lengths.max() + 1, 40).tolist(), color="#0072b2")
    axes.axvline(tokenizer.length or 0, color="#d55e00", linestyle="--", label=f"read: {tokenizer.length} tokens")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("tokens of a text")
    axes.set_ylabel("texts")
    axes.grid(alpha=0.25)
    figure.legend(loc="outside upper right", frameon=False)
    return Figure("lengths", "Lengths of all texts", figure)


def _canvas() -> matplotlib.figure.Figure:
    from matplotlib.figure import Figure as Canvas

    return Canvas(figsize=(6.4, 3.2), layout="constrained")


def baseline(datasets: TextData) -> tuple[str, dict[str, float]]:
    """Returns name and test metrics of logistic regression on TF-IDF, its penalty chosen on the validation split."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    from applications.image_classification import classification_metrics

    labels = {name: datasets.labels[indices] for name, indices in datasets.split.items()}
    if len(np.unique(labels["train"])) < 2:
        return "", {}
    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
    try:
        train = vectorizer.fit_transform(datasets.part("train"))
    except ValueError:  # texts without a single word in Latin letters or the like
        return "", {}
    val, test = (vectorizer.transform(datasets.part(name)) for name in ("val", "test"))
    fitted = [LogisticRegression(C=c, max_iter=2000).fit(train, labels["train"]) for c in (1.0, 10.0, 100.0)]
    best = max(fitted, key=lambda model: model.score(val, labels["val"]))
    shares = np.zeros((len(labels["test"]), datasets.num_classes))
    shares[:, best.classes_] = best.predict_proba(test)  # a class may lack training texts
    metrics, _ = classification_metrics(labels["test"], shares, datasets.class_names)
    return f"logistic regression (C {best.C:g}) on TF-IDF of words and pairs of words", metrics


def write(predictions: Sequence[Prediction], folder: Path, title: str) -> list[Path]:
    """Writes `NAME_predictions.csv` for each CSV file and one `predictions.csv` for all files that are one text."""
    import csv
    import io

    from applications.core.inference import unique_stems
    from applications.core.run_directory import write_atomically

    def save(name: str, rows: list[list[Any]]) -> Path:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(
            [["" if cell is None else cell for cell in row] for row in rows]
        )
        write_atomically(folder / name, text.getvalue())
        return folder / name

    written = []
    single = [p for p in predictions if p.file is None]
    tables = [p for p in predictions if p.file is not None]
    if single:
        rows: list[list[Any]] = [["file", title, "probability"]]
        rows += [[p.path, p.labels[0], _rounded(p.probabilities[0])] for p in single]
        written.append(save("predictions.csv", rows))
    for stem, p in zip(unique_stems(p.path for p in tables), tables, strict=True):
        assert p.file is not None
        answers = (p.labels, [_rounded(value) for value in p.probabilities])
        rows = [[*p.file.names, title, "probability"], *map(list, zip(*p.file.columns, *answers, strict=True))]
        written.append(save(f"{stem}_predictions.csv", rows))
    return written


def _rounded(probability: float | None) -> str | None:
    return None if probability is None else f"{probability:.6f}"
