"""Effective attention: the decoder looks at the source after its step, and remembers what it made of it.

M.-T. Luong, H. Pham, C. D. Manning, "Effective approaches to attention-based neural machine translation",
arXiv:1508.04025 (EMNLP 2015): global attention, with its three scores and input feeding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from kerazoo import checks
from kerazoo.catalog import register_model
from kerazoo.generation.stepper import Stepper
from kerazoo.layers.attentive_rnn import AttentiveRNN, look_at
from kerazoo.recurrent._stepping import attentive_models, attentive_stepper
from kerazoo.recurrent._translation import (
    check_sizes,
    dropped,
    embedded,
    in_reading_order,
    logits,
    lstm_stack,
    masks,
    token_inputs,
    uniform,
)

SCORES = ("dot", "general", "concat")
_LIMIT = 0.1


def _draw() -> keras.initializers.Initializer:
    return keras.initializers.RandomUniform(-_LIMIT, _LIMIT)


@keras.saving.register_keras_serializable(package="kerazoo")
class LuongCell(layers.Layer):
    """Stacked LSTM cells, attention from the last one, and the attentional state h~ = tanh(W_c [c; h]), the output.

    Args:
        units: Units of each LSTM cell, of the memory and of the attentional state.
        num_layers: LSTM cells on top of each other.
        score: `"dot"`, `"general"` or `"concat"`.
        input_feeding: Whether the attentional state of the step before stands beside the input.
        **options: Those of every `keras.layers.Layer`.
    """

    def __init__(self, units: int, num_layers: int, score: str, input_feeding: bool, **options: Any) -> None:
        super().__init__(**options)
        self.units, self.num_layers, self.score, self.input_feeding = units, num_layers, score, input_feeding

        def dense(name: str, activation: str | None = None) -> layers.Dense:
            options = {"use_bias": False, "kernel_initializer": _draw(), "dtype": self.dtype_policy, "name": name}
            return layers.Dense(units, activation, **options)

        self.cells = [
            layers.LSTMCell(units, dtype=self.dtype_policy, name=f"lstm{index}", **uniform(_LIMIT))
            for index in range(1, num_layers + 1)
        ]
        self.combine = dense("W_c", "tanh")
        # W_a as the paper has it for "general"; for "concat" its two halves, for the decoder and for the memory.
        self.query = None if score == "dot" else dense("W_a")
        self.keys = dense("W_a_memory") if score == "concat" else None
        self.state_size = [units] * (5 + 2 * num_layers)  # a loop of Keras looks at the first one at most
        self.output_size = units

    def build(self, input_shape: Sequence[int]) -> None:
        width = input_shape[-1] + self.units * self.input_feeding
        for cell in self.cells:
            cell.build((None, width))
            width = self.units
        self.combine.build((None, 2 * self.units))
        for dense in (self.query, self.keys):
            if dense is not None:
                dense.build((None, self.units))
        if self.score == "concat":
            self.v_a = self.add_weight(name="v_a", shape=(self.units,), initializer=_draw())

    def begin(self, memory: Any, visible: Any, first: Sequence[Any]) -> list[Any]:
        """Returns attentional state, attention weights, keys, memory, mask and the cells' states at the start."""
        real = ops.cast(ops.squeeze(visible, 1), memory.dtype)
        keys = memory if self.keys is None else self.keys(memory)
        return [ops.zeros_like(first[0]), ops.zeros_like(real), keys, memory, real, *first]

    def call(self, inputs: Any, states: Sequence[Any]) -> tuple[Any, list[Any]]:
        fed, _, keys, memory, mask, *own = states
        h, new = ops.concatenate([inputs, fed], axis=-1) if self.input_feeding else inputs, []
        for index, cell in enumerate(self.cells):
            h, after = cell(h, own[2 * index : 2 * index + 2])
            new += after
        weights, context = look_at(self._scores(h, keys), memory, mask)
        out = self.combine(ops.concatenate([context, h], axis=-1))
        return out, [out, weights, keys, memory, mask, *new]

    def _scores(self, h: Any, keys: Any) -> Any:
        query = ops.expand_dims(h if self.query is None else self.query(h), 1)
        if self.score == "concat":
            return ops.sum(self.v_a * ops.tanh(query + keys), axis=-1)
        return ops.squeeze(ops.matmul(query, ops.transpose(keys, (0, 2, 1))), 1)

    def macs(self, steps: int, source_steps: int) -> int:
        """Multiply-accumulates of a sequence."""
        n = self.units
        cells = sum(cell.kernel.shape[0] * 4 * n + 4 * n * n for cell in self.cells)
        step = cells + 2 * n * n + (n * n if self.query is not None else 0)
        keys = source_steps * n * n if self.keys is not None else 0
        return steps * (step + source_steps * 2 * n) + keys

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "units": self.units,
            "num_layers": self.num_layers,
            "score": self.score,
            "input_feeding": self.input_feeding,
        }


@register_model
def luong_seq2seq(
    source_vocab_size: int = 10_000,
    target_vocab_size: int = 10_000,
    *,
    embedding_dim: int = 256,
    units: int = 256,
    num_layers: int = 2,
    score: str = "general",
    input_feeding: bool = True,
    reverse_source: bool = True,
    dropout_rate: float = 0.0,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "luong_seq2seq",
) -> keras.Model:
    """The translator of Luong, Pham and Manning with global attention, small enough for a laptop.

    The paper's own has 50,000 words in either language, 4 layers of 1000 units and embeddings of 1000.

    Args:
        source_vocab_size: Number of tokens of the source, of which 0 is padding.
        target_vocab_size: Number of tokens of the target, of which 0 is padding.
        embedding_dim: Length of a token's vector.
        units: Units of each LSTM layer and of the attentional state.
        num_layers: Layers of the encoder, and of the decoder.
        score: How well a place h_s of the source fits the state h_t: `"dot"`, h_t h_s; `"general"`, h_t W_a h_s;
            `"concat"`, v_a tanh(W_a [h_t; h_s]).
        input_feeding: Whether the decoder sees what it made of the source one step before.
        reverse_source: Whether the source is read from its end, padding left where it is.
        dropout_rate: Fraction dropped between the layers of the encoder, of the embeddings and in front of the head.

    Returns:
        A flat functional `keras.Model`, `{"source_ids": (batch, source length), "target_ids": (batch, length)}` ->
        logits (batch, length, target_vocab_size) of the token behind each token of the target.
        `kerazoo.recurrent.attention.attention_weights` says what it looks at.

    Example:
        >>> model = kerazoo.luong_seq2seq(40, 20, embedding_dim=32, units=64, num_layers=1)

    References:
        Luong, Pham, Manning (2015), https://arxiv.org/abs/1508.04025
    """
    source_vocab_size, target_vocab_size = check_sizes(
        source_vocab_size=source_vocab_size, target_vocab_size=target_vocab_size
    )
    embedding_dim, units, num_layers = check_sizes(embedding_dim=embedding_dim, units=units, num_layers=num_layers)
    checks.one_of("score", score, SCORES)
    checks.flag("input_feeding", input_feeding)
    checks.flag("reverse_source", reverse_source)
    dropout_rate = checks.fraction("dropout_rate", dropout_rate)

    inputs = token_inputs()
    source = in_reading_order(inputs["source_ids"], reverse_source)
    x = embedded(source, source_vocab_size, embedding_dim, dropout_rate, _draw(), "source")
    visible, mask = masks(source)
    memory, states = lstm_stack(
        x, units, num_layers, limit=_LIMIT, dropout_rate=dropout_rate, mask=mask, name="encoder"
    )
    y = embedded(inputs["target_ids"], target_vocab_size, embedding_dim, dropout_rate, _draw(), "target")
    decoder = AttentiveRNN(LuongCell(units, num_layers, score, input_feeding, name="cell"), name="decoder")
    y = decoder(y, memory, visible, [state for pair in states for state in pair])
    y = dropped(y, dropout_rate, "head_dropout")
    return keras.Model(inputs, logits(y, target_vocab_size, _draw()), name=name)


def _readout(model: keras.Model, word: Any, state: Any) -> Any:
    return model.get_layer("predictions")(state)


def stepper(model: keras.Model, *, start_id: int) -> Stepper:
    """Returns the model as one that is asked for one token after the other, from `source_ids` on.

    Args:
        model: One of `luong_seq2seq`.
        start_id: The first token of every target.

    Returns:
        A `kerazoo.generation.Stepper`.
    """
    return attentive_stepper(model, start_id, _readout)


def step_models(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Returns the models behind the stepper: source -> states, and [token, states] -> [logits, states].

    Args:
        model: One of `luong_seq2seq`.
    """
    return attentive_models(model, _readout)
