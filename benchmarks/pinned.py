"""The ten networks that speed is measured with: configuration, input and batch never change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

BATCH = 32


@dataclass(frozen=True)
class Pinned:
    """A network and the data it is measured on.

    Attributes:
        builder: Name in the catalogue.
        shape: Of one input.
        options: Further arguments of the builder.
        outputs: Classes; 0: the input is the target.
        steps: Training steps of one round, about a second and a half of them.
        is_convolutional: Whether convolutions take most of the time.
    """

    builder: str
    shape: tuple[int, ...]
    options: dict[str, Any]
    outputs: int = 10
    steps: int = 32
    is_convolutional: bool = False

    def build(self) -> Any:
        """Returns the network with the same weights every time."""
        import keras

        import kerazoo

        keras.utils.set_random_seed(0)
        if not self.outputs:
            return kerazoo.create_model(self.builder, self.shape, **self.options)
        return kerazoo.create_model(self.builder, self.shape, self.outputs, **self.options)

    def data(self) -> tuple[Any, Any]:
        """Returns inputs in [0, 1] and class numbers (per pixel for a segmentation) for the steps of one round."""
        import numpy as np

        random = np.random.default_rng(0)
        inputs = random.random((BATCH * self.steps, *self.shape), np.float32)
        if not self.outputs:
            return inputs, inputs
        places = self.shape[:2] if self.builder == "unet" else ()
        return inputs, random.integers(0, self.outputs, (len(inputs), *places)).astype("int32")

    def compile(self, model: Any, **execution: Any) -> None:
        """Compiles with Adam and the usual loss; what is not given is Keras' default."""
        loss = {"loss": "sparse_categorical_crossentropy"} if self.outputs else {}
        model.compile(optimizer="adam", **loss, **execution)


# LeNet-5 takes digits of 28 pixels with a margin, as its paper does.
NETWORKS = {
    "mlp": Pinned("mlp", (64,), {"hidden_units": (128, 64), "activation": "relu"}, steps=256),
    "lenet5": Pinned("lenet5", (32, 32, 1), {"variant": "common"}, steps=128, is_convolutional=True),
    "resnet20": Pinned("resnet20", (32, 32, 3), {}, steps=8, is_convolutional=True),
    "mobilenet": Pinned("mobilenet", (64, 64, 3), {}, steps=8, is_convolutional=True),
    "densenet40": Pinned(
        "densenet_cifar", (32, 32, 3), {"variant": "basic", "depth": 40}, steps=4, is_convolutional=True
    ),
    "unet": Pinned(
        "unet", (64, 64, 1), {"depth": 3, "filters": 16, "dropout_rate": 0.0}, outputs=2, steps=8, is_convolutional=True
    ),
    "lstm": Pinned("lstm", (64, 16), {"units": 64}, steps=64),
    "gru": Pinned("gru", (64, 16), {"units": 64}, steps=64),
    "transformer": Pinned(
        "transformer_encoder",
        (64, 64),
        {"num_layers": 2, "hidden_dim": 64, "num_heads": 4, "mlp_dim": 256, "max_length": 64},
        steps=32,
    ),
    "vae": Pinned("vae", (784,), {"hidden_units": (500,)}, outputs=0, steps=128),
}


def matmul_rate(size: int = 1024, rounds: int = 20) -> float:
    """Returns the billions of floating-point operations per second that a float32 matrix product reaches here."""
    import statistics
    import time

    import tensorflow as tf

    a = tf.random.normal((size, size))
    product: Callable[..., Any] = tf.function(lambda a: tf.linalg.matmul(a, a), autograph=False)
    times = []
    for _ in range(rounds + 3):
        began = time.perf_counter()
        product(a).numpy()
        times.append(time.perf_counter() - began)
    return 2 * size**3 / statistics.median(times[3:]) / 1e9
