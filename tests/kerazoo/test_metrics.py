"""The metrics of pixels against plain numpy."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import zoo
from scipy import ndimage

from kerazoo.metrics import BoundaryF1, MeanIoU, PerClassIoU

RANDOM = np.random.default_rng(0)


def _iou(truth: np.ndarray, predicted: np.ndarray, weight: np.ndarray, classes: int) -> np.ndarray:
    def area(mask: np.ndarray) -> float:
        return float((weight * mask).sum())

    found = []
    for k in range(classes):
        union = area((truth == k) | (predicted == k))
        found.append(area((truth == k) & (predicted == k)) / union if union else np.nan)
    return np.array(found)


@pytest.mark.parametrize("ignore", [None, 255])
@pytest.mark.parametrize("weighted", ["no", "images", "pixels"])
@pytest.mark.parametrize("classes", [1, 4])
def test_iou(classes: int, weighted: str, ignore: int | None) -> None:
    number = max(classes, 2)
    mean, each = MeanIoU(number, ignore_class=ignore), PerClassIoU(number, ignore_class=ignore)
    foreground = MeanIoU(number, ignore_class=ignore, foreground_only=True)
    truths, answers, weights = [], [], []
    for _ in range(3):
        truth = RANDOM.integers(0, number - (number > 2), (2, 6, 5))  # the last of several classes is never there
        p = RANDOM.uniform(size=(2, 6, 5, classes)).astype("float32")
        weight = {"no": None, "images": np.array([1.0, 2.0]), "pixels": RANDOM.uniform(size=truth.shape)}[weighted]
        if ignore is not None:
            truth[:, 0] = ignore
        for metric in (mean, each, foreground):
            metric.update_state(truth[..., None] if weighted == "no" else truth, p, sample_weight=weight)
        truths.append(truth)
        answers.append(p.argmax(-1) if classes > 1 else (p[..., 0] >= 0.5).astype(int))
        full = (
            np.ones(truth.shape) if weight is None else weight.reshape(2, *weight.shape[1:], *[1] * (3 - weight.ndim))
        )
        weights.append(full * (truth != ignore))
    expected = _iou(np.array(truths), np.array(answers), np.array(weights), number)
    assert float(mean.result()) == pytest.approx(np.nanmean(expected), rel=1e-5)
    assert float(foreground.result()) == pytest.approx(np.nanmean(expected[1:]), rel=1e-5)
    np.testing.assert_allclose([float(v) for v in each.result().values()], expected, rtol=1e-5)
    mean.reset_state()
    assert float(mean.result()) == 0


def test_iou_of_classes_that_are_not_there() -> None:
    p = np.eye(4, dtype="float32")[np.array([[0, 1, 1, 0]])]
    mean, each = MeanIoU(4), PerClassIoU(4, class_names="abcd")
    for metric in (mean, each):
        metric.update_state(np.array([[0, 1, 0, 0]]), p)
    assert float(mean.result()) == pytest.approx((2 / 3 + 1 / 2) / 2)
    found = {name: float(value) for name, value in each.result().items()}
    assert found["iou_a"] == pytest.approx(2 / 3)
    assert np.isnan(found["iou_d"])
    one_hot = MeanIoU(4)
    one_hot.update_state(np.eye(4)[np.array([[0, 1, 0, 0]])], p)
    assert float(one_hot.result()) == float(mean.result())


def _boundary_f1(truth: np.ndarray, predicted: np.ndarray, tolerance: int, classes: range) -> float:
    scores = []
    for a, b in zip(truth, predicted, strict=True):
        for k in classes:
            edges = []
            for mask in (a == k, b == k):
                outside = ndimage.binary_dilation(~mask, np.ones((3, 3)))
                edges.append(mask & outside)
            if not edges[0].any() and not edges[1].any():
                continue
            near = [
                ndimage.distance_transform_edt(~edge) <= tolerance if edge.any() else np.zeros_like(edge)
                for edge in edges
            ]
            precision = near[0][edges[1]].mean() if edges[1].any() else 0
            recall = near[1][edges[0]].mean() if edges[0].any() else 0
            scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0)
    return float(np.mean(scores))


@pytest.mark.parametrize("foreground_only", [True, False])
@pytest.mark.parametrize("tolerance", [0, 1, 3])
def test_boundary_f1(tolerance: int, foreground_only: bool) -> None:
    truth = np.zeros((3, 20, 24), int)
    truth[0, 2:9, 3:12], truth[0, 10:18, 5:20], truth[1, 5:15, 5:15] = 1, 2, 1
    predicted = np.roll(truth, (1, 2), axis=(1, 2))
    predicted[2, 4:6, 4:6] = 2
    metric = BoundaryF1(3, tolerance=tolerance, foreground_only=foreground_only)
    metric.update_state(truth, np.eye(3, dtype="float32")[predicted])
    expected = _boundary_f1(truth, predicted, tolerance, range(int(foreground_only), 3))
    assert 0 < expected < 1
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)
    perfect = BoundaryF1(3, tolerance=tolerance)
    perfect.update_state(truth, np.eye(3, dtype="float32")[truth])
    assert float(perfect.result()) == pytest.approx(1)


def test_boundary_f1_of_one_output_with_weights() -> None:
    truth = np.zeros((2, 12, 12, 1), int)
    truth[:, 3:8, 3:8] = 1
    p = truth.astype("float32")
    p[1] = 0
    metric = BoundaryF1(2)
    metric.update_state(truth, p, sample_weight=np.array([3.0, 1.0]))
    assert float(metric.result()) == pytest.approx(0.75)
    metric.reset_state()
    assert float(metric.result()) == 0


METRICS = [
    MeanIoU(3, ignore_class=2, foreground_only=True),
    PerClassIoU(3, class_names=["a", "b", "c"]),
    BoundaryF1(3, tolerance=1),
]


def test_in_a_compiled_model_that_is_saved(tmp_path: Path) -> None:
    model = zoo.fresh("unet_small", dtype="mixed_float16")
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=METRICS, jit_compile=False)
    x, y = zoo.batch("unet_small")
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    assert {"mean_iou", "iou_a", "iou_b", "iou_c", "boundary_f1"} <= set(found)
    assert all(variable.dtype == "float32" for metric in METRICS for variable in metric.variables)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    again = loaded.evaluate(x, y, verbose=0, return_dict=True)
    assert again == pytest.approx(found, rel=1e-3)
    for metric in METRICS:
        assert type(metric).from_config(metric.get_config()).get_config() == metric.get_config()


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: MeanIoU(1), "num_classes"),
        (lambda: MeanIoU(3, foreground_only=1), "foreground_only"),
        (lambda: PerClassIoU(3, class_names=["a"]), "class_names must be 3 names"),
        (lambda: BoundaryF1(2, tolerance=1.5), "tolerance"),
    ],
)
def test_bad_arguments(make, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        make()
