"""A trained language model on long texts, window by window, and tokens covered for a BERT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from applications.core.errors import UserError

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from applications.text.tokenizer import TextTokenizer


def cover(windows: tf.Tensor, draws: tf.Tensor, rate: float, tokenizer: TextTokenizer) -> tuple:
    """Covers tokens as BERT's authors do: of those chosen, 80 % become [MASK], 10 % another token, 10 % stay.

    Args:
        windows: Token numbers, (batch, length).
        draws: Uniform numbers in [0, 1), one per token.
        rate: Share of tokens that are chosen.
        tokenizer: The tokeniser.

    Returns:
        Covered windows, windows, and the weights: 1 for chosen tokens, else 0.
    """
    import numpy as np
    import tensorflow as tf

    chosen = draws < rate
    share = draws / rate  # uniform again, for the chosen ones
    others = np.flatnonzero(tokenizer.ordinary).astype(np.int32)
    which = tf.cast((share - 0.8) * (10.0 * len(others)), tf.int32)
    other = tf.gather(tf.constant(others), tf.clip_by_value(which, 0, len(others) - 1))
    covered = tf.where(share < 0.8, tokenizer.mask, tf.where(share < 0.9, other, windows))
    return tf.where(chosen, covered, windows), windows, tf.cast(chosen, tf.float32)


def bits_of_tokens(model: keras.Model, ids: np.ndarray, start: int) -> np.ndarray:
    """Returns how many bits each token costs a model that foresees the next one.

    Windows overlap by half: every token is foreseen from at least half a window in front of it, except where the text
    itself begins.

    Args:
        model: Token numbers (batch, length) -> logits of the next tokens.
        ids: Token numbers of the text.
        start: First token that is measured, at least 1; those before it are context.

    Returns:
        Bits of `ids[start:]`.

    Raises:
        UserError: The text is shorter than a window.
    """
    import numpy as np

    from applications.core.inference import Predictor

    length, call = model.input_shape[1], Predictor(model, batch_size=64)
    if len(ids) <= length:
        raise UserError(f"The text has {len(ids)} tokens; at least {length + 1} are needed to measure it.")
    stride = max(1, length // 2)
    firsts = np.arange(start, len(ids), stride)
    ends = np.minimum(firsts + stride, len(ids))  # behind the last token measured in each window
    offsets = np.maximum(0, ends - 1 - length)
    bits = np.zeros(len(ids))
    for rows in np.array_split(np.arange(len(firsts)), -(-len(firsts) // 64)):
        inputs = offsets[rows][:, None] + np.arange(length)
        costs = bits_of_logits(call(ids[inputs]), ids[inputs + 1])
        for row, cost in zip(rows, costs, strict=True):
            first, end, offset = firsts[row], ends[row], offsets[row] + 1
            bits[first:end] = cost[first - offset : end - offset]
    return bits[start:]


def bits_of_logits(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Returns the bits of target tokens (...) under logits (..., vocabulary)."""
    import numpy as np
    from scipy.special import log_softmax

    chances = log_softmax(logits.astype(np.float64), axis=-1)
    return -np.take_along_axis(chances, targets[..., None], axis=-1)[..., 0] / np.log(2)
