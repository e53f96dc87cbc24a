"""Recurrent networks: the simple one, LSTM and GRU, in the four shapes of one or many inputs and outputs.

J. L. Elman, "Finding structure in time", Cognitive Science 14, 1990. S. Hochreiter, J. Schmidhuber, "Long short-term
memory", Neural Computation 9, 1997, with the forget gate of F. A. Gers, J. Schmidhuber, F. Cummins, "Learning to
forget", Neural Computation 12, 2000. K. Cho et al., "Learning phrase representations using RNN encoder-decoder for
statistical machine translation", arXiv:1406.1078 (2014). Dropout as in W. Zaremba, I. Sutskever, O. Vinyals, "Recurrent
neural network regularization", arXiv:1409.2329 (2014): between the layers only, never from step to step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypedDict, Unpack

import keras
import numpy as np
from keras import layers

from kerazoo import checks
from kerazoo.catalog import register_model
from kerazoo.generation.stepper import Stepper
from kerazoo.recurrent._stepping import advancing, advancing_model, beginning

MODES = ("one_to_one", "one_to_many", "many_to_one", "many_to_many")


class RecurrentOptions(TypedDict, total=False):
    """Keyword arguments of all recurrent networks."""

    mode: str
    vocab_size: int | None
    embedding_dim: int
    units: int
    num_layers: int
    bidirectional: bool
    stateful: bool
    batch_size: int | None
    mask_value: float | None
    classifier_activation: Any
    dropout_rate: float
    weights: str | None
    dtype: str | None
    name: str


def _check_together(
    name: str,
    sizes: checks.Shape,
    num_classes: int,
    *,
    mode: str,
    vocab_size: int | None,
    bidirectional: bool,
    stateful: bool,
    batch_size: int | None,
    mask_value: float | None,
) -> None:
    """Refuses what cannot work together."""
    condition = mode == "one_to_many"
    vector = condition or vocab_size is not None
    if len(sizes) != (1 if vector else 2):
        wanted = (
            "(length of the condition,)" if mode == "one_to_many" else "(steps,)" if vector else "(steps, features)"
        )
        raise ValueError(f"input_shape of {name} must be {wanted} here. Received: input_shape={sizes!r}, mode={mode!r}")
    if sizes[-1] is None and (vocab_size is None or condition):
        raise ValueError(f"input_shape of {name} needs a fixed number of features. Received: input_shape={sizes!r}")
    if mode == "one_to_one" and sizes[0] != 1:
        raise ValueError(f"input_shape of {name} must have 1 step with mode='one_to_one'. Received: {sizes!r}")
    if condition:
        if vocab_size != num_classes:
            raise ValueError(
                "vocab_size must equal num_classes with mode='one_to_many', where the outputs are fed in again. "
                f"Received: vocab_size={vocab_size!r}, num_classes={num_classes!r}"
            )
        if bidirectional or stateful:
            raise ValueError("mode='one_to_many' cannot be bidirectional or stateful: its first state is the condition")
    if mask_value is not None and vector:
        raise ValueError("mask_value is for features; with vocab_size token 0 is the padding")
    if stateful and batch_size is None:
        raise ValueError("stateful=True needs batch_size, since every row of the batch has a state of its own")


def _recurrent(
    layer: Callable[..., layers.RNN],
    prefix: str,
    /,
    input_shape: Sequence[int | None],
    num_classes: int,
    *,
    mode: str = "many_to_one",
    vocab_size: int | None = None,
    embedding_dim: int = 128,
    units: int = 128,
    num_layers: int = 1,
    bidirectional: bool = False,
    stateful: bool = False,
    batch_size: int | None = None,
    mask_value: float | None = None,
    classifier_activation: Any = "softmax",
    dropout_rate: float = 0.0,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "rnn",
) -> keras.Model:
    """Builds a stack of recurrent layers and its head.

    Args:
        input_shape: `(steps, features)`; `(steps,)` with `vocab_size`; in either the steps may be `None`. With
            `mode="one_to_many"` the `(features,)` of the condition.
        num_classes: Number of classes, or of numbers to be forecast with `classifier_activation=None`.
        mode: `"many_to_one"`: one answer after the last step that is no padding. `"many_to_many"`: an answer at
            every step, as for a language model. `"one_to_one"`: the same for a sequence of one step.
            `"one_to_many"`: a sequence of tokens about one vector, which makes the initial states; the inputs are
            `condition` and `target_ids`, the tokens before each answer.
        vocab_size: Makes the input token numbers below this, of which 0 is padding and is masked. Defaults to `None`,
            features.
        embedding_dim: Length of a token's vector.
        units: Units of each layer, per direction.
        num_layers: Layers on top of each other.
        bidirectional: Whether each layer also reads backwards; both readings are concatenated.
        stateful: Whether a batch goes on with the states the last one ended in, until `layer.reset_state()`.
        batch_size: Fixed size of the batches, for `stateful=True`.
        mask_value: Steps all of whose features have this value are padding. Defaults to `None`, no padding.
        dropout_rate: Fraction of what goes from layer to layer that is dropped, embedding and head included; nothing
            is dropped on the way from step to step.

    Returns:
        A flat functional `keras.Model`, (batch, steps, features) or (batch, steps) -> (batch, num_classes) or
        (batch, steps, num_classes).
    """
    num_classes = checks.positive_int("num_classes", num_classes)
    checks.one_of("mode", mode, MODES)
    for word, value in (("vocab_size", vocab_size), ("batch_size", batch_size)):
        if value is not None:
            checks.positive_int(word, value)
    embedding_dim = checks.positive_int("embedding_dim", embedding_dim)
    units, num_layers = checks.positive_int("units", units), checks.positive_int("num_layers", num_layers)
    checks.flag("bidirectional", bidirectional)
    checks.flag("stateful", stateful)
    checks.activation("classifier_activation", classifier_activation)
    dropout_rate = checks.fraction("dropout_rate", dropout_rate)
    sizes = checks.shape(input_shape, ranks=(1, 2))
    _check_together(
        name,
        sizes,
        num_classes,
        mode=mode,
        vocab_size=vocab_size,
        bidirectional=bidirectional,
        stateful=stateful,
        batch_size=batch_size,
        mask_value=mask_value,
    )

    def drop(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return layers.Dropout(dropout_rate, name=name)(x) if dropout_rate else x

    steps = mode in ("many_to_many", "one_to_many")
    inputs, x, condition = _input(mode, sizes, batch_size, vocab_size, mask_value)
    if vocab_size is not None:
        x = layers.Embedding(vocab_size, embedding_dim, mask_zero=True, name="embedding")(x)
        x = drop(x, "embedding_dropout")
    for index in range(1, num_layers + 1):
        here, sequences = f"{prefix}{index}", steps or index < num_layers
        # A `Stepper` goes on from the states that are returned.
        states = steps and not bidirectional
        cell = layer(units, return_sequences=sequences, return_state=states, stateful=stateful, name=here)
        if bidirectional:
            cell = layers.Bidirectional(cell, name=here)
        given = {} if condition is None else {"initial_state": _initial_state(cell, condition, units)}
        x = cell(x, **given)
        x = x[0] if states else x
        x = drop(x, "head_dropout" if index == num_layers else f"{here}_dropout")
    head = layers.Dense(num_classes, classifier_activation, dtype="float32", name="predictions")
    return keras.Model(inputs, head(x), name=name)


def _input(
    mode: str, sizes: checks.Shape, batch_size: int | None, vocab_size: int | None, mask_value: float | None
) -> tuple[Any, keras.KerasTensor, keras.KerasTensor | None]:
    """Returns the inputs of the model, the sequence and the condition."""
    fixed = {"batch_size": batch_size}
    if mode == "one_to_many":
        condition = keras.Input(sizes, name="condition", **fixed)
        ids = keras.Input((None,), dtype="int32", name="target_ids", **fixed)
        return {"condition": condition, "target_ids": ids}, ids, condition
    if vocab_size is not None:
        ids = keras.Input(sizes, dtype="int32", name="token_ids", **fixed)
        return ids, ids, None
    inputs = keras.Input(sizes, name="input", **fixed)
    return inputs, inputs if mask_value is None else layers.Masking(mask_value, name="masking")(inputs), None


def _initial_state(layer: layers.RNN, condition: keras.KerasTensor, units: int) -> list[keras.KerasTensor]:
    """One dense layer of the condition for each state: hidden, and the memory of an LSTM."""
    words = ("hidden", "memory")[: len(layer.state_size)]
    return [layers.Dense(units, "tanh", name=f"{layer.name}_initial_{word}")(condition) for word in words]


def stepper(model: keras.Model, *, start_id: int | None = None) -> Stepper:
    """Returns a model that writes tokens as one that is asked for one token after the other.

    Args:
        model: One of this module with `vocab_size` equal to `num_classes`, of `mode="many_to_many"` (a language model:
            the stepper starts from `token_ids`, a prompt padded at either end) or `mode="one_to_many"` (the stepper
            starts from `condition`); neither bidirectional nor stateful.
        start_id: The first token after a condition.

    Returns:
        A `kerazoo.generation.Stepper`.

    Raises:
        ValueError: If the model is another one, or `start_id` is missing.

    Example:
        >>> model = kerazoo.lstm((None,), 30, mode="many_to_many", vocab_size=30)
        >>> logits, state = kerazoo.recurrent.rnn.stepper(model).start([[3, 7, 1]])
    """
    embedding, stack, head = _written_by(model)
    names = {layer.name for layer in model.layers}
    advance = advancing(embedding, stack, head)

    def zeros(count: int) -> list[list[np.ndarray]]:
        return [[np.zeros((count, layer.units), "float32") for _ in layer.state_size] for layer in stack]

    def start(inputs: Any) -> tuple[Any, Any]:
        if "condition" not in names:
            tokens = np.asarray(inputs, "int32")
            return advance([tokens, zeros(len(tokens))])
        return advance([np.full((len(inputs), 1), start_id, "int32"), begin(np.asarray(inputs, "float32"))])

    if "condition" in names:
        if start_id is None:
            raise ValueError("start_id must be the first token after a condition. Received: start_id=None")
        begin = beginning(model, model.input["condition"])
    return Stepper(start, lambda tokens, state: advance([np.asarray(tokens, "int32")[:, None], state]), head.units)


def step_model(model: keras.Model) -> keras.Model:
    """Returns the model behind the stepper: [token (batch, 1), states] -> [logits, states].

    Args:
        model: As of `stepper`.

    Raises:
        ValueError: If the model is another one.
    """
    return advancing_model(*_written_by(model), length=1)


def _written_by(model: keras.Model) -> tuple[layers.Embedding, list[layers.RNN], layers.Dense]:
    """Returns what a model writes tokens with, or refuses it."""
    stack = [layer for layer in model.layers if isinstance(layer, layers.RNN)]
    names = {layer.name for layer in model.layers}
    if "embedding" not in names or not stack or not all(layer.return_state for layer in stack):
        raise ValueError(f"a stepper needs a one-directional model of tokens at every step. Received: {model.name!r}")
    embedding, head = model.get_layer("embedding"), model.get_layer("predictions")
    if embedding.input_dim != head.units or stack[0].stateful:
        raise ValueError(
            "a stepper needs vocab_size equal to num_classes, and stateful=False. "
            f"Received: {model.name!r} with {embedding.input_dim} and {head.units}, stateful={stack[0].stateful}"
        )
    return embedding, stack, head


@register_model(family=_recurrent)
def simple_rnn(
    input_shape: Sequence[int | None] = (28, 28), num_classes: int = 10, **options: Unpack[RecurrentOptions]
) -> keras.Model:
    """Simple recurrent network of Elman: h_t = tanh(W x_t + U h_(t-1) + b).

    Example:
        >>> model = kerazoo.simple_rnn((28, 28), 10)

    References:
        Elman (1990), https://doi.org/10.1207/s15516709cog1402_1
    """
    return _recurrent(layers.SimpleRNN, "rnn", input_shape, num_classes, **options)


@register_model(family=_recurrent)
def lstm(
    input_shape: Sequence[int | None] = (28, 28), num_classes: int = 10, **options: Unpack[RecurrentOptions]
) -> keras.Model:
    """Long short-term memory: input, forget and output gates around a memory that is added to.

    Example:
        >>> classifier = kerazoo.lstm((28, 28), 10)
        >>> language_model = kerazoo.lstm((None,), 65, mode="many_to_many", vocab_size=65, units=256, num_layers=2)

    References:
        Hochreiter, Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735; the forget gate: Gers, Schmidhuber,
        Cummins (2000), https://doi.org/10.1162/089976600300015015; the dropout: Zaremba, Sutskever, Vinyals (2014),
        https://arxiv.org/abs/1409.2329
    """
    return _recurrent(layers.LSTM, "lstm", input_shape, num_classes, **options)


@register_model(family=_recurrent)
def gru(
    input_shape: Sequence[int | None] = (28, 28),
    num_classes: int = 10,
    *,
    reset_after: bool = True,
    **options: Unpack[RecurrentOptions],
) -> keras.Model:
    """Gated recurrent unit: h_t = z h_(t-1) + (1 - z) n_t, with a gate r that resets what the candidate n_t sees.

    Here as in the paper, z says how much of the old state stays; other papers swap z and 1 - z.

    Args:
        reset_after: `True`: n = tanh(W x + b + r * (U h + b')), as in cuDNN and PyTorch. `False`, the paper's:
            n = tanh(W x + U (r * h) + b).

    Example:
        >>> model = kerazoo.gru((28, 28), 10)

    References:
        Cho et al. (2014), https://arxiv.org/abs/1406.1078
    """
    layer = partial(layers.GRU, reset_after=checks.flag("reset_after", reset_after))
    return _recurrent(layer, "gru", input_shape, num_classes, **options)
