"""What the report of a BERT shows: how well it fills in covered tokens."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from applications.core.report import Result, Table
from applications.text.windows import bits_of_logits

if TYPE_CHECKING:
    import keras
    import numpy as np

    from applications.datasets.streams import StreamData
    from applications.language_modelling import LanguageModelling
    from applications.text.tokenizer import TextTokenizer

SHOWN = 6


def report(app: LanguageModelling, model: keras.Model, datasets: StreamData, tokenizer: TextTokenizer) -> Result:
    """Returns the results on the end of the text."""
    ids = _ids(tokenizer, datasets.part("test"))
    covered, windows, chosen = cover_all(ids, app.context, app.mask_rate, tokenizer)
    logits = _logits(model, covered)
    return Result(
        metrics=_metrics(bits_of_logits(logits[chosen], windows[chosen]), logits[chosen].argmax(-1) == windows[chosen]),
        headline="bits_per_masked_token",
        tables=[_filled_in(tokenizer, covered, windows, chosen, logits)],
        notes=[
            f"{int(chosen.sum())} tokens of the held-out text, {app.mask_rate:.0%} of each window, were covered and "
            "filled in from both sides: these bits cannot be compared with those of a model that foresees the next one."
        ],
    )


def _ids(tokenizer: TextTokenizer, text: str) -> np.ndarray:
    import numpy as np

    return np.array(tokenizer.encode(text), np.int32)


def _logits(model: keras.Model, covered: np.ndarray) -> np.ndarray:
    from applications.core.inference import predict_array

    return predict_array(model, covered, batch_size=32)


def _metrics(bits: np.ndarray, right: np.ndarray) -> dict[str, float]:
    return {
        "bits_per_masked_token": float(bits.mean()),
        "perplexity": float(2 ** bits.mean()),
        "masked_accuracy": float(right.mean()),
    }


def cover_all(ids: np.ndarray, length: int, rate: float, tokenizer: TextTokenizer) -> tuple[np.ndarray, ...]:
    """Returns windows side by side with covered tokens, as they were, and which tokens are to be filled in.

    The same for the same tokens, in all windows at least one. A last window that is not full is left out.
    """
    import numpy as np

    from applications.core.errors import UserError

    if len(ids) < length:
        raise UserError(f"The text has {len(ids)} tokens; at least {length} are needed to measure it.")
    windows = ids[: len(ids) // length * length].reshape(-1, length)
    random = np.random.default_rng(0)
    order = random.random(windows.shape).argsort(axis=1)
    chosen = order < max(1, round(rate * length))
    share, others = random.random(windows.shape), np.flatnonzero(tokenizer.ordinary)
    other = random.choice(others, windows.shape)
    covered = np.where(share < 0.8, tokenizer.mask, np.where(share < 0.9, other, windows))
    return np.where(chosen, covered, windows).astype(np.int32), windows, chosen


def measured(model: keras.Model, tokenizer: TextTokenizer, text: str, rate: float) -> dict[str, float]:
    """Returns the metrics of a text."""
    covered, windows, chosen = cover_all(_ids(tokenizer, text), model.input_shape[1], rate, tokenizer)
    logits = _logits(model, covered)[chosen]
    return _metrics(bits_of_logits(logits, windows[chosen]), logits.argmax(-1) == windows[chosen])


def baseline(app: LanguageModelling, datasets: StreamData, tokenizer: TextTokenizer) -> tuple[str, dict[str, float]]:
    """Returns name and metrics of the counts of tokens between the same two neighbours."""
    import numpy as np

    train = _ids(tokenizer, datasets.part("train")).tolist()
    single = Counter(train)
    between: dict[tuple[int, int], Counter] = defaultdict(Counter)
    for left, token, right in zip(train, train[1:], train[2:], strict=False):
        between[left, right][token] += 1
    covered, windows, chosen = cover_all(_ids(tokenizer, datasets.part("test")), app.context, app.mask_rate, tokenizer)
    bits, right_answers = [], []
    commonest = single.most_common(1)[0][0]
    for row, place in np.argwhere(chosen).tolist():
        token = int(windows[row, place])
        sides = covered[row, max(0, place - 1)], covered[row, min(app.context - 1, place + 1)]
        found = between.get((int(sides[0]), int(sides[1])), Counter())
        alone = (single[token] + 1) / (len(train) + tokenizer.vocab_size)
        bits.append(-np.log2((found[token] + len(found) * alone) / (found.total() + len(found)) if found else alone))
        right_answers.append((found.most_common(1)[0][0] if found else commonest) == token)
    return "counts of the tokens between two neighbours", _metrics(np.array(bits), np.array(right_answers))


def _filled_in(
    tokenizer: TextTokenizer, covered: np.ndarray, windows: np.ndarray, chosen: np.ndarray, logits: np.ndarray
) -> Table:
    """Returns some windows with their gaps and what the model put there."""
    rows: list[tuple[Any, ...]] = []
    for row in range(min(SHOWN, len(windows))):
        gaps = "".join(
            "_" if hidden else tokenizer.decode([token])
            for token, hidden in zip(windows[row], chosen[row], strict=True)
        )
        answers = logits[row].argmax(-1)
        filled = "".join(
            f"[{tokenizer.decode([answer])}]" if hidden else tokenizer.decode([token])
            for token, answer, hidden in zip(windows[row], answers, chosen[row], strict=True)
        )
        rows.append((gaps, filled))
    return Table("Filled in", ("text with gaps", "the model's answers"), rows)
