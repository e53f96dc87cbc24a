"""PixelCNN: a picture as one value after the other, each foreseen from those before it.

A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu, "Pixel recurrent neural networks", arXiv:1601.06759 (ICML 2016).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from kerazoo import checks
from kerazoo._calls import answer
from kerazoo.catalog import register_model
from kerazoo.layers.masked_conv import MaskedConv2D
from kerazoo.losses._mean import mean_over_batch

INPUT, LABEL = "input", "label"


@keras.saving.register_keras_serializable(package="kerazoo")
class PixelCNN(keras.Model):
    """A functional model, pictures -> logits of every value, trained by the likelihood of the pictures themselves.

    Compile it without a loss and call `fit(x)`: the loss is -log p(x) in nats per picture, a mean over the batch.
    """

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Returns the negative log-likelihood of the inputs, or of `y` where it is given."""
        pictures = (x[INPUT] if isinstance(x, Mapping) else x) if y is None else y
        return mean_over_batch(negative_log_likelihood(pictures, y_pred), sample_weight)

    def generate(
        self,
        count: int = 1,
        *,
        labels: Any = None,
        temperature: float = 1.0,
        batch_size: int = 64,
        seed: int | None = None,
    ) -> np.ndarray:
        """Draws pictures, value by value: as many runs of the network as a picture has values.

        Args:
            count: How many.
            labels: Their classes, (count,) or one for all, where the model was built with `num_classes`.
            temperature: Below 1 the likely becomes likelier; 0 takes the likeliest value always.
            batch_size: Pictures at once.
            seed: Fixes the draws; those of a picture depend on its number alone, not on how many are drawn.

        Returns:
            Array (count, height, width, channels) in [0, 1], float32.

        Raises:
            ValueError: If an argument has a value that cannot work.

        Example:
            >>> pictures = model.generate(16, seed=0)
        """
        from kerazoo.generation.sampling import probabilities

        count, batch_size = checks.positive_int("count", count), checks.positive_int("batch_size", batch_size)
        checks.non_negative("temperature", temperature)
        height, width, colours, levels = self.output_shape[1:]
        label = self._labels(labels, count)
        if keras.backend.backend() == "tensorflow":
            self.jit_compile = False  # XLA takes longer to compile than a few pictures take
        entropy: Any = np.random.SeedSequence(seed).entropy
        found = []
        for start in range(0, count, batch_size):
            rows = range(start, min(start + batch_size, count))
            draws = np.stack([np.random.default_rng([entropy, r]).random((height, width, colours)) for r in rows])
            x = np.zeros((len(rows), height, width, colours), "float32")
            for row, column, colour in np.ndindex(height, width, colours):
                batch = x if label is None else {INPUT: x, LABEL: label[rows.start : rows.stop]}
                logits = answer(self, batch)[:, row, column, colour]
                sums = np.cumsum(probabilities(logits, temperature), axis=-1)
                drawn = (sums <= draws[:, row, column, colour, None] * sums[:, -1:]).sum(-1)
                x[:, row, column, colour] = drawn / (levels - 1)
            found.append(x)
        return np.concatenate(found)

    def _labels(self, labels: Any, count: int) -> np.ndarray | None:
        has = isinstance(self.input, dict)
        if has == (labels is None):
            wanted = "needs labels" if has else "was built without num_classes and draws no given class"
            raise ValueError(f"{self.name!r} {wanted}. Received: labels={labels!r}")
        if labels is None:
            return None
        classes = self.get_layer("label_embedding1").input_dim
        given = np.broadcast_to(np.asarray(labels), (count,)) if np.ndim(labels) == 0 else np.asarray(labels)
        if given.shape != (count,) or given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= classes:
            raise ValueError(f"labels must be {count} whole numbers from 0 to {classes - 1}. Received: {labels!r}")
        return given.astype("int32")


def negative_log_likelihood(x: Any, logits: Any) -> Any:
    """Returns -log p(x) in nats per picture.

    Args:
        x: Pictures (batch, height, width, channels) in [0, 1]; a value counts as the nearest level.
        logits: What the model says of them, (batch, height, width, channels, levels).
    """
    levels = logits.shape[-1]
    numbers = ops.cast(ops.round(ops.clip(ops.cast(x, "float32"), 0.0, 1.0) * (levels - 1)), "int32")
    nats = keras.losses.sparse_categorical_crossentropy(numbers, logits, from_logits=True)
    return ops.sum(nats, axis=(1, 2, 3))


def bits_per_dimension(model: keras.Model, x: Any, *, batch_size: int = 64) -> np.ndarray:
    """Returns how many bits a value of each picture takes when the model encodes it.

    Args:
        model: A `kerazoo.pixelcnn`.
        x: Pictures (n, height, width, channels) in [0, 1], or the dictionary of a model with classes.
        batch_size: Pictures at once.

    Returns:
        Array (n,): the smaller the better; log2(levels) says that nothing was foreseen.

    Example:
        >>> bits = bits_per_dimension(model, x_test).mean()
    """
    found = []
    for start in range(0, len(keras.tree.flatten(x)[0]), batch_size):
        part = keras.tree.map_structure(lambda array: np.asarray(array)[start : start + batch_size], x)  # noqa: B023
        pictures = part[INPUT] if isinstance(part, Mapping) else part
        nats = negative_log_likelihood(ops.convert_to_tensor(pictures), ops.convert_to_tensor(model(part)))
        found.append(ops.convert_to_numpy(nats) / (math.prod(pictures.shape[1:]) * math.log(2)))
    return np.concatenate(found)


def _conv(x: Any, filters: int, size: int, colours: int, **options: Any) -> keras.KerasTensor:
    return MaskedConv2D(filters, size, colours=colours, **{"kernel_initializer": "he_uniform", **options})(x)


def _block(x: Any, filters: int, colours: int, shift: Any, name: str) -> keras.KerasTensor:
    """Figure 5 of the paper; `shift` (batch, filters) is what the class adds."""
    y = layers.Activation("relu", name=f"{name}_act1")(x)
    y = _conv(y, filters, 1, colours, name=f"{name}_conv1")
    if shift is not None:
        y = layers.Add(name=f"{name}_label")([y, layers.Reshape((1, 1, filters), name=f"{name}_label_map")(shift)])
    y = layers.Activation("relu", name=f"{name}_act2")(y)
    y = _conv(y, filters, 3, colours, name=f"{name}_conv2")
    y = layers.Activation("relu", name=f"{name}_act3")(y)
    y = _conv(y, 2 * filters, 1, colours, name=f"{name}_conv3")
    return layers.Add(name=f"{name}_out")([x, y])


@register_model
def pixelcnn(
    input_shape: Sequence[int] = (32, 32, 3),
    num_classes: int | None = None,
    *,
    filters: int = 128,
    num_blocks: int = 15,
    head_filters: int = 1024,
    levels: int = 256,
    weights: str | None = None,
    dtype: str | None = None,
    name: str = "pixelcnn",
) -> keras.Model:
    """PixelCNN as in the paper's experiments on CIFAR-10: 15 residual blocks of masked convolutions.

    Pictures are in [0, 1]; the value k / (levels - 1) is level k. Values are read row by row, from left to right, and
    at each place one colour after the other.

    Args:
        input_shape: Shape of one picture, channels last, fixed.
        num_classes: Number of classes the network is told, which shift the features of every block, as in the
            conditional PixelCNN; `None` for none.
        filters: Features inside the residual blocks, half of those between them.
        num_blocks: Number of residual blocks.
        head_filters: Features of the two layers in front of the logits.
        levels: How many values a colour can have; 2 for black and white.

    Returns:
        A `PixelCNN`, which is a flat functional `keras.Model`, (batch, height, width, channels) -> logits (batch,
        height, width, channels, levels), with `generate(count, seed=...)`.

    Example:
        >>> model = kerazoo.pixelcnn((28, 28, 1), filters=16, num_blocks=7, head_filters=32, levels=2)
        >>> model.compile("adam")
        >>> model.fit(x, epochs=10)

    References:
        van den Oord, Kalchbrenner, Kavukcuoglu (2016), https://arxiv.org/abs/1601.06759; with classes: van den Oord et
        al. (2016), https://arxiv.org/abs/1606.05328
    """
    sizes = checks.image_shape(input_shape, model=name, dynamic="its values are drawn one after the other")
    filters, levels = checks.positive_int("filters", filters), checks.positive_int("levels", levels, minimum=2)
    num_blocks, head_filters = (
        checks.positive_int("num_blocks", num_blocks),
        checks.positive_int("head_filters", head_filters),
    )
    colours = int(sizes[-1] or 0)
    if min(filters, head_filters) < colours:
        raise ValueError(
            f"filters and head_filters must be at least the {colours} channels of the picture, among which they are "
            f"divided. Received: filters={filters}, head_filters={head_filters}"
        )

    inputs = keras.Input(sizes, name=INPUT)
    label = None if num_classes is None else keras.Input((), dtype="int32", name=LABEL)
    x = _conv(inputs, 2 * filters, 7, colours, name="stem_conv", kind="A")
    for block in range(1, num_blocks + 1):
        shift = None
        if label is not None:
            count = checks.positive_int("num_classes", num_classes)
            shift = layers.Embedding(count, filters, name=f"label_embedding{block}")(label)
        x = _block(x, filters, colours, shift, f"block{block}")
    for index in (1, 2):
        x = layers.Activation("relu", name=f"head_act{index}")(x)
        x = _conv(x, head_filters, 1, colours, name=f"head_conv{index}")
    x = layers.Activation("relu", name="head_act3")(x)
    last = {"kernel_initializer": "glorot_uniform", "dtype": "float32", "name": "logits_flat"}
    x = _conv(x, colours * levels, 1, colours, **last)
    outputs = layers.Reshape((*sizes, levels), dtype="float32", name="logits")(x)
    return PixelCNN(inputs if label is None else {INPUT: inputs, LABEL: label}, outputs, name=name)
