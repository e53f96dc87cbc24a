"""Order and augmentation are pure functions of seed, epoch and sample."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from applications.core.augmentation import NUM_DRAWS, ImageAugmentation, augment_geometry, augment_intensity
from applications.core.errors import UserError
from applications.core.pipeline import (
    ImageReader,
    Samples,
    Share,
    _in_order,
    balanced_weights,
    evaluation_batches,
    longest,
    sample_draws,
    shared_sizes,
    training_batches,
)
from applications.datasets.store import ImageStore


def numbered(size: int, at_once: bool = False) -> Samples:
    """Samples that are their own number and their first draw."""
    return Samples(size, lambda index, draws: (index, draws[..., 0]), None, num_draws=2, at_once=at_once)


def read(batches) -> list[tuple[int, float]]:
    return [(int(i), float(d)) for x, d in batches for i, d in zip(x.numpy(), d.numpy(), strict=True)]


def test_epochs_are_different_permutations_of_all_samples():
    batches = training_batches(numbered(24), 8, seed=1)
    first = read(batches)
    assert sorted(i for i, _ in first) == list(range(24))
    assert read(batches) == first
    second = read(training_batches(numbered(24), 8, seed=1, epoch=1))
    assert sorted(i for i, _ in second) == list(range(24))
    assert [i for i, _ in second] != [i for i, _ in first]
    assert not {d for _, d in first} & {d for _, d in second}, "draws must differ between epochs"
    assert len({d for _, d in first}) == 24, "draws must differ between samples"


def test_another_seed_gives_another_order():
    assert read(training_batches(numbered(24), 8, seed=1)) != read(training_batches(numbered(24), 8, seed=2))


def test_an_epoch_goes_on_from_any_position():
    whole = read(training_batches(numbered(50), 8, seed=3, epoch=4))
    assert len(whole) == 48, "the incomplete batch is left out"
    rest = training_batches(numbered(50), 8, seed=3, epoch=4, position=16)
    assert int(rest.cardinality()) == 4, "Keras must know the length, or it counts a failed step"
    assert read(rest) == whole[16:]


@pytest.mark.parametrize("size", [50, 3])
@pytest.mark.parametrize("position", [0, 16])
def test_endless_batches_are_the_epochs_one_after_the_other(size, position):
    position = position if size > position else 0
    epochs = [
        read(training_batches(numbered(size), 8, seed=3, epoch=epoch, position=position if epoch == 4 else 0))
        for epoch in (4, 5, 6)
    ]
    batches = training_batches(numbered(size), 8, seed=3, epoch=4, position=position, endless=True)
    expected = [pair for epoch in epochs for pair in epoch]
    assert read(batches.take(-(-len(expected) // min(size, 8)))) == expected
    assert int(batches.cardinality()) < 0, "Keras makes an iterator too many at the end of a known length"


@pytest.mark.parametrize("share", [Share(), Share(1, 2), Share(0, 1, 2)])
@pytest.mark.parametrize("size", [50, 6])
def test_batches_loaded_at_once_are_those_loaded_one_by_one(size, share):
    position = 16 if size > 16 else 0
    one_by_one, at_once = (
        training_batches(numbered(size, whole), 8, seed=3, epoch=4, position=position, share=share)
        for whole in (False, True)
    )
    assert read(at_once) == read(one_by_one)
    assert at_once.cardinality() == one_by_one.cardinality()
    assert at_once.element_spec[0].shape[0] == min(size, 8) // share.workers // share.devices

    chosen = np.arange(size)[::-1].astype(np.int64)
    for sizes in ([4], [4, 4, 3]):
        parts = [_in_order(Samples(size, lambda i, d: (i, 2 * i), at_once=w), sizes, chosen) for w in (False, True)]
        one_by_one, at_once = ([x.numpy().tolist() for x, _ in part] for part in parts)
        assert at_once == one_by_one
        assert [number for batch in at_once for number in batch] == chosen.tolist()


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("endless", [True, False])
def test_blocks_hold_the_same_batches(whole, endless):
    options = {"seed": 3, "epoch": 4, "position": 16, "endless": endless}
    single, blocks = (training_batches(numbered(50, whole), 8, block=block, **options) for block in (1, 2))
    assert blocks.element_spec[0].shape[:2] == (2, 8)
    assert read(blocks.take(5).unbatch()) == read(single.take(10))
    if not endless:
        assert (int(single.cardinality()), int(blocks.cardinality())) == (4, 2)


def test_batches_of_like_length_hold_every_sample_once():
    lengths = np.random.default_rng(0).integers(1, 100, 1030)
    samples = replace(numbered(1030, at_once=True), lengths=lengths)
    orders = [[i for i, _ in read(training_batches(samples, 8, seed=3, epoch=epoch))] for epoch in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert len(set(orders[0])) == len(orders[0]) == 1024
    batches = lengths[np.array(orders[0])].reshape(-1, 8)
    assert np.ptp(batches, axis=1).mean() < 10 < 60 < np.ptp(lengths[:1024].reshape(-1, 8), axis=1).mean()
    assert abs(np.corrcoef(batches.mean(axis=1), np.arange(128))[0, 1]) < 0.3, "short batches must not come first"
    assert sorted(orders[0][:160]) != sorted(orders[2][:160]), "other samples meet in another epoch"
    rest = training_batches(samples, 8, seed=3, epoch=1, position=512)
    assert [i for i, _ in read(rest)] == orders[2][512:]
    assert longest(tf.constant([3, 9]), 30) == 16
    assert longest(tf.constant([3, 29]), 30) == 30


def test_draws_are_uniform_and_independent():
    draws = sample_draws(4, 7, tf.constant(3, tf.int64), tf.range(20_000, dtype=tf.int64)).numpy()
    assert draws.dtype == np.float32
    assert 0 <= draws.min() < draws.max() < 1
    counts = np.stack([np.histogram(column, 64, (0, 1))[0] for column in draws.T])
    chi = ((counts - 20_000 / 64) ** 2 / (20_000 / 64)).sum(axis=1)
    assert (chi < 104).all(), "63 degrees of freedom: 0.1 % of fair ones are above 104"
    next_epoch = sample_draws(4, 7, tf.constant(4, tf.int64), tf.range(20_000, dtype=tf.int64)).numpy()
    together = np.corrcoef(np.concatenate([draws.T, next_epoch.T, draws[1:].T[:, [*range(19_999), 0]]]))
    assert np.abs(together - np.eye(12)).max() < 0.035, "five standard deviations"
    one = sample_draws(4, 7, tf.constant(3, tf.int64), tf.constant(11, tf.int64)).numpy()
    np.testing.assert_array_equal(one, draws[11])


def test_a_split_smaller_than_a_batch_is_used():
    assert sorted(i for i, _ in read(training_batches(numbered(3), 8, seed=0))) == [0, 1, 2]


def test_evaluation_keeps_the_order_and_repeats():
    batches, steps = evaluation_batches(Samples(10, lambda index, draws: (index, index)), 4)
    assert steps == 3
    assert [list(x.numpy()) for x, _ in batches.take(2 * steps)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]] * 2


def test_no_tuner_keeps_an_iterator_that_is_thrown_away():
    """It sleeps up to 20 s at a time, and the iterator waits for it."""
    samples = Samples(10, lambda index, draws: (index, index))
    made = [evaluation_batches(samples, 4, endless=endless)[0] for endless in (True, False)]
    for batches in (*made, training_batches(samples, 4, seed=0), training_batches(samples, 4, seed=0, endless=True)):
        assert batches.options().autotune.enabled is False


@pytest.mark.parametrize("replicas", [2, 3, 4])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_devices_share_all_samples_and_none_has_nothing_to_do(replicas, steps):
    batch_size = steps * replicas
    for size in range(2 * replicas, 7 * batch_size):
        sizes = np.array(shared_sizes(size, batch_size, replicas)).reshape(-1, replicas)
        assert sizes.sum() == size
        assert sizes.min() >= 1
        assert len(set(sizes[0])) == 1, "Keras learns the shapes from the first step"
        assert sizes.sum(axis=1).max() < batch_size + replicas


@pytest.mark.parametrize("size", [1, 3])
def test_too_few_samples_for_the_devices_are_refused(size):
    with pytest.raises(UserError, match=f"{size} samples cannot be shared by 2 devices; use --strategy single"):
        shared_sizes(size, 8, 2)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("mapped", [False, True])
def test_image_reader_returns_what_the_store_holds(tmp_path, dtype, mixed, mapped):
    random = np.random.default_rng(0)
    shapes = [(5, 7, 3), (4, 6, 3) if mixed else (5, 7, 3), (5, 7, 3)]
    images = [(random.random(shape) * 200).astype(dtype) for shape in shapes]
    store = ImageStore.from_arrays(images, memory_limit=0 if mapped else None, cache_dir=tmp_path)
    reader = ImageReader(store)
    assert reader.at_once != (mixed or mapped)
    if reader.at_once:
        np.testing.assert_array_equal(reader(tf.constant([2, 0], tf.int64)).numpy(), [images[2], images[0]])
    read_all = tf.data.Dataset.range(3).map(reader)
    for image, expected in zip(read_all, images, strict=True):
        assert image.dtype.name == dtype
        np.testing.assert_array_equal(image.numpy(), expected)
    assert read_all.element_spec.shape.as_list() == ([None, None, 3] if mixed else [5, 7, 3])


def disc(size: int = 33) -> np.ndarray:
    """A bright disc right of and below the centre."""
    y, x = np.mgrid[:size, :size]
    return (((y - 20) ** 2 + (x - 24) ** 2) < 16).astype(np.float32)[None, :, :, None] * 100


def centre(image: np.ndarray) -> tuple[float, float]:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    weight = image[..., 0] / image.sum()
    return float((y * weight).sum()), float((x * weight).sum())


OFF = {"rotation": 0, "shift": 0, "zoom": 0}
HALF = np.full((1, NUM_DRAWS), 0.5, np.float32)


@pytest.mark.parametrize(
    ("options", "draw", "value", "expected"),
    [
        ({}, 0, 0.9, (20, 24)),
        ({"horizontal_flip": True}, 4, 0.1, (20, 8)),
        ({"horizontal_flip": True}, 4, 0.9, (20, 24)),
        ({"vertical_flip": True}, 5, 0.1, (12, 24)),
        ({"quarter_turns": True}, 6, 0.6, (12, 8)),
        ({"shift": 0.25}, 2, 0.0, (20, 24 + 8.25)),
        ({"shift": 0.25}, 3, 1.0, (20 - 8.25, 24)),
    ],
)
def test_geometry_moves_a_disc_where_it_should(options, draw, value, expected):
    draws = HALF.copy()
    draws[0, 6] = 0.0
    draws[0, draw] = value
    moved = augment_geometry(tf.constant(disc()), tf.constant(draws), ImageAugmentation(**{**OFF, **options}))
    if expected[1] + 4 < 33:
        assert centre(moved.numpy()[0]) == pytest.approx(expected, abs=0.15)
    else:  # partly outside: its left edge tells
        row = moved.numpy()[0, 20, :, 0]
        assert np.flatnonzero(row > 50)[0] == pytest.approx(expected[1] - 4, abs=1)


def test_zoom_in_enlarges():
    draws = HALF.copy()
    draws[0, 1] = 1.0
    grown = augment_geometry(tf.constant(disc()), tf.constant(draws), ImageAugmentation(**{**OFF, "zoom": 0.3}))
    assert float(tf.reduce_sum(grown)) == pytest.approx(disc().sum() * 1.3**2, rel=0.1)


def test_a_mask_moves_with_its_image_and_keeps_its_classes():
    random = np.random.default_rng(0)
    draws = tf.constant(random.random((1, NUM_DRAWS)), tf.float32)
    options = ImageAugmentation(rotation=45, shift=0.1, zoom=0.2, horizontal_flip=True, vertical_flip=True)
    image = augment_geometry(tf.constant(disc()), draws, options).numpy()
    mask = augment_geometry(tf.constant((disc() > 0).astype(np.int32) * 7), draws, options, interpolation="nearest")
    assert mask.dtype == tf.int32
    assert set(np.unique(mask)) == {0, 7}
    assert ((image > 50) == (mask.numpy() == 7)).mean() > 0.99


def test_intensity_stays_in_range_and_changes():
    images = tf.constant(np.random.default_rng(0).random((4, 8, 8, 3)) * 255, tf.float32)
    draws = tf.constant(np.random.default_rng(1).random((4, NUM_DRAWS)), tf.float32)
    options = ImageAugmentation(brightness=0.3, contrast=0.3)
    changed = augment_intensity(images, draws, options, (0.0, 255.0)).numpy()
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert (np.abs(changed - images.numpy()).mean(axis=(1, 2, 3)) > 1).all()
    same = augment_intensity(images, draws, ImageAugmentation(), (0.0, 255.0))
    np.testing.assert_array_equal(same, images)


def test_balanced_weights_have_mean_one_over_the_samples():
    counts = np.array([90, 10, 0])
    weights = balanced_weights(counts)
    assert (weights * counts).sum() == pytest.approx(counts.sum())
    assert weights[0] * 90 == pytest.approx(weights[1] * 10)
    assert weights[2] == 0


@pytest.mark.parametrize(("size", "batch", "devices", "expected"), [(70, 32, 8, 64), (64, 32, 8, 64), (21, 32, 8, 16)])
def test_a_tpu_validates_on_whole_batches(size, batch, devices, expected):
    from applications.core.pipeline import Samples, shared_sizes, whole_batches

    whole = whole_batches(Samples(size, lambda index, draws: ()), batch, devices)
    assert whole.size == expected
    assert len(set(shared_sizes(whole.size, batch, devices))) == 1


@pytest.mark.parametrize(("workers", "devices"), [(1, 1), (2, 1), (2, 2)])
def test_workers_take_their_rows_of_the_same_batches(workers, devices):
    import numpy as np

    from applications.core.pipeline import Samples, Share, training_batches

    samples = Samples(27, lambda index, draws: (index,))

    def rows(share):
        batches = training_batches(samples, 8, seed=3, epoch=2, position=8, share=share)
        assert len(batches) == 2 * share.devices
        return [
            np.concatenate(list(b)) for b in zip(*[iter(x.numpy() for (x,) in batches)] * share.devices, strict=True)
        ]

    whole = rows(Share())
    parts = [rows(Share(worker, workers, devices)) for worker in range(workers)]
    for step, batch in enumerate(whole):
        assert np.concatenate([part[step] for part in parts]).tolist() == batch.tolist()
