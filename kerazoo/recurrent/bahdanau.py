"""Translation by jointly learning to align: the decoder looks at the whole source before every word.

D. Bahdanau, K. Cho, Y. Bengio, "Neural machine translation by jointly learning to align and translate", arXiv:1409.0473
(ICLR 2015). The names are those of its appendix A.
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
from kerazoo.layers.maxout import Maxout
from kerazoo.recurrent._stepping import attentive_models, attentive_stepper
from kerazoo.recurrent._translation import check_sizes, dropped, embedded, logits, masks, token_inputs


def _normal(stddev: float) -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=stddev)


@keras.saving.register_keras_serializable(package="kerazoo")
class BahdanauCell(layers.Layer):
    """Gated unit of the paper's decoder: it looks with its old state, and the context goes into every gate.

    Its output is what the word after it is read from: the old state and the context, (batch, units + memory units).

    Args:
        units: n, units of the decoder.
        attention_units: n', units that score a place of the source.
        memory_units: Length of an annotation of the source, 2 n in the paper.
        **options: Those of every `keras.layers.Layer`.
    """

    def __init__(self, units: int, attention_units: int, memory_units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units, self.attention_units, self.memory_units = units, attention_units, memory_units
        dtype = self.dtype_policy
        self.first_state = layers.Dense(units, "tanh", kernel_initializer=_normal(0.01), dtype=dtype, name="W_s")
        self.keys = layers.Dense(attention_units, kernel_initializer=_normal(0.001), dtype=dtype, name="U_a")
        self.state_size = [units] * 5  # a loop of Keras asks for numbers, and looks at the first one at most
        self.output_size = units + memory_units

    def build(self, input_shape: Sequence[int | None]) -> None:
        self.first_state.build((None, self.units))
        self.keys.build((None, None, self.memory_units))
        self.W_a = self.add_weight(name="W_a", shape=(self.units, self.attention_units), initializer=_normal(0.001))
        self.v_a = self.add_weight(name="v_a", shape=(self.attention_units,), initializer="zeros")
        gates = 3 * self.units  # update, reset, candidate
        self.W = self.add_weight(name="W", shape=(input_shape[-1], gates), initializer=_normal(0.01))
        self.C = self.add_weight(name="C", shape=(self.memory_units, gates), initializer=_normal(0.01))
        self.bias = self.add_weight(name="bias", shape=(gates,), initializer="zeros")
        square = (self.units, self.units)
        self.U_z, self.U_r, self.U = (
            self.add_weight(name=name, shape=square, initializer=keras.initializers.Orthogonal())
            for name in ("U_z", "U_r", "U")
        )

    def begin(self, memory: Any, visible: Any, first: Sequence[Any]) -> list[Any]:
        """Returns state, attention weights, keys, memory and mask before the first word."""
        (backward,) = first
        real = ops.cast(ops.squeeze(visible, 1), memory.dtype)
        return [self.first_state(backward), ops.zeros_like(real), self.keys(memory), memory, real]

    def call(self, inputs: Any, states: Sequence[Any]) -> tuple[Any, list[Any]]:
        s, _, keys, memory, mask = states
        scores = ops.sum(self.v_a * ops.tanh(keys + ops.expand_dims(ops.matmul(s, self.W_a), 1)), axis=-1)
        weights, c = look_at(scores, memory, mask)
        z, r, new = ops.split(ops.matmul(inputs, self.W) + ops.matmul(c, self.C) + self.bias, 3, axis=-1)
        z = ops.sigmoid(z + ops.matmul(s, self.U_z))
        r = ops.sigmoid(r + ops.matmul(s, self.U_r))
        new = ops.tanh(new + ops.matmul(r * s, self.U))
        # As in the paper z lets the new state in; in Cho's unit and in Keras' it keeps the old one.
        return ops.concatenate([s, c], axis=-1), [(1 - z) * s + z * new, weights, keys, memory, mask]

    def macs(self, steps: int, source_steps: int) -> int:
        """Multiply-accumulates of a sequence."""
        n, m = self.units, self.memory_units
        step = 3 * n * (self.W.shape[0] + n + m) + n * self.attention_units
        looking = source_steps * (self.attention_units + m)
        return steps * (step + looking) + source_steps * m * self.attention_units + n * n

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "units": self.units,
            "attention_units": self.attention_units,
            "memory_units": self.memory_units,
        }


@register_model
def bahdanau_seq2seq(
    source_vocab_size: int = 30_000,
    target_vocab_size: int = 30_000,
    *,
    embedding_dim: int = 620,
    units: int = 1000,
    attention_units: int = 1000,
    maxout_units: int = 500,
    dropout_rate: float = 0.0,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "bahdanau_seq2seq",
) -> keras.Model:
    """RNNsearch: a bidirectional encoder, and a decoder that aligns every word with the source.

    Args:
        source_vocab_size: Number of tokens of the source, of which 0 is padding.
        target_vocab_size: Number of tokens of the target, of which 0 is padding.
        embedding_dim: m, length of a token's vector.
        units: n, units of the encoder per direction, and of the decoder.
        attention_units: n', hidden units that score a place of the source.
        maxout_units: l, units between the decoder and the words.
        dropout_rate: Fraction of the embeddings and of the maxout units dropped.

    Returns:
        A flat functional `keras.Model`, `{"source_ids": (batch, source length), "target_ids": (batch, length)}` ->
        logits (batch, length, target_vocab_size) of the token behind each token of the target.
        `kerazoo.recurrent.attention.attention_weights` says what it looks at.

    Example:
        >>> model = kerazoo.bahdanau_seq2seq(40, 20, embedding_dim=32, units=64, attention_units=64, maxout_units=32)

    References:
        Bahdanau, Cho, Bengio (2014), https://arxiv.org/abs/1409.0473
    """
    source_vocab_size, target_vocab_size = check_sizes(
        source_vocab_size=source_vocab_size, target_vocab_size=target_vocab_size
    )
    embedding_dim, units = check_sizes(embedding_dim=embedding_dim, units=units)
    attention_units, maxout_units = check_sizes(attention_units=attention_units, maxout_units=maxout_units)
    dropout_rate = checks.fraction("dropout_rate", dropout_rate)

    inputs = token_inputs()
    x = embedded(inputs["source_ids"], source_vocab_size, embedding_dim, dropout_rate, _normal(0.01), "source")
    encoder = layers.GRU(
        units,
        return_sequences=True,
        return_state=True,
        reset_after=False,
        kernel_initializer=_normal(0.01),
        name="encoder",
    )
    visible, mask = masks(inputs["source_ids"])
    memory, _, backward = layers.Bidirectional(encoder, name="encoder")(x, mask=mask)
    y = embedded(inputs["target_ids"], target_vocab_size, embedding_dim, dropout_rate, _normal(0.01), "target")
    decoder = AttentiveRNN(BahdanauCell(units, attention_units, 2 * units, name="cell"), name="decoder")
    read = layers.Concatenate(name="state_context_word")([decoder(y, memory, visible, [backward]), y])
    hidden = layers.Dense(2 * maxout_units, kernel_initializer=_normal(0.01), name="deep_output")(read)
    hidden = dropped(Maxout(name="maxout_units")(hidden), dropout_rate, "head_dropout")
    return keras.Model(inputs, logits(hidden, target_vocab_size, _normal(0.01)), name=name)


def _readout(model: keras.Model, word: Any, state_context: Any) -> Any:
    """Logits of one step."""
    x = ops.concatenate([state_context, word], axis=-1)
    for name in ("deep_output", "maxout_units", "predictions"):
        x = model.get_layer(name)(x)
    return x


def stepper(model: keras.Model, *, start_id: int) -> Stepper:
    """Returns the model as one that is asked for one token after the other, from `source_ids` on.

    Args:
        model: One of `bahdanau_seq2seq`.
        start_id: The first token of every target.

    Returns:
        A `kerazoo.generation.Stepper`.
    """
    return attentive_stepper(model, start_id, _readout)


def step_models(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Returns the models behind the stepper: source -> states, and [token, states] -> [logits, states].

    Args:
        model: One of `bahdanau_seq2seq`.
    """
    return attentive_models(model, _readout)
