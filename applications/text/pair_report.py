"""What the report of sequence-to-sequence shows: how many texts are right, what went wrong, what the model looks at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from applications.core.report import Figure, Result, Table

if TYPE_CHECKING:
    import keras
    import matplotlib.figure
    import numpy as np

    from applications.datasets.pairs import PairData
    from applications.text.tokenizer import TextTokenizer

MAPS, MISTAKES, MOST_KINDS = 6, 30, 30


def result(
    model: keras.Model, datasets: PairData, answers: Sequence[str], tokenizers: tuple[TextTokenizer, TextTokenizer]
) -> Result:
    """Returns the results on the test split.

    Args:
        model: The model.
        datasets: The pairs.
        answers: What the model made of the test sources, alone.
        tokenizers: Those of sources and of targets.
    """
    tables, figures = [mistakes(datasets, answers)], []
    if datasets.kinds:
        tables.insert(0, by_kind(datasets, answers))
    maps = attention_maps(model, datasets, answers, tokenizers)
    if maps is not None:
        figures.append(
            Figure(
                "attention",
                "What the model looks at",
                maps,
                "Each row is a token it writes, each column one it reads; dark counts most. Mistakes first.",
            )
        )
    notes = [
        "A text counts as right if all of it is, written by the model alone, without the true target in front of it."
    ]
    if datasets.name == "dates":
        notes.append("No calendar date of the test is among those of the training.")
        notes.append(
            "exact_match is of dates without a typo, exact_match_typos of those with one letter wrong in the month."
        )
    return Result(
        metrics=metrics(datasets, answers), headline="exact_match", tables=tables, figures=figures, notes=notes
    )


def metrics(datasets: PairData, answers: Sequence[str]) -> dict[str, float]:
    """Returns the shares of texts that are right (of sources with a typo apart), and of wrong characters."""
    import numpy as np

    _, targets = datasets.part("test")
    right = is_right(datasets, answers)
    noisy = np.zeros(len(right), bool) if datasets.noisy is None else datasets.noisy[datasets.split["test"]]
    found = {}
    if not noisy.all():
        found["exact_match"] = float(right[~noisy].mean())
    if noisy.any():
        found["exact_match_typos"] = float(right[noisy].mean())
    found.setdefault("exact_match", float(right.mean()))
    wrong = sum(edit_distance(a, b) for a, b in zip(answers, targets, strict=True))
    found["character_error_rate"] = wrong / sum(map(len, targets))
    return found


def is_right(datasets: PairData, answers: Sequence[str]) -> np.ndarray:
    """Returns which answers are their targets, token by token: words have lost their capitals on both sides."""
    import numpy as np

    from applications.text.tokenizer import TextTokenizer

    assert datasets.tokenizers is not None
    tokenizer = TextTokenizer(datasets.tokenizers[1]).uncut()
    pairs = zip(answers, datasets.part("test")[1], strict=True)
    return np.array([tokenizer.encode(answer) == tokenizer.encode(target) for answer, target in pairs])


def edit_distance(a: str, b: str) -> int:
    """Returns how many characters must be replaced, left out or added to make one text of the other."""
    if a == b:
        return 0
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def by_kind(datasets: PairData, answers: Sequence[str]) -> Table:
    """Returns how many texts of each kind are right, those with a typo apart."""
    import numpy as np

    rows, right = datasets.split["test"], is_right(datasets, answers)
    kinds = np.array([datasets.kinds[row] for row in rows])
    noisy = np.zeros(len(rows), bool) if datasets.noisy is None else datasets.noisy[rows]

    def share(chosen: np.ndarray) -> float | None:
        return float(right[chosen].mean()) if chosen.any() else None

    found = [
        (kind, int((kinds == kind).sum()), share((kinds == kind) & ~noisy), share((kinds == kind) & noisy))
        for kind in dict.fromkeys(datasets.kinds)
    ]
    found.sort(key=lambda row: (row[2] if row[2] is not None else 2.0, row[3] if row[3] is not None else 2.0))
    return Table("Right by format", ("format", "pairs", "right", "right with a typo"), found[:MOST_KINDS])


def mistakes(datasets: PairData, answers: Sequence[str]) -> Table:
    """Returns pairs that went wrong."""
    sources, targets = datasets.part("test")
    right = is_right(datasets, answers)
    wrong = [row for row, fine in zip(zip(sources, targets, answers, strict=True), right, strict=True) if not fine]
    note = f"{len(wrong)} of {len(sources)} test pairs." if wrong else "None."
    return Table("Mistakes", ("source", "target", "written"), wrong[:MISTAKES], note)


def attention_maps(
    model: keras.Model, datasets: PairData, answers: Sequence[str], tokenizers: tuple[TextTokenizer, TextTokenizer]
) -> matplotlib.figure.Figure | None:
    """Draws what the model looks at for some test pairs, mistakes first; None for a model without attention."""
    source, target = tokenizers
    sources, right = datasets.part("test")[0], is_right(datasets, answers)
    shown = sorted(range(len(sources)), key=lambda row: right[row])[:2]
    kinds = [datasets.kinds[row] for row in datasets.split["test"]] if datasets.kinds else sources
    seen: set[str] = set()
    for row in range(len(sources)):  # after the mistakes one of each kind
        if len(shown) < MAPS and kinds[row] not in seen and row not in shown:
            seen.add(kinds[row])
            shown.append(row)
    chosen = [answers[row] for row in shown]
    ids, written = source.batch([sources[row] for row in shown])[0], target.batch(chosen)[0]
    weights = looked_at(model, ids, written[:, :-1])
    if weights is None:
        return None
    names = [dict(zip(t.vocabulary.values(), t.vocabulary, strict=True)) for t in tokenizers]
    panels = []
    for row, place in enumerate(shown):
        read = [names[0][int(token)] for token in ids[row] if token]
        wrote = [names[1][int(token)] for token in written[row, 1:] if token]
        wrote = ["end" if name == "[SEP]" else name for name in wrote]
        panels.append((weights[row, : len(wrote), : len(read)], read, wrote, bool(right[place])))
    return draw_maps(panels)


def looked_at(model: keras.Model, source_ids: np.ndarray, target_ids: np.ndarray) -> np.ndarray | None:
    """Returns how much each token written looks at each token read, (pairs, written, read).

    Of a Transformer it is the mean of the heads of its last block; None for a model without attention.
    """
    from kerazoo.layers import AttentiveRNN
    from kerazoo.recurrent.attention import attention_weights

    if any(isinstance(layer, AttentiveRNN) for layer in model.layers):
        return attention_weights(model, source_ids, target_ids)
    if any(layer.name.endswith("_cross_attention") for layer in model.layers):
        from kerazoo.transformers import translation

        return list(translation.attention_weights(model, source_ids, target_ids).values())[-1].mean(axis=1)
    return None


def draw_maps(panels: Sequence[tuple[np.ndarray, list[str], list[str], bool]]) -> matplotlib.figure.Figure:
    """Draws attention weights with what is read along the top and what is written down the side."""
    from matplotlib.figure import Figure as Canvas

    from applications.core.figures import RIGHT, WRONG, short

    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    tallest = max(len(wrote) for _, _, wrote, _ in panels)
    figure = Canvas(figsize=(4.9 * columns, (0.9 + 0.17 * min(tallest, 40)) * rows), layout="constrained")
    for index, (weights, read, wrote, right) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axes.set_xticks(range(len(read)), [_shown(name) for name in read], fontsize=8, parse_math=False)
        axes.set_yticks(range(len(wrote)), [_shown(name) for name in wrote], fontsize=8, parse_math=False)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.set_xlabel(short("".join(wrote[:-1] if wrote[-1:] == ["end"] else wrote), 44), parse_math=False)
        axes.xaxis.label.set_color(RIGHT if right else WRONG)
    return figure


def _shown(name: str) -> str:
    return "␣" if name == " " else name[:8]


def baseline(datasets: PairData) -> tuple[str, dict[str, float]]:
    """Returns name and test metrics of the simple method."""
    if datasets.name == "dates":
        from applications.datasets.simulators.dates import read_date

        name, answers = "rules: the 15 formats of strptime", [read_date(source) for source in datasets.part("test")[0]]
    else:
        name, answers = "target of the most similar training source", _nearest(datasets)
    return (name, metrics(datasets, answers)) if answers else ("", {})


def _nearest(datasets: PairData) -> list[str]:
    """Returns the target of the training source that shares most pieces of one to three characters."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.neighbors import NearestNeighbors

    (known, answers), (asked, _) = datasets.part("train"), datasets.part("test")
    if not known:
        return []
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 3))
    search = NearestNeighbors(n_neighbors=1, metric="cosine").fit(vectorizer.fit_transform(known))
    return [answers[index] for index in search.kneighbors(vectorizer.transform(asked), return_distance=False)[:, 0]]
