"""The two sub-layers of a Transformer, attention and perceptron, with the normalisation behind or before them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from kerazoo import checks
from kerazoo.blocks.conv import own_initializer


@dataclass(frozen=True, kw_only=True)
class Transformer:
    """What all blocks of one Transformer share.

    Attributes:
        num_heads: Attention heads; the features are divided among them.
        mlp_dim: Hidden units of the perceptron.
        pre_norm: Whether x + f(LN(x)) is computed (GPT-2, ViT), or LN(x + f(x)) (the paper, BERT).
        epsilon: That of the layer normalisations.
        activation: Of the perceptron, by name or as a registered function.
        dropout_rate: On what each sub-layer gives, before it is added.
        attention_dropout_rate: On the attention weights.
        hidden_dropout_rate: On the hidden units of the perceptron.
        use_bias: Whether the four projections of the attention have biases.
        kernel_initializer: Of all kernels.
    """

    num_heads: int
    mlp_dim: int
    pre_norm: bool
    epsilon: float = 1e-6
    activation: Any = "relu"
    dropout_rate: float = 0.1
    attention_dropout_rate: float = 0.0
    hidden_dropout_rate: float = 0.0
    use_bias: bool = True
    kernel_initializer: Any = "glorot_uniform"

    def __post_init__(self) -> None:
        checks.positive_int("num_heads", self.num_heads)
        checks.positive_int("mlp_dim", self.mlp_dim)
        for name in ("dropout_rate", "attention_dropout_rate", "hidden_dropout_rate"):
            checks.fraction(name, getattr(self, name))
        checks.activation("activation", self.activation)

    def block(
        self,
        x: keras.KerasTensor,
        prefix: str,
        *,
        mask: keras.KerasTensor | None = None,
        causal: bool = False,
        memory: keras.KerasTensor | None = None,
        memory_mask: keras.KerasTensor | None = None,
    ) -> keras.KerasTensor:
        """One block: self-attention, attention to `memory` where there is one, perceptron.

        Args:
            x: Sequence (batch, length, features).
            prefix: First part of the layers' names; the last one is `{prefix}_out`.
            mask: (batch, 1, length), true where a token of `x` may be attended to.
            causal: Whether a token sees only itself and what stands before it.
            memory: Sequence of the encoder (batch, source length, features).
            memory_mask: (batch, 1, source length), the same for `memory`.

        Returns:
            The sequence.
        """
        x = self.sublayer(x, f"{prefix}_attention", lambda y: self.attention(y, y, f"{prefix}_attention", mask, causal))
        if memory is not None:
            cross = f"{prefix}_cross_attention"
            x = self.sublayer(x, cross, lambda y: self.attention(y, memory, cross, memory_mask, False))
        return self.sublayer(x, f"{prefix}_mlp", lambda y: self.mlp(y, f"{prefix}_mlp"), out=f"{prefix}_out")

    def sublayer(
        self,
        x: keras.KerasTensor,
        name: str,
        function: Callable[[keras.KerasTensor], keras.KerasTensor],
        out: str | None = None,
    ) -> keras.KerasTensor:
        """Residual connection, dropout and normalisation around a function."""
        norm = layers.LayerNormalization(
            epsilon=self.epsilon, name=out if out and not self.pre_norm else f"{name}_norm"
        )
        y = function(norm(x) if self.pre_norm else x)
        y = layers.Dropout(self.dropout_rate, name=f"{name}_dropout")(y)
        y = layers.Add(name=out if out and self.pre_norm else f"{name}_add")([x, y])
        return y if self.pre_norm else norm(y)

    def attention(
        self,
        x: keras.KerasTensor,
        memory: keras.KerasTensor,
        name: str,
        mask: keras.KerasTensor | None,
        causal: bool,
    ) -> keras.KerasTensor:
        """Multi-head attention of `x` to `memory`, which is `x` itself in self-attention."""
        features = x.shape[-1]
        if features % self.num_heads:
            raise ValueError(
                f"hidden_dim must be a multiple of num_heads. Received: hidden_dim={features}, "
                f"num_heads={self.num_heads}"
            )
        attend = layers.MultiHeadAttention(
            self.num_heads,
            features // self.num_heads,
            dropout=self.attention_dropout_rate,
            use_bias=self.use_bias,
            kernel_initializer=_of_square(self.kernel_initializer, features),
            name=name,
        )
        return attend(x, memory, attention_mask=mask, use_causal_mask=causal)

    def mlp(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Two dense layers on every position."""
        features = x.shape[-1]
        dense = {"kernel_initializer": own_initializer(self.kernel_initializer)}
        x = layers.Dense(self.mlp_dim, name=f"{name}_fc1", **dense)(x)
        x = layers.Activation(self.activation, name=f"{name}_act")(x)
        if self.hidden_dropout_rate:
            x = layers.Dropout(self.hidden_dropout_rate, name=f"{name}_hidden_dropout")(x)
        dense = {"kernel_initializer": own_initializer(self.kernel_initializer)}
        return layers.Dense(features, name=f"{name}_fc2", **dense)(x)


def _of_square(initializer: Any, features: int) -> Any:
    """Returns the initialiser of a projection (features, features), which Keras keeps as (features, heads, depth).

    Glorot's rule would take those for the axes of a convolution, and start several times too small.
    """
    if initializer == "glorot_uniform":
        limit = (3 / features) ** 0.5
        return keras.initializers.RandomUniform(-limit, limit)
    return own_initializer(initializer)
