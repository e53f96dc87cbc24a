"""Layers whose nodes listen to their neighbours in a graph, given as a dense matrix or as a list of edges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from kerazoo import checks

FORMS = ("dense", "edges")
BIASES = ("output", "head", None)


class _GraphLayer(keras.layers.Layer):
    """What both layers share: how a graph comes in.

    Dense: `adjacency[b, i, j]` is not 0 where node i of graph b listens to node j. Edges: `adjacency[b, e]` is a pair
    (source, target) of node numbers, the target listens to the source, and -1 fills up graphs with fewer edges.
    """

    def __init__(self, adjacency: str = "dense", **options: Any) -> None:
        super().__init__(**options)
        self.adjacency = checks.one_of("adjacency", adjacency, FORMS)

    def _connections(self, edges: Any, nodes: Any) -> tuple[Any, Any, Any]:
        """Numbers the nodes of all graphs of a batch through, so that the batch is one graph without edges between.

        Args:
            edges: (batch, edges, 2).
            nodes: Number of nodes of each graph.

        Returns:
            Source and target of every edge, and whether it is one rather than filling.
        """
        first = ops.expand_dims(ops.arange(ops.shape(edges)[0], dtype=edges.dtype) * nodes, 1)
        source, target = edges[..., 0], edges[..., 1]
        real = ops.logical_and(source >= 0, target >= 0)
        numbers = (ops.reshape(ops.where(real, end + first, 0), (-1,)) for end in (source, target))
        return (*numbers, ops.reshape(real, (-1,)))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"adjacency": self.adjacency}


@keras.saving.register_keras_serializable(package="kerazoo")
class GraphConvolution(_GraphLayer):
    """Graph convolution: sigma(D^-1/2 (A + I) D^-1/2 X W), with the degrees D of A + I.

    The normalisation happens inside, so that the graph goes in as it is: neither with self-loops nor normalised.

    Args:
        units: Outputs per node.
        activation: Activation by name or function; `None` leaves the output linear.
        use_bias: Whether a bias is added; the authors' code has none.
        adjacency: `"dense"` or `"edges"`, see `call`.
        kernel_initializer: Initialiser of the kernel.
        kernel_regularizer: Penalty on the kernel.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> chain = np.array([[[0, 1, 0], [1, 0, 1], [0, 1, 0]]], "float32")
        >>> tuple(kerazoo.layers.GraphConvolution(4)(np.ones((1, 3, 2), "float32"), chain).shape)
        (1, 3, 4)

    References:
        Kipf, Welling (2017), https://arxiv.org/abs/1609.02907
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = False,
        adjacency: str = "dense",
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(adjacency=adjacency, **options)
        self.units = units
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, features_shape: Sequence[int], adjacency_shape: Sequence[int]) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=(features_shape[-1], self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros") if self.use_bias else None

    def call(self, features: Any, adjacency: Any) -> Any:
        """Returns (batch, nodes, units) from features (batch, nodes, features) and their graphs.

        Args:
            features: (batch, nodes, features).
            adjacency: Dense: (batch, nodes, nodes), weights of at least 0. Edges: (batch, edges, 2), whole numbers,
                source and target, both directions of an undirected edge; -1 is filling.
        """
        x = ops.matmul(features, self.kernel)
        x = self._of_edges(x, adjacency) if self.adjacency == "edges" else self._of_matrix(x, adjacency)
        return self.activation(x if self.bias is None else x + self.bias)

    def _of_matrix(self, x: Any, matrix: Any) -> Any:
        degree = 1.0 + ops.sum(ops.cast(matrix, "float32"), axis=-1, keepdims=True)  # half precision ends at 2048
        scale = ops.cast(ops.rsqrt(degree), x.dtype)
        x = scale * x
        return scale * (ops.matmul(ops.cast(matrix, x.dtype), x) + x)

    def _of_edges(self, x: Any, edges: Any) -> Any:
        batch, nodes = ops.shape(x)[0], ops.shape(x)[1]
        source, target, real = self._connections(edges, nodes)
        degree = 1.0 + ops.segment_sum(ops.cast(real, "float32"), target, batch * nodes)
        scale = ops.expand_dims(ops.cast(ops.rsqrt(degree), x.dtype), 1)
        flat = scale * ops.reshape(x, (-1, self.units))
        messages = ops.take(flat, source, axis=0) * ops.expand_dims(ops.cast(real, x.dtype), 1)
        heard = scale * (ops.segment_sum(messages, target, batch * nodes) + flat)
        return ops.reshape(heard, (batch, nodes, self.units))

    def compute_output_shape(self, features_shape: Sequence[Any], adjacency_shape: Sequence[Any]) -> tuple[Any, ...]:
        return (*features_shape[:-1], self.units)

    def flops(self, input_shapes: Sequence[Sequence[int]], output_shape: Sequence[int]) -> int:
        """Counts the product with the kernel and the sum over the neighbours (the whole matrix where it is dense)."""
        (_, nodes, features), (_, *graph) = input_shapes
        neighbours = graph[0] * graph[1] if self.adjacency == "dense" else graph[0]
        return 2 * self.units * (nodes * features + neighbours)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


@keras.saving.register_keras_serializable(package="kerazoo")
class GraphAttention(_GraphLayer):
    """Graph attention: each node weighs its neighbours and itself by softmax(LeakyReLU(a_1 W h_i + a_2 W h_j)).

    Args:
        units: Outputs per node and head.
        num_heads: Number of heads.
        merge: `"concat"` sets the heads side by side, `"mean"` averages them, for the last layer.
        activation: Activation by name or function, after merging; `None` leaves the output linear.
        bias: `"output"`: one per output. `"head"`: as in the authors' code, every head has its own, two more in its
            scores. `None`: none, as in the paper's equations.
        dropout_rate: Fraction of the transformed features dropped.
        attention_dropout_rate: Fraction of the attention coefficients dropped.
        adjacency: `"dense"` or `"edges"`, see `call`.
        regularizer: Penalty on all weights.
        **options: Those of every `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> edges = np.array([[[0, 1], [1, 0]]])
        >>> layer = kerazoo.layers.GraphAttention(4, num_heads=2, adjacency="edges")
        >>> tuple(layer(np.ones((1, 3, 2), "float32"), edges).shape)
        (1, 3, 8)

    References:
        Velickovic et al. (2018), https://arxiv.org/abs/1710.10903
    """

    def __init__(
        self,
        units: int,
        num_heads: int = 1,
        merge: str = "concat",
        activation: Any = None,
        bias: str | None = "output",
        dropout_rate: float = 0.0,
        attention_dropout_rate: float = 0.0,
        adjacency: str = "dense",
        regularizer: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(adjacency=adjacency, **options)
        self.units = units
        self.num_heads = num_heads
        self.merge = checks.one_of("merge", merge, ("concat", "mean"))
        self.activation = keras.activations.get(activation)
        self.bias = checks.one_of("bias", bias, BIASES)
        self.dropout_rate = dropout_rate
        self.attention_dropout_rate = attention_dropout_rate
        self.regularizer = keras.regularizers.get(regularizer)
        self.dropout = keras.layers.Dropout(dropout_rate, dtype=self.dtype_policy, name="dropout")
        self.attention_dropout = keras.layers.Dropout(
            attention_dropout_rate, dtype=self.dtype_policy, name="attention_dropout"
        )

    @property
    def width(self) -> int:
        """Outputs per node."""
        return self.units * (self.num_heads if self.merge == "concat" else 1)

    def build(self, features_shape: Sequence[int], adjacency_shape: Sequence[int]) -> None:
        heads, units = self.num_heads, self.units

        def weight(name: str, shape: tuple[int, ...], fans: int = 0) -> Any:
            # Glorot's rule for each head by itself, which Keras cannot see in the shape of all of them.
            limit = math.sqrt(6 / fans) if fans else 0.0
            start = keras.initializers.RandomUniform(-limit, limit) if fans else "zeros"
            return self.add_weight(name=name, shape=shape, initializer=start, regularizer=self.regularizer)

        self.kernel = weight("kernel", (features_shape[-1], heads * units), features_shape[-1] + units)
        self.target_vector = weight("target_vector", (heads, units), units + 1)
        self.source_vector = weight("source_vector", (heads, units), units + 1)
        self.output_bias = self.score_bias = None
        if self.bias == "head":
            self.output_bias = weight("bias", (heads, units))
            self.score_bias = weight("score_bias", (2, heads))
        elif self.bias == "output":
            self.output_bias = weight("bias", (self.width,))

    def call(self, features: Any, adjacency: Any, training: bool = False) -> Any:
        """Returns (batch, nodes, outputs) from features (batch, nodes, features) and their graphs.

        Args:
            features: (batch, nodes, features).
            adjacency: Dense: (batch, nodes, nodes), not 0 where the row's node listens to the column's. Edges:
                (batch, edges, 2), whole numbers, source and target, each edge once, both directions of an undirected
                one; -1 is filling. Every node listens to itself as well.
            training: Whether to drop.
        """
        x, target, source = self._scores(features)
        if self.adjacency == "edges":
            heard = self._heard_along(x, target, source, adjacency, training)
        else:
            coefficients = self._weights_of_matrix(target, source, adjacency)
            coefficients = ops.cast(self.attention_dropout(coefficients, training=training), x.dtype)
            x = ops.transpose(self.dropout(x, training=training), (0, 2, 1, 3))
            heard = ops.transpose(ops.matmul(coefficients, x), (0, 2, 1, 3))
        return self._merged(heard)

    def coefficients(self, features: Any, adjacency: Any) -> Any:
        """Returns the attention coefficients (batch, heads, nodes, nodes) of a dense graph; rows add up to 1."""
        return self._weights_of_matrix(*self._scores(features)[1:], adjacency)

    def _scores(self, features: Any) -> tuple[Any, Any, Any]:
        """Returns W h (batch, nodes, heads, units) and the two halves of its scores (batch, nodes, heads)."""
        batch, nodes = ops.shape(features)[0], ops.shape(features)[1]
        x = ops.reshape(ops.matmul(features, self.kernel), (batch, nodes, self.num_heads, self.units))
        # A softmax of half-precision scores would be coarse.
        halves = [
            ops.sum(ops.cast(x, "float32") * ops.cast(v, "float32"), -1)
            for v in (self.target_vector, self.source_vector)
        ]
        if self.score_bias is not None:
            halves = [half + ops.cast(self.score_bias[i], "float32") for i, half in enumerate(halves)]
        return x, *halves

    def _weights_of_matrix(self, target: Any, source: Any, matrix: Any) -> Any:
        target, source = (ops.transpose(half, (0, 2, 1)) for half in (target, source))
        scores = ops.leaky_relu(ops.expand_dims(target, 3) + ops.expand_dims(source, 2), 0.2)
        number = ops.arange(ops.shape(matrix)[1])
        listens = ops.logical_or(ops.not_equal(matrix, 0), ops.equal(number[:, None], number[None]))
        return ops.softmax(ops.where(ops.expand_dims(listens, 1), scores, -1e9), axis=-1)

    def _heard_along(self, x: Any, target: Any, source: Any, edges: Any, training: bool) -> Any:
        batch, nodes = ops.shape(x)[0], ops.shape(x)[1]
        total = batch * nodes
        sender, receiver, real = self._connections(edges, nodes)
        real = ops.logical_and(real, ops.not_equal(sender, receiver))  # the loop of every node is added here
        loops = ops.arange(total, dtype=sender.dtype)
        sender, receiver = ops.concatenate([sender, loops]), ops.concatenate([receiver, loops])
        real = ops.expand_dims(ops.concatenate([real, ops.equal(loops, loops)]), 1)
        target, source = (ops.reshape(half, (-1, self.num_heads)) for half in (target, source))
        scores = ops.leaky_relu(ops.take(target, receiver, axis=0) + ops.take(source, sender, axis=0), 0.2)
        scores = ops.where(real, scores, -1e9)
        largest = ops.stop_gradient(ops.segment_max(scores, receiver, total))
        shares = ops.exp(scores - ops.take(largest, receiver, axis=0)) * ops.cast(real, "float32")
        shares = shares / ops.take(ops.segment_sum(shares, receiver, total), receiver, axis=0)
        shares = ops.cast(self.attention_dropout(shares, training=training), x.dtype)
        x = ops.reshape(self.dropout(x, training=training), (-1, self.num_heads, self.units))
        heard = ops.segment_sum(ops.expand_dims(shares, 2) * ops.take(x, sender, axis=0), receiver, total)
        return ops.reshape(heard, (batch, nodes, self.num_heads, self.units))

    def _merged(self, heard: Any) -> Any:
        if self.bias == "head":
            heard = heard + self.output_bias
        if self.merge == "mean":
            heard = ops.mean(heard, axis=2)
        else:
            heard = ops.reshape(heard, (*ops.shape(heard)[:2], self.width))
        return self.activation(heard + self.output_bias if self.bias == "output" else heard)

    def compute_output_shape(self, features_shape: Sequence[Any], adjacency_shape: Sequence[Any]) -> tuple[Any, ...]:
        return (*features_shape[:-1], self.width)

    def flops(self, input_shapes: Sequence[Sequence[int]], output_shape: Sequence[int]) -> int:
        """Counts the products with kernel and score vectors, and the weighted sum over all pairs or edges and loops."""
        (_, nodes, features), (_, *graph) = input_shapes
        pairs = graph[0] * graph[1] if self.adjacency == "dense" else graph[0] + nodes
        return 2 * self.num_heads * self.units * (nodes * (features + 2) + pairs)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "units": self.units,
            "num_heads": self.num_heads,
            "merge": self.merge,
            "activation": keras.activations.serialize(self.activation),
            "bias": self.bias,
            "dropout_rate": self.dropout_rate,
            "attention_dropout_rate": self.attention_dropout_rate,
            "regularizer": keras.regularizers.serialize(self.regularizer),
        }
