"""From samples to batches: tf.data pipelines whose order and augmentation are pure functions.

The order of epoch e is a permutation drawn from (seed, e), and every random number of sample i in that epoch is drawn
from (seed, e, i). So two runs with one seed see the same batches whatever the number of reading threads, and a resumed
run starts in the middle of an epoch by starting at a position: nothing is read twice, nothing is left out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from applications.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from applications.datasets.store import ImageStore

_COPY_LIMIT = 1 << 30
_SORTED = 20  # batches whose samples are sorted by length together


@dataclass(frozen=True)
class Samples:
    """One split, as functions TensorFlow can trace. They are traced as they are: Python's `if` and `for` cannot follow
    the values of tensors in them (that conversion would cost half a second per training).

    Attributes:
        size: Samples in one epoch.
        load: `(index, draws) -> (x, y)` or `(x, y, weight)` of one sample; `draws` are `num_draws` uniform numbers in
            [0, 1) that belong to this sample in this epoch (shape (0,) where `num_draws` is 0).
        augment: `(x, y[, weight], draws) -> (x, y[, weight])` on whole batches, or None.
        num_draws: Random numbers one sample needs.
        at_once: Whether `load` takes many samples, `(indices, draws) -> batch` with draws of shape (N, num_draws). In
            the training of a small network loading one by one takes longer than all the rest.
        lengths: Length of each sample, or None. Batches of the training then hold samples of like length, so that a
            `load` of many may cut what all of them lack (`longest`).
    """

    size: int
    load: "Callable[[tf.Tensor, tf.Tensor], tuple]"
    augment: "Callable[..., tuple] | None" = None
    num_draws: int = 0
    at_once: bool = False
    lengths: "np.ndarray | None" = None


@dataclass(frozen=True)
class Share:
    """Which rows of every batch a worker takes, and how many devices they are for.

    Attributes:
        worker: Number of the worker.
        workers: Number of all workers.
        devices: Devices of each worker.
    """

    worker: int = 0
    workers: int = 1
    devices: int = 1


def steps_per_epoch(size: int, batch_size: int) -> int:
    """Returns the number of training batches: the last, incomplete one is left out (another rest each epoch)."""
    return max(1, size // batch_size)


def training_batches(
    samples: Samples,
    batch_size: int,
    *,
    seed: int,
    epoch: int = 0,
    position: int = 0,
    endless: bool = False,
    block: int = 1,
    share: Share = Share(),
) -> "tf.data.Dataset":
    """Returns the shuffled, augmented batches of an epoch from a position on.

    Args:
        samples: The training split.
        batch_size: Samples per batch, over all replicas. The rest of an epoch that does not fill a batch is left out,
            unless there is only that: batch statistics of one or two samples would harm the model.
        seed: Fixes order and augmentation.
        epoch: The epoch to begin with.
        position: Its first sample.
        endless: Whether the following epochs come after it, for ever. One iterator then serves a whole `fit`: the first
            batches of an epoch are made during the validation before it, and no time goes into new iterators, which
            took longer than a short epoch.
        block: Batches that come together, of shape (block, batch, ...), where it is above 1: making many at a time
            takes hardly longer than making one. It divides the batches from `position` to the end of the epoch, and
            there is one device.
        share: What this worker takes of each batch; the order of the samples is the same for all workers.

    Returns:
        A `tf.data.Dataset` of batches; of several devices, one device's part after the other.
    """
    import tensorflow as tf

    steps = steps_per_epoch(samples.size, batch_size)
    used = min(steps * batch_size, samples.size)
    own = min(batch_size, used) // share.workers
    each = own // share.devices
    together = block * each

    def epoch_order(number: "tf.Tensor") -> "tf.data.Dataset":
        order = tf.random.experimental.stateless_shuffle(
            tf.range(samples.size, dtype=tf.int64), seed=tf.stack([tf.cast(seed, tf.int64), number])
        )
        if samples.lengths is not None and samples.size >= batch_size:
            order = _alike(order, samples.lengths, batch_size, tf.stack([~tf.cast(seed, tf.int64), number]))
        rest = order[tf.where(number == epoch, position, 0) : used]
        if share.workers > 1:
            rest = tf.reshape(tf.reshape(rest, [-1, share.workers, own])[:, share.worker], [-1])
        if samples.at_once:
            rest = tf.reshape(rest[: tf.shape(rest)[0] // each * each], [-1, together])
        return tf.data.Dataset.from_tensor_slices((rest, tf.repeat(number, tf.shape(rest)[0])))

    def load(index: "tf.Tensor", number: "tf.Tensor") -> tuple:
        draws = sample_draws(samples.num_draws, seed, number, index)
        return (*samples.load(index, draws), draws)

    augment = samples.augment or (lambda *batch: batch[:-1])

    def finished(*batch: "tf.Tensor") -> tuple:
        found = augment(*batch)
        if block == 1:
            return found
        return tf.nest.map_structure(lambda part: tf.reshape(part, [block, each, *part.shape[1:]]), found)

    dataset = tf.data.Dataset.range(epoch, 2**60 if endless else epoch + 1).flat_map(_as_it_is(epoch_order))
    if samples.at_once:
        dataset = _mapped(dataset, lambda *row: finished(*load(*row)))
    else:
        dataset = _mapped(_mapped(dataset, load).batch(together, drop_remainder=True), finished)
    if not endless:
        # Without a known length Keras finds the end of an epoch by a step that fails, and in that step everything that
        # does not need the data (the count of the running means, the optimiser's iterations) has already been updated.
        batches = share.devices * (steps - position // batch_size) // block
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(batches))
    return _prefetched(dataset)


def _prefetched(dataset: "tf.data.Dataset") -> "tf.data.Dataset":
    """Makes batches ahead of time, without TensorFlow's tuning.

    The tuner sleeps between its looks, in the end for twenty seconds, and an iterator that is thrown away waits for it
    to wake up, as Keras' `fit` does with that of the validation in every epoch.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(2).with_options(options)


def _alike(order: "tf.Tensor", lengths: "np.ndarray", batch_size: int, seed: "tf.Tensor") -> "tf.Tensor":
    """Returns an order whose batches hold samples of like length: those of some batches are sorted, not all of them.

    Which samples meet in a batch thus stays a matter of chance, and so does the order of the batches.
    """
    import tensorflow as tf

    order = order[: len(lengths) // batch_size * batch_size]
    group = tf.range(tf.size(order)) // (_SORTED * batch_size)
    rank = group * (int(lengths.max()) + 1) + tf.gather(tf.constant(lengths, tf.int32), order)
    batches = tf.reshape(tf.gather(order, tf.argsort(rank, stable=True)), [-1, batch_size])
    return tf.reshape(tf.random.experimental.stateless_shuffle(batches, seed=seed), [-1])


def longest(lengths: "tf.Tensor", at_most: int) -> "tf.Tensor":
    """Returns what sequences may be cut to: the largest length, up to the next multiple of eight, of which a graph that
    is compiled for every shape meets few."""
    import tensorflow as tf

    return tf.minimum((tf.reduce_max(lengths) + 7) // 8 * 8, at_most)


def _mapped(dataset: "tf.data.Dataset", function: "Callable[..., tuple]") -> "tf.data.Dataset":
    import tensorflow as tf

    return dataset.map(_as_it_is(function), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def shared_training_batches(
    samples: Samples, batch_size: int, strategy: "tf.distribute.Strategy", **options: Any
) -> "tf.distribute.DistributedDataset":
    """Returns the same as `training_batches` for several workers, each of which makes its own rows only."""

    def batches(context: "tf.distribute.InputContext") -> "tf.data.Dataset":
        workers = context.num_input_pipelines
        share = Share(context.input_pipeline_id, workers, context.num_replicas_in_sync // workers)
        return training_batches(samples, batch_size, share=share, **options)

    return strategy.distribute_datasets_from_function(batches)


def _as_it_is(function: "Callable[..., Any]") -> "Callable[..., Any]":
    """Keeps AutoGraph from converting a function, which takes longer than the first epoch of a small training."""
    import tensorflow as tf

    return tf.autograph.experimental.do_not_convert(function)


def sample_draws(count: int, seed: int, epoch: "tf.Tensor", index: "tf.Tensor") -> "tf.Tensor":
    """Returns `count` uniform numbers in [0, 1) that depend on nothing but seed, epoch and sample.

    TensorFlow's generators take one seed for a whole tensor. Here the number of every draw goes through the last steps
    of SplitMix64 (Steele, Lea and Flood, 2014), with a key that TensorFlow draws from seed and epoch; many samples cost
    hardly more than one.

    Args:
        count: Numbers of a sample.
        seed: Of the training.
        epoch: Number of the epoch, int64.
        index: Number of the sample, or of several, int64.

    Returns:
        float32 numbers of shape `(*index.shape, count)`.
    """
    import tensorflow as tf

    mixed = tf.cast(seed, tf.int64) * 1_000_003 + epoch
    key = tf.random.stateless_uniform([], [mixed, 0], None, None, tf.uint64)
    number = index[..., None] * max(1, count) + tf.range(count, dtype=tf.int64)
    bits = key + tf.cast(number, tf.uint64) * tf.constant(0x9E3779B97F4A7C15, tf.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = _shifted(bits, shift) * tf.constant(factor, tf.uint64)
    bits = tf.bitwise.right_shift(_shifted(bits, 31), tf.constant(40, tf.uint64))  # as many as a float32 can hold
    return tf.cast(bits, tf.float32) * 2.0**-24


def _shifted(bits: "tf.Tensor", shift: int) -> "tf.Tensor":
    import tensorflow as tf

    return tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(shift, tf.uint64)))


def _in_order(samples: Samples, sizes: "list[int]", chosen: Any = None) -> "tf.data.Dataset":
    """Returns all samples (or the chosen ones) in batches of these sizes again and again, as they are."""
    import tensorflow as tf

    def load(index: "tf.Tensor") -> tuple:
        return samples.load(index, tf.zeros(tf.concat([tf.shape(index), [0]], axis=0)))

    def batched(dataset: "tf.data.Dataset") -> "tf.data.Dataset":
        # `rebatch` goes through the sizes again and again, `batch` keeps a known shape
        return dataset.batch(sizes[0]) if len(set(sizes)) == 1 else dataset.batch(max(sizes)).rebatch(sizes)

    indices = tf.data.Dataset.range(samples.size) if chosen is None else tf.data.Dataset.from_tensor_slices(chosen)
    return _mapped(batched(indices), load) if samples.at_once else batched(_mapped(indices, load))


def evaluation_batches(
    samples: Samples, batch_size: int, *, endless: bool = True
) -> "tuple[tf.data.Dataset, int | None]":
    """Returns all samples of a split in their order, again and again, and the steps of one pass; or one pass and None.

    Of a data set that ends Keras makes a second iterator after each pass, fills it and throws it away. Several steps at
    once would go on into the next pass, though.
    """
    dataset = _in_order(samples, [batch_size])
    if not endless:
        return _prefetched(dataset), None
    return _prefetched(dataset.repeat()), -(-samples.size // batch_size)


def shared_evaluation_batches(
    samples: Samples, batch_size: int, strategy: "tf.distribute.Strategy", *, endless: bool = True
) -> "tuple[tf.distribute.DistributedDataset, int | None]":
    """Returns the same as `evaluation_batches` for devices, of one worker or several, that share each batch.

    Left to itself, TensorFlow gives the whole rest of a last batch to the first device and nothing to the others, and a
    convolution of no image at all fails.
    """
    import numpy as np

    sizes = shared_sizes(samples.size, batch_size, strategy.num_replicas_in_sync)
    parts = np.split(np.arange(samples.size), np.cumsum(sizes)[:-1])

    def batches(context: "tf.distribute.InputContext") -> "tf.data.Dataset":
        workers = context.num_input_pipelines
        devices = strategy.num_replicas_in_sync // workers
        own = [part for n, part in enumerate(parts) if n // devices % workers == context.input_pipeline_id]
        dataset = _in_order(samples, [len(part) for part in own], np.concatenate(own))
        return _prefetched(dataset.repeat() if endless else dataset)

    steps = len(sizes) // strategy.num_replicas_in_sync
    return strategy.distribute_datasets_from_function(batches), steps if endless else None


def whole_batches(samples: Samples, batch_size: int, devices: int) -> Samples:
    """Returns the samples without the rest that does not fill a batch: a TPU compiles for one shape.

    Args:
        samples: A split.
        batch_size: Samples of a step.
        devices: Their number, which divides every step; of fewer samples than a batch as many as it divides are left.
    """
    step = min(batch_size, samples.size - samples.size % devices)
    return replace(samples, size=samples.size // step * step if step else samples.size)


def shared_sizes(size: int, batch_size: int, replicas: int) -> list[int]:
    """Returns how many samples each device takes, device by device within a step: none has nothing to do.

    Args:
        size: Samples in all.
        batch_size: Samples of a step, a multiple of `replicas`.
        replicas: Number of devices. Their parts are equal in the first step, from which Keras learns the shapes.

    Raises:
        UserError: There are too few samples.

    Example:
        >>> shared_sizes(13, 8, 2)
        [4, 4, 3, 2]
    """
    steps, rest = [batch_size] * (size // batch_size), size % batch_size
    if rest % replicas == 0 or (steps and rest >= replicas):
        steps.append(rest)
    elif steps:  # fewer than devices: the step before gives one to each
        steps[-1] -= replicas
        steps.append(rest + replicas)
    else:
        steps = [rest - rest % replicas - replicas, rest % replicas + replicas]
    steps = [step for step in steps if step > 0]
    if size < replicas or steps[0] % replicas:
        raise UserError(
            f"{size} samples cannot be shared by {replicas} devices; use --strategy single, or at least "
            f"{2 * replicas} images in each part of the data."
        )
    return [step // replicas + (device < step % replicas) for step in steps for device in range(replicas)]


class ImageReader:
    """Function `index -> image` that TensorFlow can trace, for images of one size or of many.

    Args:
        store: The images. Up to 1 GiB they are handed to TensorFlow once; larger or memory-mapped stores are read
            sample by sample where they lie.

    Attributes:
        at_once: Whether many indices may be given, for images of shape (N, height, width, channels).
    """

    def __init__(self, store: "ImageStore"):
        import numpy as np
        import tensorflow as tf

        self.store = store
        self.flat, self.offsets, self.shapes = _tensors(store)
        self.at_once = self.flat is not None and store.contiguous
        if self.at_once:
            values = len(store) * int(np.prod(store.max_shape))
            self.images = tf.reshape(self.flat[:values], [len(store), *store.max_shape])

    def __call__(self, index: "tf.Tensor") -> "tf.Tensor":
        """Returns the image (height, width, channels) of a scalar int64 tensor, in the store's dtype."""
        import numpy as np
        import tensorflow as tf

        if self.at_once:
            return tf.gather(self.images, index)
        store = self.store
        if self.flat is None:
            image = tf.numpy_function(lambda i: np.ascontiguousarray(store[int(i)]), [index], store.flat.dtype)
        else:
            shape = self.shapes[index]
            image = tf.reshape(tf.slice(self.flat, self.offsets[index][None], tf.reduce_prod(shape)[None]), shape)
        free = [None] * (store.shapes.shape[1] - 1)
        image.set_shape(store.max_shape if store.uniform else (*free, store.channels))
        return image


_handed_over: "WeakKeyDictionary[ImageStore, tuple]" = WeakKeyDictionary()


def _tensors(store: "ImageStore") -> tuple:
    """Returns pixels (None where they stay where they are), offsets and shapes; one copy for all splits and folds."""
    import tensorflow as tf

    if store not in _handed_over:
        with tf.device("/CPU:0"):
            copied = store.in_memory and store.flat.nbytes <= _COPY_LIMIT
            flat = tf.constant(store.flat) if copied else None
            _handed_over[store] = flat, tf.constant(store.offsets), tf.constant(store.shapes, tf.int64)
    return _handed_over[store]


def balanced_weights(counts: Any) -> Any:
    """Returns one weight per class, inverse to its frequency, with a mean of 1 over the samples.

    Args:
        counts: Samples (or pixels) of each class. A class without any gets weight 0.
    """
    import numpy as np

    counts = np.asarray(counts, np.float64)
    present = counts > 0
    weights = np.zeros_like(counts)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights.astype(np.float32)
