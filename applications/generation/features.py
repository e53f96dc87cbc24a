"""Networks that judge pictures, trained apart from the one that draws them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from applications.core.errors import UserError

if TYPE_CHECKING:
    import keras

FILTERS, EPOCHS, BATCH = (32, 64, 128), 20, 64


@dataclass(frozen=True)
class Judge:
    """A classifier of real pictures.

    Attributes:
        classify: Pictures with pixels in [0, 1] -> probabilities (count, classes).
        features: The same pictures -> what its last layer sees (count, size), in units of the spread over real ones.
        accuracy: Share of real pictures, not trained on, that it classifies rightly.
    """

    classify: Callable[[np.ndarray], np.ndarray]
    features: Callable[[np.ndarray], np.ndarray]
    accuracy: float


def train_judge(
    pictures: np.ndarray, labels: np.ndarray, num_classes: int, held_out: tuple[np.ndarray, np.ndarray], seed: int = 0
) -> Judge:
    """Trains a small convolutional network on real pictures.

    Args:
        pictures: Training pictures (count, height, width, channels), pixels in [0, 1].
        labels: Their classes.
        num_classes: Number of classes.
        held_out: Pictures and classes its accuracy is measured on.
        seed: Fixes weights and order.
    """
    import keras

    import kerazoo

    keras.utils.set_random_seed(seed)
    model = kerazoo.cnn(pictures.shape[1:], num_classes, filters=FILTERS)
    steps = EPOCHS * -(-len(pictures) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(pictures, labels, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    classify = _batched(model)
    # what the head's last layer takes: features that tell classes apart
    before = _batched(keras.Model(model.input, model.get_layer("avg_pool").output))
    known = before(pictures)
    mean, spread = known.mean(axis=0), known.std(axis=0) + 1e-6
    accuracy = float((classify(held_out[0]).argmax(axis=1) == held_out[1]).mean())
    return Judge(classify, lambda given: (before(given) - mean) / spread, accuracy)


def pixel_features(pictures: np.ndarray, count: int = 64) -> Callable[[np.ndarray], np.ndarray]:
    """Returns what gives principal components of pixels, in units of their spread: for pictures without classes.

    Args:
        pictures: Real pictures the components are fitted to.
        count: Largest number of components.
    """
    from sklearn.decomposition import PCA

    flat = pictures.reshape(len(pictures), -1)
    components = PCA(min(count, *flat.shape), svd_solver="auto", random_state=0).fit(flat)
    spread = np.sqrt(components.explained_variance_)
    known = spread >= max(1e-4 * spread[0], 1e-9)  # of few pictures the last direction is nothing but rounding
    return lambda given: components.transform(given.reshape(len(given), -1))[:, known] / spread[known]


def inception_features(weights: str) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the 2048 features of InceptionV3 for pictures with pixels in [0, 1], from the user's weights file.

    The network is that of keras.applications, whose weights are not those the FID was defined with.

    Args:
        weights: Its weights file without the top.

    Raises:
        UserError: The file does not exist or belongs to another network.
    """
    import keras

    if not Path(weights).expanduser().is_file():
        raise UserError(f"inception_weights: there is no file {weights!r}.")
    model = keras.applications.InceptionV3(include_top=False, weights=None, pooling="avg", input_shape=(299, 299, 3))
    try:
        model.load_weights(Path(weights).expanduser())
    except (ValueError, OSError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"inception_weights: {weights!r} does not fit InceptionV3 without its top: {reason}") from error
    call = _batched(model, 32)

    def features(given: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(given), 32):
            colour = np.repeat(given[start : start + 32], 3 // given.shape[-1], axis=-1)
            large = keras.ops.image.resize(colour, (299, 299), interpolation="bilinear", data_format="channels_last")
            parts.append(call(keras.ops.convert_to_numpy(large) * 2 - 1))
        return np.concatenate(parts)

    return features


def _batched(model: keras.Model, size: int = 256) -> Callable[[np.ndarray], np.ndarray]:
    from applications.core.inference import predict_array

    return lambda pictures: predict_array(model, pictures, size)
