"""The losses of pixels and of quantiles against their formulas in plain numpy."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import zoo

import kerazoo
from kerazoo.losses import (
    ClassBalancedCrossentropy,
    Dice,
    Focal,
    FocalTversky,
    Pinball,
    PixelCrossentropy,
    Tversky,
    boundary_weights,
)

RANDOM = np.random.default_rng(0)
SHAPE = (3, 5, 4)


def _softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True) if z.shape[-1] > 1 else 1 / (1 + np.exp(-z))


def _one_hot(numbers: np.ndarray, classes: int) -> np.ndarray:
    return (numbers[..., None] == (np.arange(classes) if classes > 1 else 1)).astype(float)


def dice(y, p, w, n, s=1.0):
    return np.mean(
        [1 - (2 * (w * a * b).sum() + s) / ((w * a).sum() + (w * b).sum() + s) for a, b in zip(y, p, strict=True)]
    )


def tversky(y, p, w, n, alpha=0.3, beta=0.7, s=1.0, gamma=1.0):
    terms = []
    for a, b in zip(y, p, strict=True):
        hit, wrong, missed = (w * a * b).sum(), (w * (1 - a) * b).sum(), (w * a * (1 - b)).sum()
        terms.append((1 - (hit + s) / (hit + alpha * wrong + beta * missed + s)) ** gamma)
    return np.mean(terms)


def crossentropy(y, p, w, n, alpha=(1.0,), gamma=0.0):
    if len(p) == 1:
        rest = 1 - alpha[0] if gamma else 1.0
        each = alpha[0] * y[0] * (1 - p[0]) ** gamma * np.log(p[0])
        each = each + rest * (1 - y[0]) * p[0] ** gamma * np.log(1 - p[0])
    else:
        alpha = np.broadcast_to(alpha, len(p))
        each = sum(a * b * (1 - c) ** gamma * np.log(c) for a, b, c in zip(alpha, y, p, strict=True))
    return -(w * each).sum() / n


def balanced(y, p, w, n):
    terms = []
    for a, b in zip(y, p, strict=True):
        beta = (n - a.sum()) / n
        terms.append(-(beta * w * a * np.log(b) + (1 - beta) * w * (1 - a) * np.log(1 - b)).sum() / n)
    return np.mean(terms)


LOSSES = {
    "dice": (Dice, {}, dice),
    "dice_smooth": (Dice, {"smooth": 3.0}, lambda *a: dice(*a, s=3.0)),
    "tversky": (Tversky, {}, tversky),
    "tversky_swapped": (Tversky, {"alpha": 0.8, "beta": 0.1}, lambda *a: tversky(*a, alpha=0.8, beta=0.1)),
    "focal_tversky": (FocalTversky, {}, lambda *a: tversky(*a, gamma=0.75)),
    "crossentropy": (PixelCrossentropy, {}, crossentropy),
    "focal": (Focal, {}, lambda *a: crossentropy(*a, alpha=(0.25,), gamma=2.0)),
    "class_balanced": (ClassBalancedCrossentropy, {}, balanced),
}


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "pixel weights"])
@pytest.mark.parametrize("ignore", [None, 9], ids=["all pixels", "void"])
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_formula(name: str, classes: int, ignore: int | None, weighted: bool) -> None:
    cls, options, formula = LOSSES[name]
    logits = RANDOM.normal(size=(*SHAPE, classes)).astype("float32")
    numbers = RANDOM.integers(0, max(classes, 2), SHAPE)
    if ignore is not None:
        numbers[:, :2] = ignore
    pixel_weight = RANDOM.uniform(0.5, 2, SHAPE).astype("float32") if weighted else np.ones(SHAPE)
    p = _softmax(logits.astype(float))
    expected = np.mean(
        [
            formula(
                np.moveaxis(_one_hot(numbers[i], classes), -1, 0),
                np.moveaxis(p[i], -1, 0),
                pixel_weight[i] * (numbers[i] != ignore),
                (numbers[i] != ignore).sum(),
            )
            for i in range(len(numbers))
        ]
    )
    given = {"sample_weight": pixel_weight.astype("float32")} if weighted else {}
    loss = cls(ignore_class=ignore, **options)
    assert float(loss(numbers, p.astype("float32"), **given)) == pytest.approx(expected, rel=1e-5)
    assert float(loss(numbers[..., None], p.astype("float32"), **given)) == pytest.approx(expected, rel=1e-5)
    if cls is not ClassBalancedCrossentropy or classes == 1:
        from_logits = cls(ignore_class=ignore, from_logits=True, **options)
        assert float(from_logits(numbers, logits, **given)) == pytest.approx(expected, rel=1e-4)
    if ignore is None and classes > 1:
        assert float(loss(_one_hot(numbers, classes), p.astype("float32"), **given)) == pytest.approx(
            expected, rel=1e-5
        )


@pytest.mark.parametrize("name", LOSSES)
def test_sample_weight_and_reduction(name: str) -> None:
    cls, options, _ = LOSSES[name]
    p = _softmax(RANDOM.normal(size=(*SHAPE, 3))).astype("float32")
    numbers = RANDOM.integers(0, 3, SHAPE)
    each = np.array(cls(reduction="none", **options)(numbers, p))
    assert each.shape == (3,)
    weight = np.array([1.0, 0.0, 3.0], "float32")
    assert float(cls(**options)(numbers, p, sample_weight=weight)) == pytest.approx((each * weight).sum() / 3, rel=1e-6)
    assert float(cls(reduction="sum", **options)(numbers, p)) == pytest.approx(each.sum(), rel=1e-6)


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("name", LOSSES)
def test_extreme_predictions_are_finite(name: str, classes: int) -> None:
    """Perfect and hopeless answers, certain ones, and images without any foreground: values and gradients."""
    import tensorflow as tf

    cls, options, _ = LOSSES[name]
    for numbers in (np.zeros(SHAPE, int), np.ones(SHAPE, int), RANDOM.integers(0, 2, SHAPE)):
        right = _one_hot(numbers, classes).astype("float32")
        for p in (right, 1 - right):
            for from_logits in (False, True):
                y_pred = tf.constant(200 * p - 100 if from_logits else p)
                with tf.GradientTape() as tape:
                    tape.watch(y_pred)
                    loss = cls(from_logits=from_logits, **options)(numbers, y_pred)
                assert np.isfinite(loss)
                assert np.all(np.isfinite(tape.gradient(loss, y_pred)))


def test_perfect_and_empty_answers_have_no_overlap_loss() -> None:
    empty = np.zeros((1, 4, 4), int)
    for cls in (Dice, Tversky):
        assert float(cls()(empty, np.zeros((1, 4, 4, 1), "float32"))) == 0
        assert float(cls()(empty + 1, np.ones((1, 4, 4, 1), "float32"))) == 0


def test_tversky_weighs_false_positives_with_alpha() -> None:
    """The other way round than keras.losses.Tversky 3.15."""
    truth, more = np.array([[0, 0, 1, 1]]), np.array([[[1.0], [1.0], [1.0], [1.0]]], "float32")
    assert float(Tversky(alpha=1, beta=0, smooth=0)(truth, more)) == pytest.approx(0.5)
    assert float(Tversky(alpha=0, beta=1, smooth=0)(truth, more)) == pytest.approx(0.0)
    p = RANDOM.uniform(size=(2, 6, 3)).astype("float32")
    y = RANDOM.integers(0, 3, (2, 6))
    assert float(Tversky(alpha=0.5, beta=0.5, smooth=1)(y, p)) == pytest.approx(float(Dice(smooth=2)(y, p)), rel=1e-6)


def test_focal_takes_a_weight_per_class() -> None:
    p = np.full((1, 3, 3), 1 / 3, "float32")
    found = float(Focal(alpha=(1.0, 0.0, 2.0), gamma=0)(np.array([[0, 1, 2]]), p))
    assert found == pytest.approx(3 * np.log(3) / 3, rel=1e-6)
    with pytest.raises(ValueError, match="alpha must be one number or one for each of 3 classes"):
        Focal(alpha=(1.0, 2.0))(np.array([[0, 1, 2]]), p)


@pytest.mark.parametrize(
    ("cls", "options", "word"),
    [
        (Dice, {"smooth": -1}, "smooth"),
        (Dice, {"from_logits": "yes"}, "from_logits"),
        (Tversky, {"alpha": -0.5}, "alpha"),
        (Focal, {"gamma": -1}, "gamma"),
    ],
)
def test_bad_arguments(cls, options: dict, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        cls(**options)


def test_targets_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"y_true must be class numbers \(2, 4, 4\) or one column per class"):
        Dice()(np.zeros((2, 4, 4, 2)), np.zeros((2, 4, 4, 3), "float32"))


def test_half_precision_predictions_are_summed_in_float32() -> None:
    """In float16 the sum over 100,000 pixels would be infinite."""
    y, p = np.ones((1, 400, 400), int), np.full((1, 400, 400, 1), 0.5, "float16")
    assert float(Dice()(y, keras.ops.convert_to_tensor(p))) == pytest.approx(1 / 3, rel=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_saved_with_a_compiled_model(name: str, tmp_path: Path) -> None:
    """A compiled model comes back with its loss in a process that only imports kerazoo, and goes on training."""
    cls, options, _ = LOSSES[name]
    model = zoo.fresh("unet_small")
    model.compile("sgd", cls(ignore_class=2, **options), jit_compile=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.loss) is cls
    assert loaded.loss.get_config() == model.loss.get_config()
    x, y = zoo.batch("unet_small")
    assert loaded.evaluate(x, y, verbose=0) == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-5)
    assert np.isfinite(loaded.train_on_batch(x, y))


def test_saved_loss_loads_in_a_fresh_process(tmp_path: Path) -> None:
    model = zoo.fresh("unet_small")
    model.compile("sgd", Focal(alpha=(1.0, 2.0, 3.0)), metrics=[kerazoo.metrics.MeanIoU(3)])
    model.save(tmp_path / "model.keras")
    code = "import sys, kerazoo, keras\nprint(keras.models.load_model(sys.argv[1]).loss.alpha)"
    assert zoo.run_forked(code, str(tmp_path / "model.keras")) == "[1.0, 2.0, 3.0]"


def test_boundary_weights() -> None:
    """Against distances to every pixel of every object."""
    instances = np.zeros((30, 40), int)
    instances[3:12, 4:14], instances[3:14, 17:30], instances[20:28, 6:20] = 7, 2, 40
    found = boundary_weights(instances, w0=8, sigma=3, balance_classes=False)
    rows, columns = np.indices(instances.shape)
    expected = np.ones(instances.shape)
    for i, j in np.argwhere(instances == 0):
        distances = [
            np.sqrt(((rows - i) ** 2 + (columns - j) ** 2)[instances == number].min()) for number in (2, 7, 40)
        ]
        d1, d2 = sorted(distances)[:2]
        expected[i, j] += 8 * np.exp(-((d1 + d2) ** 2) / (2 * 3**2))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert found.dtype == np.float32
    assert found[7, 15] > 4  # the gap of three pixels
    share = (instances == 0).mean()
    balanced_map = boundary_weights(instances, w0=8, sigma=3)
    np.testing.assert_allclose(
        balanced_map - found, np.where(instances == 0, 0.5 / share, 0.5 / (1 - share)) - 1, atol=1e-5
    )
    assert np.all(boundary_weights(np.zeros((5, 6), int)) == 1)
    assert np.all(boundary_weights(np.ones((5, 6), int)) == 1)
    for bad in (np.zeros((3, 3)), np.zeros((3, 3, 1), int)):
        with pytest.raises(ValueError, match="instances must be a two-dimensional array"):
            boundary_weights(bad)
    with pytest.raises(ValueError, match="sigma"):
        boundary_weights(instances, sigma=0)


QUANTILES = (0.1, 0.5, 0.9)


def test_pinball_is_its_formula():
    random = np.random.default_rng(0)
    target, found = random.normal(size=(4, 3, 2)), random.normal(size=(4, 18))
    error = target.reshape(4, 6, 1) - found.reshape(4, 6, 3)
    expected = np.where(error > 0, error * QUANTILES, error * (np.array(QUANTILES) - 1))
    loss = Pinball(quantiles=QUANTILES, reduction=None)
    np.testing.assert_allclose(loss(target, found), expected.mean(axis=(1, 2)), rtol=1e-5)
    median = Pinball(quantiles=[0.5])
    np.testing.assert_allclose(
        median(target, found[:, :6]), np.abs(target.reshape(4, 6) - found[:, :6]).mean() / 2, rtol=1e-5
    )
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    np.testing.assert_array_equal(again(target, found), loss(target, found))


def test_pinball_is_least_at_the_quantiles():
    target = np.random.default_rng(0).exponential(size=(1, 20_001)).astype("float32")
    right = np.quantile(target, QUANTILES)
    loss = Pinball(quantiles=QUANTILES)

    def at(numbers):
        return float(loss(target.reshape(-1, 1), np.tile(numbers, (20_001, 1))))

    for index in range(3):
        for step in (-0.1, 0.1):
            assert at(right) < at(right + step * np.eye(3)[index])


@pytest.mark.parametrize(
    ("quantiles", "shape", "sentence"),
    [
        ((0.9, 0.1), (2, 2), "rising numbers"),
        ((), (2, 2), "rising numbers"),
        ((0.0, 0.5), (2, 2), "rising numbers"),
        ((0.5, 1.0), (2, 2), "in \\[0, 1\\)"),
        (QUANTILES, (2, 4), "needs 3 predictions per target"),
    ],
)
def test_pinball_refuses_what_cannot_be(quantiles, shape, sentence):
    with pytest.raises(ValueError, match=sentence):
        Pinball(quantiles=quantiles)(np.zeros((2, 1)), np.zeros(shape))


PUBLIC = [value for value in vars(kerazoo.losses).values() if isinstance(value, type)]


@pytest.mark.parametrize("loss", PUBLIC, ids=lambda loss: loss.__name__)
def test_a_loss_is_saved_with_all_its_arguments(loss: type[keras.losses.Loss]) -> None:
    config = loss(name="mine", reduction="sum", dtype="float64").get_config()
    assert set(inspect.signature(loss).parameters) - {"options"} <= set(config)
    again = loss.from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config
    assert (again.name, again.reduction, again.dtype) == ("mine", "sum", "float64")
