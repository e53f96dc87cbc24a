"""Warping, integration, losses and metrics of registration against SciPy and against what can be computed by hand."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import zoo
from scipy import ndimage

import kerazoo
from kerazoo.layers import BilinearDoubling, ScalingAndSquaring, Warp
from kerazoo.losses import FieldSmoothness, LocalNCC
from kerazoo.metrics import registration as metrics

RANDOM = np.random.default_rng(0)
SHAPES = [(9, 14), (6, 8, 7)]
SMALL = {"encoder_filters": (3, 4), "decoder_filters": (4, 4), "final_filters": (4,)}


def smooth_field(shape: tuple[int, ...], size: float, sigma: float = 4.0) -> np.ndarray:
    """Draws a smooth field whose displacements have the given root mean square."""
    axes = len(shape)
    field = np.stack([ndimage.gaussian_filter(RANDOM.normal(size=shape), sigma) for _ in range(axes)], axis=-1)
    return (field * size / np.sqrt((field**2).sum(axis=-1).mean())).astype("float32")


@pytest.mark.parametrize("shape", SHAPES, ids=["2d", "3d"])
def test_warp_is_that_of_scipy(shape: tuple[int, ...]) -> None:
    images = RANDOM.uniform(size=(2, *shape, 3)).astype("float32")
    fields = RANDOM.normal(0, 3, (2, *shape, len(shape))).astype("float32")
    found = keras.ops.convert_to_numpy(Warp()([images, fields]))
    for image, field, warped in zip(images, fields, found, strict=True):
        assert np.allclose(warped, metrics.warp_image(image, field), atol=1e-5)
    still = keras.ops.convert_to_numpy(Warp()([images, np.zeros_like(fields)]))
    assert np.array_equal(still, images)


@pytest.mark.parametrize("shape", SHAPES, ids=["2d", "3d"])
def test_gradients_of_the_warp_are_finite_differences(shape: tuple[int, ...]) -> None:
    import tensorflow as tf

    image = tf.constant(RANDOM.uniform(size=(1, *shape, 2)), tf.float64)
    field = tf.Variable(RANDOM.normal(0, 1.5, (1, *shape, len(shape))), dtype=tf.float64)
    weight = RANDOM.normal(size=(1, *shape, 2))
    layer = Warp(dtype="float64")

    def total() -> tf.Tensor:
        return tf.reduce_sum(layer([image, field]) * weight)

    with tf.GradientTape() as tape:
        value = total()
    gradient = tape.gradient(value, field).numpy()
    for place in (np.unravel_index(n, gradient.shape) for n in RANDOM.integers(gradient.size, size=12)):
        before, step = field.numpy(), np.zeros(gradient.shape)
        step[place] = 1e-6
        sides = []
        for sign in (1, -1):
            field.assign(before + sign * step)
            sides.append(float(total()))
        field.assign(before)
        assert gradient[place] == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-5)


@pytest.mark.parametrize("shape", [(48, 40), (32, 36, 34)], ids=["2d", "3d"])
def test_the_negative_velocity_gives_the_inverse(shape: tuple[int, ...]) -> None:
    velocity = smooth_field(shape, 2.0, sigma=6.0)[None]  # what linear interpolation loses grows with the curvature
    # towards the edges, beyond which nothing is known, it comes to rest
    for axis, size in enumerate(shape):
        rest = np.sin(np.pi * np.arange(size) / (size - 1)).reshape(
            (1,) * (axis + 1) + (-1,) + (1,) * (len(shape) - axis)
        )
        velocity *= np.minimum(2 * rest, 1).astype("float32")
    there, back = (keras.ops.convert_to_numpy(ScalingAndSquaring(7)(v)) for v in (velocity, -velocity))
    left = there + keras.ops.convert_to_numpy(Warp()([back, there]))
    assert np.abs(there).max() > 2
    assert np.sqrt((left**2).mean()) < 0.02 * np.sqrt((there**2).mean())
    assert metrics.folded_share(there[0]) == 0
    zero = ScalingAndSquaring(7)(np.zeros_like(velocity))
    assert float(keras.ops.max(keras.ops.abs(zero))) == 0


def test_integration_of_a_linear_velocity_is_the_exponential() -> None:
    """v(p) = a p around the middle: the flow is p exp(a)."""
    place = np.arange(41, dtype="float32") - 20
    velocity = np.zeros((1, 41, 41, 2), "float32")
    velocity[..., 0] = -0.4 * place[:, None]
    found = keras.ops.convert_to_numpy(ScalingAndSquaring(8)(velocity))[0, :, 5, 0]
    assert np.allclose(found, place * (np.exp(-0.4) - 1), atol=0.03)


def test_doubling_of_volumes_is_that_of_scipy() -> None:
    volume = RANDOM.uniform(size=(1, 4, 5, 3, 2)).astype("float32")
    found = keras.ops.convert_to_numpy(BilinearDoubling()(volume))
    grids = np.meshgrid(*((np.arange(2 * n) - 0.5) / 2 for n in (4, 5, 3)), indexing="ij")
    for channel in range(2):
        expected = ndimage.map_coordinates(volume[0, ..., channel], grids, order=1, mode="nearest")
        assert np.allclose(found[0, ..., channel], expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(20, 17), (9, 10, 11)], ids=["2d", "3d"])
def test_local_correlation_is_that_of_scipy(shape: tuple[int, ...]) -> None:
    i, j = RANDOM.uniform(size=(2, *shape)).astype("float32")
    j = (0.5 * i + 0.5 * j).astype("float32")

    def mean(x: np.ndarray) -> np.ndarray:
        def window(x: np.ndarray) -> np.ndarray:
            return ndimage.uniform_filter(x.astype("float64"), 5, mode="constant")

        return window(x) / window(np.ones(shape))

    covariance = mean(i * j) - mean(i) * mean(j)
    variances = (mean(i * i) - mean(i) ** 2) * (mean(j * j) - mean(j) ** 2)
    expected = -(covariance**2 / (variances + 1e-5 / 5 ** (2 * len(shape)))).mean()
    assert float(LocalNCC(window=5)(i[None, ..., None], j[None, ..., None])) == pytest.approx(expected, abs=1e-5)


def test_local_correlation_ignores_brightness_and_empty_places() -> None:
    image = np.zeros((2, 32, 32, 1), "float32")
    image[:, 4:20, 4:20] = RANDOM.uniform(size=(2, 16, 16, 1))
    assert np.allclose(LocalNCC()(image, 0.5 * image + 0.3), LocalNCC()(image, image), atol=1e-3)
    assert float(LocalNCC()(image * 0 + 0.5, image)) == pytest.approx(0, abs=1e-4)
    assert float(LocalNCC()(image[:, 4:20, 4:20], image[:, 4:20, 4:20])) == pytest.approx(-1, abs=1e-3)


@pytest.mark.parametrize("shape", SHAPES, ids=["2d", "3d"])
def test_smoothness_by_hand(shape: tuple[int, ...]) -> None:
    field = RANDOM.normal(size=(3, *shape, len(shape))).astype("float32")
    expected = np.mean([(np.diff(field, axis=axis) ** 2).mean() for axis in range(1, len(shape) + 1)])
    assert float(FieldSmoothness()(np.zeros(3), field)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("shape", "int_steps"), [((16, 24, 2), 0), ((16, 24, 2), 5), ((8, 16, 12, 1), 2)])
def test_voxelmorph_learns_to_move(shape: tuple[int, ...], int_steps: int, tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    model = kerazoo.voxelmorph(shape, int_steps, **SMALL)
    sizes = shape[:-1]
    fixed = ndimage.gaussian_filter(RANDOM.uniform(size=(2, *shape)), (0, *[2] * len(sizes), 0)).astype("float32")
    fixed = (fixed - fixed.min()) / np.ptp(fixed)
    moving = np.roll(fixed, 1, axis=1)
    pair = {"moving": moving, "fixed": fixed}
    first = model.predict(pair, verbose=0)
    assert first["field"].shape == (2, *sizes, len(sizes))
    assert not metrics.moves(first["field"])
    assert np.allclose(first["moved"], moving, atol=1e-3)
    model.compile(
        keras.optimizers.Adam(0.01),
        loss={"moved": LocalNCC(window=5), "velocity": FieldSmoothness()},
        loss_weights={"moved": 1.0, "velocity": 0.1},
        jit_compile=False,
    )
    model.fit(zoo.long_epoch((pair, {"moved": fixed, "velocity": np.zeros(2)}), 40, 2), verbose=0)
    found = model.predict(pair, verbose=0)
    assert metrics.moves(found["field"])
    assert np.mean((found["moved"] - fixed) ** 2) < 0.7 * np.mean((moving - fixed) ** 2)
    assert np.median(found["field"][..., 0]) > 0.2  # what was moved by one pixel is looked for there
    model.save(tmp_path / "model.keras")
    again = kerazoo.load_model(tmp_path / "model.keras").predict(pair, verbose=0)
    assert all(np.allclose(again[name], found[name], atol=1e-5) for name in found)


def test_a_size_that_cannot_work_names_the_next_one() -> None:
    with pytest.raises(ValueError, match=r"multiples of 16.*\(64, 112\)"):
        kerazoo.voxelmorph((50, 100, 1))
    with pytest.raises(ValueError, match="as many as encoder_filters"):
        kerazoo.voxelmorph((64, 64, 1), decoder_filters=(8,))


@pytest.mark.parametrize(
    ("format", "shape"),
    [
        ("litert", (16, 24, 1)),
        ("saved_model", (8, 8, 4, 1)),
        ("onnx", (8, 8, 4, 1)),  # LiteRT cannot pool volumes
    ],
)
def test_images_and_volumes_are_exported(format: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    model = kerazoo.voxelmorph(shape, 2, **SMALL)
    model.get_layer("flow").kernel.assign(RANDOM.normal(0, 0.3, model.get_layer("flow").kernel.shape))
    samples = {name: RANDOM.uniform(size=(2, *shape)).astype("float32") for name in ("moving", "fixed")}
    assert metrics.moves(model.predict(samples, verbose=0)["field"])
    suffix = {"saved_model": "", "litert": ".tflite", "onnx": ".onnx"}[format]
    report = kerazoo.export(model, tmp_path / f"model{suffix}", format=format, samples=samples)
    assert report.passed, report


def test_dice_without_the_background() -> None:
    truth, found = np.zeros((2, 10, 10), int)
    truth[:4, :5], found[:4, :4] = 1, 1
    truth[8:, 8:], found[7:9, 8:] = 2, 2
    assert metrics.label_dice(truth, found) == {1: pytest.approx(2 * 16 / 36), 2: pytest.approx(0.5)}
    assert metrics.mean_label_dice(truth, found) == pytest.approx((2 * 16 / 36 + 0.5) / 2)
    assert np.isnan(metrics.mean_label_dice(truth * 0, truth * 0))
    assert metrics.label_dice(truth, truth * 0) == {1: 0.0, 2: 0.0}


def test_jacobians_by_hand() -> None:
    grid = np.stack(np.meshgrid(np.arange(12.0), np.arange(9.0), indexing="ij"), axis=-1)
    matrix = np.array([[0.2, 0.1], [-0.3, 0.4]])
    assert np.allclose(metrics.jacobian_determinant(grid @ matrix.T), np.linalg.det(np.eye(2) + matrix))
    assert metrics.sd_log_jacobian(grid @ matrix.T) == pytest.approx(0, abs=1e-9)
    assert metrics.folded_share(grid * 0) == 0
    folded = grid * 0
    folded[3:6, :, 0] = [[0], [-2.5], [-5]]  # three rows run backwards
    assert metrics.folded_share(folded) == pytest.approx((np.gradient(folded[:, 0, 0]) <= -1).mean())
    assert metrics.folded_share(folded) > 0
    volume = np.stack(np.meshgrid(*[np.arange(5.0)] * 3, indexing="ij"), axis=-1)
    assert np.allclose(metrics.jacobian_determinant(volume * 0.5), 1.5**3)


def test_errors_of_fields() -> None:
    truth = np.zeros((4, 4, 2))
    found = truth + np.array([3.0, 4.0])
    assert metrics.endpoint_error(truth, found) == 5
    found[0] = 0
    assert metrics.endpoint_error(truth, found) == 3.75
    assert metrics.endpoint_error(truth, found, np.arange(4)[:, None] * np.ones(4) == 0) == 0


def test_labels_are_pulled_as_wholes() -> None:
    """A label between two others never appears: numbers are names."""
    labels = np.zeros((16, 16), np.uint16)
    labels[:, 8:] = 9
    field = smooth_field((16, 16), 2.0)
    assert set(np.unique(metrics.warp_labels(labels, field))) <= {0, 9}
    shift = np.zeros((16, 16, 2))
    shift[..., 1] = 3
    assert np.array_equal(metrics.warp_labels(labels, shift)[:, :-3], labels[:, 3:])
