"""Images of any size through a network: whole, or in windows where they are too large."""

from __future__ import annotations

import numpy as np
import pytest

import kerazoo
from applications.core import image_predictor
from applications.core.image_predictor import ImagePredictor

RANDOM = np.random.default_rng(0)


def picture(height: int, width: int, channels: int = 1) -> np.ndarray:
    return RANDOM.uniform(0, 1, (height, width, channels)).astype("float32")


def in_windows(model, monkeypatch: pytest.MonkeyPatch, pixels: int, **options) -> ImagePredictor:
    """Returns a predictor for which images of so many pixels are the largest that fit."""
    monkeypatch.setattr(image_predictor, "MEMORY", 1)
    predict = ImagePredictor(model, **options)
    assert predict._largest == 0
    predict._largest = pixels
    return predict


@pytest.mark.parametrize("size", [(90, 101), (64, 40)])
@pytest.mark.parametrize(
    "model",
    [
        kerazoo.unet_small((None, None, 1), 2, filters=2, depth=2),
        kerazoo.srresnet((None, None, 1), 1, filters=2, num_blocks=1, scale=2),
    ],
    ids=["unet_small", "srresnet"],
)
def test_windows_give_the_whole_map(model, size, monkeypatch):
    image, whole = picture(*size), ImagePredictor(model)
    found, cut = whole(image), in_windows(model, monkeypatch, 50 * 50)(image)
    scale = 2 if model.name == "srresnet" else 1
    assert found.shape[:2] == cut.shape[:2] == tuple(length * scale for length in size)
    np.testing.assert_allclose(cut, found, atol=1e-5)


def test_networks_that_look_at_the_whole_image_are_blended(monkeypatch):
    model = kerazoo.cellpose((None, None, 1), filters=(4, 8))
    found = in_windows(model, monkeypatch, 100)(picture(90, 70))
    assert found.shape[:2] == (90, 70)
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    "model",
    [kerazoo.unet_small((None, None, 1), 2, filters=2, depth=2), kerazoo.cellpose((None, None, 1), filters=(4, 8))],
    ids=["exact", "blended"],
)
def test_maps_are_finished_window_by_window(model, monkeypatch):
    def finish(found: np.ndarray) -> np.ndarray:
        sizes.append(found.shape[:2])
        return (found.sum(-1, keepdims=True) > limit).astype("uint8")

    image, sizes = picture(700, 40), []
    plain = in_windows(model, monkeypatch, 100)(image)
    limit = np.median(plain.sum(-1))
    found = in_windows(model, monkeypatch, 100, finish=finish)(image)
    assert (found.dtype, found.shape) == ("uint8", (700, 40, 1))
    np.testing.assert_array_equal(found[..., 0], plain.sum(-1) > limit)
    assert max(height for height, _ in sizes) < 700


def test_batches_hold_as_many_images_as_fit(monkeypatch):
    model = kerazoo.unet_small((None, None, 1), 2, filters=2, depth=2)
    predict, counts = in_windows(model, monkeypatch, 6 * 32 * 32, batch_size=16), []
    call = predict._predictor
    monkeypatch.setattr(predict, "_predictor", lambda batch: (counts.append(len(batch)), call(batch))[1])
    images = [picture(32, 32) for _ in range(6)] + [picture(160, 96)] + [picture(15, 31) for _ in range(2)]
    found = list(predict.each(iter(images)))
    assert counts == [4, 2, 2]
    for image, map_ in zip(images, found, strict=True):
        np.testing.assert_allclose(map_, ImagePredictor(model)(image), atol=1e-5)
