"""What the report of a language model shows: bits per character, the simple methods beside it, and what it writes."""

from __future__ import annotations

import bz2
from typing import TYPE_CHECKING, Any

from applications.core.report import Figure, Result, Table
from applications.text.ngrams import ANY_CHARACTER, ORDER, CharacterNgrams
from applications.text.windows import bits_of_tokens

if TYPE_CHECKING:
    import keras
    import numpy as np

    from applications.datasets.streams import StreamData
    from applications.language_modelling import LanguageModelling
    from applications.text.tokenizer import TextTokenizer

TEMPERATURES = (0.5, 0.8, 1.0)
PROMPT, WRITTEN = 60, 300  # characters, tokens
NEW = "bits_per_character_of_new_paragraphs"
CONTEXT = 20_000  # characters in front of the test text that are handed over as context, more than any window needs


def report(app: LanguageModelling, model: keras.Model, datasets: StreamData, tokenizer: TextTokenizer) -> Result:
    """Returns the results on the end of the text."""
    text, (start, stop) = datasets.text, datasets.span("test")
    bits, places, unknown = _test_bits(model, datasets, tokenizer)
    metrics = _metrics(bits, stop - start)
    notes = [
        "Every token is foreseen from at least half a window of the text in front of it; windows overlap by half.",
    ]
    if unknown:
        notes.append(
            f"{unknown} characters do not occur in the training text; each costs {ANY_CHARACTER:.1f} bits more, as "
            "many as name a character of Unicode."
        )
    new = unseen(datasets, places)
    if new is not None and 0 < new.sum() < len(new):
        known = 1 - _characters(new, places, stop - start) / (stop - start)
        metrics[NEW] = float(bits[new].sum() / _characters(new, places, stop - start))
        notes.append(
            f"{known:.0%} of the held-out text are paragraphs that stand in the training text, too; the bits of the "
            "others are given by themselves."
        )
    return Result(
        metrics=metrics,
        headline="bits_per_character",
        tables=[compressors(datasets), written(app, model, tokenizer, text[start:stop])],
        figures=[along_figure(bits, places, stop - start)],
        notes=notes,
    )


def scores(model: keras.Model, datasets: StreamData, tokenizer: TextTokenizer) -> dict[str, float]:
    """Returns the metrics on the end of the text, as the report gives them."""
    start, stop = datasets.span("test")
    return _metrics(_test_bits(model, datasets, tokenizer)[0], stop - start)


def _test_bits(
    model: keras.Model, datasets: StreamData, tokenizer: TextTokenizer
) -> tuple[np.ndarray, np.ndarray, int]:
    text, (start, stop) = datasets.text, datasets.span("test")
    return _bits(model, tokenizer, text[max(0, start - CONTEXT) : start], text[start:stop])


def _bits(model: keras.Model, tokenizer: TextTokenizer, before: str, text: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns the bits of each token of a text, where each begins, and how many are unknown."""
    import numpy as np

    context = np.array(tokenizer.encode(before), np.int32) if before else np.zeros(0, np.int32)
    ids, places = tokenizer.encode_with_places(text)
    start = max(1, len(context))  # the very first token of all has nothing to be foreseen from
    bits = bits_of_tokens(model, np.concatenate([context, ids]), start)
    skipped = start - len(context)
    strange = ids[skipped:] == tokenizer.unknown
    return bits + ANY_CHARACTER * strange, places[skipped:], int(strange.sum())


def _metrics(bits: np.ndarray, characters: int) -> dict[str, float]:
    return {"bits_per_character": float(bits.sum() / characters), "perplexity": float(2 ** bits.mean())}


def measured(model: keras.Model, tokenizer: TextTokenizer, text: str) -> dict[str, float]:
    """Returns the metrics of a text that has nothing in front of it."""
    bits, places, _ = _bits(model, tokenizer, "", text)
    return _metrics(bits, len(text) - int(places[0]))


def unseen(datasets: StreamData, places: np.ndarray) -> np.ndarray | None:
    """Returns which tokens of the test text lie in paragraphs that the training text does not have, or None."""
    import numpy as np

    if not datasets.part("train"):
        return None
    # Lines are broken elsewhere where a passage is indented otherwise.
    known = {" ".join(paragraph.split()) for paragraph in datasets.part("train").split("\n\n")}
    ends, new, end = [], [], 0
    for paragraph in datasets.part("test").split("\n\n"):
        end += len(paragraph) + 2
        ends.append(end)
        new.append(" ".join(paragraph.split()) not in known)
    return np.array(new)[np.searchsorted(ends, places, side="right").clip(max=len(new) - 1)]


def _characters(chosen: np.ndarray, places: np.ndarray, characters: int) -> int:
    """Returns how many characters the chosen tokens are."""
    import numpy as np

    return int(np.diff(np.append(places, characters))[chosen].sum())


def baseline(datasets: StreamData) -> tuple[str, dict[str, float]]:
    """Returns name and metrics of interpolated counts of characters, on the same text."""
    start, stop = datasets.span("test")
    ngrams = CharacterNgrams(datasets.part("train"))
    bits = ngrams.bits(datasets.text[max(0, start - ORDER) : stop], min(start, ORDER))
    metrics = {"bits_per_character": float(bits.mean())}
    new = unseen(datasets, _every(bits))
    if new is not None and 0 < new.sum() < len(new):
        metrics[NEW] = float(bits[new].mean())
    return f"counts of up to {ORDER} characters in a row (Witten-Bell)", metrics


def _every(bits: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.arange(len(bits))


def compressors(datasets: StreamData) -> Table:
    """Returns what a compressor makes of the test text, alone and behind the training text."""
    test, train = datasets.part("test"), datasets.part("train")
    rows: list[tuple[Any, ...]] = [("bz2, the held-out text alone", compressed(test) / len(test))]
    if train:
        both = compressed(train + test) - compressed(train)
        rows.append(("bz2, what the held-out text adds to the training text", both / len(test)))
    return Table(
        "Compressors",
        ("method", "bits per character"),
        rows,
        "A program that foresees text well compresses it well. bz2 finds repeated passages, wherever they are.",
    )


def compressed(text: str) -> int:
    """Returns the bits of a text after bz2."""
    return 8 * len(bz2.compress(text.encode("utf-8", "surrogatepass")))


def along_figure(bits: np.ndarray, places: np.ndarray, characters: int) -> Figure:
    """Returns the picture of the bits per character along the held-out text."""
    import numpy as np
    from matplotlib.figure import Figure as Canvas

    edges = np.linspace(0, characters, min(100, max(2, characters // 200)) + 1)
    sums, _ = np.histogram(places, edges, weights=bits)
    figure = Canvas(figsize=(7.5, 2.6), layout="constrained")
    axes = figure.add_subplot()
    axes.stairs(sums / np.diff(edges), edges, baseline=None, color="#0072b2")
    axes.axhline(bits.sum() / characters, color="#d55e00", linestyle="--", label="mean")
    axes.set_xlabel("character of the held-out text")
    axes.set_ylabel("bits per character")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    figure.legend(loc="outside upper right", frameon=False)
    note = "Low where the text repeats what was learnt, high where it is new."
    return Figure("along_the_text", "Along the held-out text", figure, note)


def written(app: LanguageModelling, model: keras.Model, tokenizer: TextTokenizer, text: str) -> Table:
    """Returns what the model writes behind the first words of the held-out text, at several temperatures."""
    from applications.text.writing import write_on

    # The first line of a paragraph; behind spaces at its end a sober model would write nothing but spaces.
    prompt = text[max(0, text.find("\n\n")) :].strip().partition("\n")[0][:PROMPT].rstrip()
    rows: list[tuple[Any, ...]] = []
    for temperature in TEMPERATURES:
        count = 20 if app.fast_dev_run else WRITTEN
        found = write_on(model, tokenizer, prompt, count, temperature=temperature, seed=app.seed)
        rows.append((f"{temperature:g}", found))
    note = f"Behind the prompt {prompt!r}, from sober to bold."
    return Table("What the model writes", ("temperature", "text"), rows, note)
