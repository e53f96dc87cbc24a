"""Sequence to sequence: one LSTM reads the source reversed, another one writes the target from its last states.

I. Sutskever, O. Vinyals, Q. V. Le, "Sequence to sequence learning with neural networks", arXiv:1409.3215 (NIPS 2014).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from kerazoo import checks
from kerazoo.catalog import register_model
from kerazoo.generation.stepper import Stepper
from kerazoo.recurrent._stepping import advancing, advancing_model, beginning, beginning_model
from kerazoo.recurrent._translation import (
    check_sizes,
    embedded,
    in_reading_order,
    logits,
    lstm_stack,
    masks,
    token_inputs,
)

_LIMIT = 0.08


@register_model
def seq2seq(
    source_vocab_size: int = 10_000,
    target_vocab_size: int = 10_000,
    *,
    embedding_dim: int = 256,
    units: int = 256,
    num_layers: int = 2,
    reverse_source: bool = True,
    dropout_rate: float = 0.0,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "seq2seq",
) -> keras.Model:
    """The encoder-decoder of Sutskever, Vinyals and Le, small enough for a laptop.

    The paper's own has 160,000 and 80,000 words, 4 layers of 1000 units and embeddings of 1000.

    Args:
        source_vocab_size: Number of tokens of the source, of which 0 is padding.
        target_vocab_size: Number of tokens of the target, of which 0 is padding.
        embedding_dim: Length of a token's vector.
        units: Units of each LSTM layer.
        num_layers: Layers of the encoder, and of the decoder.
        reverse_source: Whether the source is read from its end, padding left where it is.
        dropout_rate: Fraction dropped between the layers, embeddings and head included.

    Returns:
        A flat functional `keras.Model`, `{"source_ids": (batch, source length), "target_ids": (batch, length)}` ->
        logits (batch, length, target_vocab_size) of the token behind each token of the target.

    Example:
        >>> model = kerazoo.seq2seq(40, 20, units=64)

    References:
        Sutskever, Vinyals, Le (2014), https://arxiv.org/abs/1409.3215
    """
    source_vocab_size, target_vocab_size = check_sizes(
        source_vocab_size=source_vocab_size, target_vocab_size=target_vocab_size
    )
    embedding_dim, units, num_layers = check_sizes(embedding_dim=embedding_dim, units=units, num_layers=num_layers)
    checks.flag("reverse_source", reverse_source)
    dropout_rate = checks.fraction("dropout_rate", dropout_rate)

    inputs = token_inputs()
    draw = keras.initializers.RandomUniform(-_LIMIT, _LIMIT)
    shared = {"limit": _LIMIT, "dropout_rate": dropout_rate}
    source = in_reading_order(inputs["source_ids"], reverse_source)
    x = embedded(source, source_vocab_size, embedding_dim, dropout_rate, draw.clone(), "source")
    _, states = lstm_stack(x, units, num_layers, mask=masks(source)[1], name="encoder", **shared)
    y = embedded(inputs["target_ids"], target_vocab_size, embedding_dim, dropout_rate, draw.clone(), "target")
    y, _ = lstm_stack(y, units, num_layers, name="decoder", initial_states=states, **shared)
    return keras.Model(inputs, logits(y, target_vocab_size, draw.clone()), name=name)


def stepper(model: keras.Model, *, start_id: int) -> Stepper:
    """Returns the model as one that is asked for one token after the other, from `source_ids` on.

    Args:
        model: One of `seq2seq`.
        start_id: The first token of every target.

    Returns:
        A `kerazoo.generation.Stepper`.

    Example:
        >>> model = kerazoo.seq2seq(40, 20, units=64)
        >>> ids = kerazoo.generation.greedy(stepper(model, start_id=1), [[5, 9, 0]], max_new_tokens=8, end_id=2)
    """
    embedding, stack, head = _of_decoder(model)
    begin = beginning(model, model.input["source_ids"])
    advance = advancing(embedding, stack, head)

    def start(source_ids: Any) -> tuple[Any, Any]:
        source = np.asarray(source_ids, "int32")
        return advance([np.full((len(source), 1), start_id, "int32"), begin(source)])

    def step(tokens: Any, state: Any) -> tuple[Any, Any]:
        return advance([np.asarray(tokens, "int32")[:, None], state])

    return Stepper(start, step, head.units)


def step_models(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Returns the models behind the stepper: source -> states, and [token (batch, 1), states] -> [logits, states].

    Args:
        model: One of `seq2seq`.
    """
    return beginning_model(model, model.input["source_ids"]), advancing_model(*_of_decoder(model), length=1)


def _of_decoder(model: keras.Model) -> tuple[layers.Embedding, list[layers.LSTM], layers.Dense]:
    stack = [x for x in model.layers if isinstance(x, layers.LSTM) and x.name.startswith("decoder_")]
    return model.get_layer("target_embedding"), stack, model.get_layer("predictions")
