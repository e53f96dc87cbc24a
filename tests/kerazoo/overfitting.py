"""Learning a few samples by heart from random initial weights: dead heads, wrong initialisers and gradients that do not
arrive show here.

A card's `overfit` says with what: `steps`, `optimizer` (a name of Keras), `learning_rate`, and `options`, builder
arguments that stand in front of those of `test_config`.
"""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import zoo

import kerazoo

DEFAULTS: dict[str, Any] = {"steps": 200, "optimizer": "adam", "learning_rate": 1e-3, "options": {}}
GOAL = {"image_classifier": 1.0, "dense_prediction": 0.95}  # accuracy on 32 digits; foreground IoU on 4 images
_CHECK_EVERY = 10


def digits(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first 32 handwritten digits of scikit-learn, resized, with zero mean and unit spread."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x = np.array(keras.ops.image.resize(data.images[:32, ..., None], shape[:2], interpolation="bilinear"))
    x = (x - x.mean()) / x.std()
    return np.repeat(x, shape[-1], axis=-1).astype("float32"), data.target[:32].astype("int32")


@functools.cache
def _scenes(size: int) -> list[Any]:
    from applications.datasets.simulators.fluorescence import NucleiParameters, simulate_nuclei

    parameters = NucleiParameters(size=size, num_nuclei=max(2, size * size // 500), radius_mean=6.0, photons=100.0)
    return [simulate_nuclei(parameters, seed=(0, index)) for index in range(4)]


def nuclei(shape: tuple[int, ...], out: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Returns four simulated images of nuclei and their masks; a smaller output sees the centre.

    A volume is one image repeated along its last axis.
    """
    scenes = _scenes(max(shape[0], shape[1], 32))
    x = np.stack([scene.image[: shape[0], : shape[1]] for scene in scenes])[..., None].astype("float32")
    y = np.stack([scene.mask[: shape[0], : shape[1]] for scene in scenes]).astype("int32")
    top, left = (shape[0] - out[0]) // 2, (shape[1] - out[1]) // 2
    x = np.repeat((x - x.mean()) / x.std(), shape[-1], axis=-1)
    y = y[:, top : top + out[0], left : left + out[1], None]
    if len(shape) == 4:
        x, y = (np.repeat(maps[:, :, :, None], shape[2], axis=3) for maps in (x, y))
    return x, y


def _first(outputs: Any) -> Any:
    """Returns the main output of a model with several: `predictions`, or the first."""
    return outputs["predictions"] if isinstance(outputs, dict) else keras.tree.flatten(outputs)[0]


def _score(kind: str, found: np.ndarray, truth: np.ndarray) -> float:
    """Returns the accuracy, or the foreground's intersection over union."""
    if kind == "image_classifier":
        return float(np.mean(found.argmax(-1) == truth))
    labels = found.argmax(-1) if found.shape[-1] > 1 else found[..., 0] > 0.5
    labels, truth = labels > 0, truth[..., 0] > 0
    return float((labels & truth).sum() / (labels | truth).sum())


def learn(name: str) -> dict[str, Any]:
    """Trains one model with all samples in every step until it has learnt them.

    Returns:
        `reached` (whether it did within the card's steps), `steps`, `score` (in inference mode) and the settings.
    """
    card = kerazoo.model_card(name)
    plan = {**DEFAULTS, **card.overfit}
    options = {"num_classes": 10 if card.kind == "image_classifier" else 2, **plan["options"]}
    model = zoo.fresh(name, **options)
    shape, out = model.input_shape[1:], _first(model.output).shape
    x, y = digits(shape) if card.kind == "image_classifier" else nuclei(shape, out[1:3])
    loss = "binary_crossentropy" if out[-1] == 1 else "sparse_categorical_crossentropy"
    optimizer = keras.optimizers.get({"class_name": plan["optimizer"], "config": {}})
    optimizer.learning_rate = plan["learning_rate"]
    model.compile(optimizer, keras.tree.map_structure(lambda _: loss, model.output), jit_compile=False)
    targets = keras.tree.map_structure(lambda _: y, model.output)
    score = 0.0
    for step in range(1, plan["steps"] + 1):
        model.train_on_batch(x, targets)
        if step % _CHECK_EVERY == 0 or step == plan["steps"]:
            found = zoo.value(_first(model.predict_on_batch(x)))
            score = _score(card.kind, found, y)
            if score >= GOAL[card.kind]:
                break
    settings = {key: plan[key] for key in ("optimizer", "learning_rate")}
    return {"reached": score >= GOAL[card.kind], "steps": step, "score": round(score, 4), **settings}
