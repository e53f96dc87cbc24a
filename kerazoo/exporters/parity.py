"""Does the exported file compute what the model computes? Samples, comparison and the report about it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kerazoo.exporters.messages import first_reason
from kerazoo.exporters.quantization import Criterion

CHUNK = 16  # samples per call, to bound the memory of the comparison
FREE_SIZES = (64, 128, 256, 512)  # what a free dimension becomes in random samples: the first that works


class Runner(Protocol):
    """A loaded export: from the flat list of inputs to the flat list of outputs, as the model orders them."""

    batch: int | None  # how many samples it takes at a time; None for any number

    def __call__(self, inputs: list[np.ndarray]) -> list[np.ndarray]: ...


@dataclass(frozen=True)
class Times:
    """How long a file takes on this machine, in milliseconds.

    Attributes:
        one: Median of a call with one sample (of a file with a fixed batch: one batch).
        one_p95: What 95 % of the calls stay below.
        many: Median of 32 samples, in one call where the file takes as many.
        many_p95: The same for these.
    """

    one: float
    one_p95: float
    many: float
    many_p95: float

    def rounded(self) -> dict[str, float]:
        """Returns the numbers to three digits."""
        return {name: float(f"{value:.3g}") for name, value in asdict(self).items()}


@dataclass(frozen=True)
class ExportReport:
    """What is known about an exported file.

    Attributes:
        format: `"saved_model"`, `"litert"` or `"onnx"`.
        path: Where the file lies.
        max_abs_diff: Largest absolute difference to the Keras model, over all outputs and samples.
        mean_abs_diff: Mean absolute difference.
        relative_diff: Largest difference divided by the largest absolute output, of the worst output.
        sqnr_db: Ratio of signal (variance) to mean squared difference in dB, of the worst output.
        agreement: Share of equal decisions, from 0 to 1: the arg-maximum of the last axis, or a single
            value in [0, 1] against 0.5; `None` for other outputs.
        bytes: Size on disk.
        times: How long 1 and 32 samples take on this machine.
        criterion: What was asked for.
        passed: Whether it is met.
        quantize: How the file computes.
        samples: What was compared, in words.
        notes: What the user should know, one sentence each.
        errors: Of an 8-bit file, if asked for: the error of each operation in 8-bit steps, the largest first.
        peak_memory: Most bytes a process of its own held that ran the file, runtime included; `None` if not measured.
        metric: Name of the task's own metric, where the file comes from a run.
        metric_before: Its value on the run's test split, of the model.
        metric_after: The same of the file.
    """

    format: str
    path: str
    max_abs_diff: float
    mean_abs_diff: float
    relative_diff: float
    sqnr_db: float
    agreement: float | None
    bytes: int
    times: Times
    criterion: Criterion
    passed: bool
    quantize: str = "none"
    samples: str = ""
    notes: tuple[str, ...] = ()
    errors: tuple[dict[str, Any], ...] = ()
    peak_memory: int | None = None
    metric: str = ""
    metric_before: float | None = None
    metric_after: float | None = None

    def complete(
        self, format: str, path: Path, file: Path, samples: str, notes: list[str], **more: Any
    ) -> "ExportReport":
        """Returns a copy that knows its file: `path` is its name, `file` where it lies now."""
        files = [file] if file.is_file() else [entry for entry in file.rglob("*") if entry.is_file()]
        size = sum(entry.stat().st_size for entry in files)
        all_notes = (*notes, *self.notes)
        return replace(self, format=format, path=str(path), bytes=size, samples=samples, notes=all_notes, **more)


def sample_batch(
    model: Any, samples: Any = None, input_range: tuple[float, float] | None = None, what: str = "samples"
) -> tuple[Any, str]:
    """Returns a batch with the structure of the model's inputs, and what it is in words.

    Args:
        model: A `keras.Model`.
        samples: Arrays given by the user, or `None` for random ones.
        input_range: Range of the random ones.
        what: Name of the argument, for the messages.

    Returns:
        The batch (numpy arrays) and a description.

    Raises:
        ValueError: If the samples do not fit the model.
    """
    import keras

    struct = input_structure(model)
    if struct is None:
        if samples is None:
            raise ValueError(f"{model.name!r} does not know its inputs before it is called: pass samples=.")
        batch = keras.tree.map_structure(np.asarray, samples)
        return batch, f"{len(keras.tree.flatten(batch)[0])} given samples"
    if samples is not None:
        return _given_samples(struct, samples, what)
    low, high, origin = _random_range(model, input_range)
    rng, size = np.random.default_rng(0), _free_size(model, struct)
    count = 4 if size == FREE_SIZES[0] else 1  # a network that needs more is slow
    shapes = keras.tree.map_structure(lambda tensor: [count, *(n or size for n in tensor.shape[1:])], struct)
    batch = keras.tree.map_structure_up_to(
        struct, lambda tensor, shape: _random_input(rng, model, tensor, shape, low, high), struct, shapes
    )
    words = "4 random samples" if count == 4 else "1 random sample"
    return batch, f"{words} in [{low:g}, {high:g}] ({origin})"


def _free_size(model: Any, struct: Any) -> int:
    """Returns the smallest of a few sizes for the free dimensions that the model can work with."""
    import keras
    import tensorflow as tf

    if all(None not in tensor.shape[1:] for tensor in keras.tree.flatten(struct)):
        return FREE_SIZES[0]
    for size in FREE_SIZES:
        specs = keras.tree.map_structure(
            lambda tensor: tf.TensorSpec((1, *(n or size for n in tensor.shape[1:])), tensor.dtype),  # noqa: B023
            struct,
        )
        try:
            tf.function(lambda batch: model(batch, training=False)).get_concrete_function(specs)
        except Exception:  # of whatever class: the next size, and in the end the call itself says what is wrong
            continue
        return size
    return FREE_SIZES[0]


def input_structure(model: Any) -> Any:
    """Returns the symbolic inputs in the structure the model is called with, `None` where it has none yet."""
    import keras

    if isinstance(model, keras.Sequential):
        return model.inputs[0] if model.built and model.inputs else None
    return getattr(model, "input", None)


def _given_samples(struct: Any, samples: Any, what: str) -> tuple[Any, str]:
    import keras

    inputs = keras.tree.flatten(struct)
    if isinstance(struct, dict) and isinstance(samples, dict) and set(struct) != set(samples):
        raise ValueError(f"{what} must have the keys {sorted(struct)}, received {sorted(samples)}.")
    # A plain nested list of numbers is one array for a model with one input.
    is_array = len(inputs) == 1 and not isinstance(samples, dict)
    if is_array and not (isinstance(samples, list | tuple) and len(samples) == 1 and np.ndim(samples[0]) > 1):
        arrays = [np.asarray(samples)]
    else:
        arrays = [np.asarray(array) for array in keras.tree.flatten(samples)]
    if len(arrays) != len(inputs):
        raise ValueError(f"The model takes {len(inputs)} inputs, {what} hold {len(arrays)} arrays.")
    for tensor, array in zip(inputs, arrays, strict=True):
        shape = tuple(tensor.shape)
        fits = len(shape) == array.ndim and all(s in (None, a) for s, a in zip(shape[1:], array.shape[1:], strict=True))
        if not fits or not len(array):
            raise ValueError(f"Input {tensor.name!r} takes arrays of shape {shape}, {what} have {array.shape}.")
    lengths = {len(array) for array in arrays}
    if len(lengths) > 1:
        raise ValueError(f"All inputs need the same number of samples, received {sorted(lengths)}.")
    arrays = [array.astype(tensor.dtype) for tensor, array in zip(inputs, arrays, strict=True)]
    return keras.tree.pack_sequence_as(struct, arrays), f"{lengths.pop()} given samples"


def _random_range(model: Any, input_range: tuple[float, float] | None) -> tuple[float, float, str]:
    if input_range is not None:
        low, high = input_range
        if not low < high:
            raise ValueError(f"input_range must be (low, high) with low < high, received {input_range!r}.")
        return float(low), float(high), "the range given"
    layer = next((layer for layer in getattr(model, "layers", []) if layer.name == "preprocess"), None)
    if layer is not None and np.ndim(layer.scale) == 0 and np.ndim(layer.offset) == 0 and float(layer.scale):
        # Whatever the layer maps to [-1, 1] is what the model expects.
        ends = sorted((end - float(layer.offset)) / float(layer.scale) for end in (-1.0, 1.0))
        return ends[0], ends[1], "the range its preprocess layer expects"
    inputs = _card_inputs(model.name)
    if inputs:
        low, high = min(tensor.low for tensor in inputs), max(tensor.high for tensor in inputs)
        return float(low), float(high), "the range of its card's sample"
    return 0.0, 1.0, "no range known"


def _card_inputs(name: str) -> list[Any]:
    from kerazoo import catalog

    if name not in catalog.list_models():
        return []
    inputs = catalog.model_card(name).sample.inputs
    return list(inputs.values()) if isinstance(inputs, Mapping) else [inputs]


def _random_input(
    rng: np.random.Generator, model: Any, tensor: Any, shape: list[int], low: float, high: float
) -> np.ndarray:
    if str(tensor.dtype).startswith(("int", "uint")):
        # Integers before an embedding are token ids, and every embedding must know them.
        tables = [layer.input_dim for layer in model._flatten_layers() if hasattr(layer, "input_dim")]
        top = min(tables) - 1 if tables else int(max(high, 1))
        return rng.integers(max(int(low), 0), top, size=shape, endpoint=True).astype(tensor.dtype)
    if tensor.dtype == "bool":
        return rng.random(shape) < 0.5
    return rng.uniform(low, high, size=shape).astype(tensor.dtype)


def compare(runner: Runner, expected: list[np.ndarray], inputs: list[np.ndarray], criterion: Criterion) -> ExportReport:
    """Runs the file on `inputs` and measures how far it is from the model.

    Args:
        runner: The loaded file.
        expected: What the model gives, see `reference`.
        inputs: The flat list of inputs.
        criterion: How far it may be.

    Returns:
        A report without the facts about the file (`ExportReport.complete` adds them).
    """
    received = run(runner, inputs)
    if len(received) != len(expected):
        raise ValueError(f"The file has {len(received)} outputs, the model {len(expected)}.")
    expected, received = ([_number(array) for array in arrays] for arrays in (expected, received))
    pairs = list(zip(expected, received, strict=True))
    for index, (ours, theirs) in enumerate(pairs):
        if ours.shape != theirs.shape:
            raise ValueError(f"Output {index} has shape {theirs.shape} in the file and {ours.shape} in the model.")
        if not np.isfinite(theirs).all():
            raise ValueError(f"Output {index} of the file is not finite where the model's is.")
    diffs = [np.abs(ours.astype("float64") - theirs) for ours, theirs in pairs]
    scales = [max(float(np.abs(ours).max()), 1e-12) for ours in expected]
    relative = max(float(diff.max()) / scale for diff, scale in zip(diffs, scales, strict=True))
    sqnr = min(_decibels(ours, diff) for ours, diff in zip(expected, diffs, strict=True))
    notes: tuple[str, ...] = ()
    if all(float(np.ptp(ours)) < 1e-6 * scale for ours, scale in zip(expected, scales, strict=True)):
        notes = ("The model's outputs are all equal on these samples, so the comparison says little.",)
    return ExportReport(
        format="",
        path="",
        max_abs_diff=max(float(diff.max()) for diff in diffs),
        mean_abs_diff=float(np.concatenate([diff.ravel() for diff in diffs]).mean()),
        relative_diff=relative,
        sqnr_db=sqnr,
        agreement=_agreement(pairs),
        bytes=0,
        times=timed(runner, inputs),
        criterion=criterion,
        passed=criterion.passes(relative, sqnr),
        notes=notes,
    )


def run(runner: Runner, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """Returns the outputs for all samples, as many at once as the file takes."""
    step, count, parts = runner.batch or CHUNK, len(inputs[0]), []
    for start in range(0, count, step):
        piece = [array[start : start + step] for array in inputs]
        if runner.batch is not None:  # the last piece may be short
            piece = [_cycled(array, step) for array in piece]
        parts.append(runner(piece))
    return [np.concatenate(part)[:count] for part in zip(*parts, strict=True)]


def _cycled(array: np.ndarray, count: int) -> np.ndarray:
    """Returns that many samples, from the start again where there are fewer."""
    return array[np.arange(count) % len(array)]


def _decibels(expected: np.ndarray, diff: np.ndarray) -> float:
    """Returns the ratio of the signal's variance to the mean squared difference in dB, at most 200."""
    signal, noise = float(np.var(expected.astype("float64"))), float(np.mean(np.square(diff)))
    if noise == 0:
        return 200.0
    return float(np.clip(10 * np.log10(max(signal, 1e-300) / noise), -200, 200))


def _number(array: np.ndarray) -> np.ndarray:
    """Turns truth values into 0 and 1, of which there are differences."""
    return array.astype("float32") if array.dtype == bool else array


def reference(model: Any, batch: Any) -> list[np.ndarray]:
    """Returns the model's flat list of outputs on `batch`, in inference mode.

    Raises:
        ValueError: If the model cannot be called on the batch or its outputs are not finite.
    """
    import keras

    inputs = keras.tree.flatten(batch)
    parts = []
    for start in range(0, len(inputs[0]), CHUNK):
        piece = keras.tree.map_structure(lambda array: array[start : start + CHUNK], batch)  # noqa: B023
        try:
            outputs = keras.tree.flatten(model(piece, training=False))
        except Exception as error:
            shapes = ", ".join(str(array.shape) for array in inputs)
            raise ValueError(
                f"{model.name!r} cannot be called on samples of shape {shapes}: {first_reason(error)}"
            ) from error
        parts.append([np.asarray(keras.ops.convert_to_numpy(output)) for output in outputs])
    expected = [np.concatenate(part) for part in zip(*parts, strict=True)]
    if not all(np.isfinite(output).all() for output in expected):
        raise ValueError(f"The outputs of {model.name!r} on the samples are not finite; pass other samples=.")
    return expected


def _agreement(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float | None:
    votes = []
    for ours, theirs in pairs:
        if ours.ndim > 1 and ours.shape[-1] > 1:
            votes.append(ours.argmax(-1) == theirs.argmax(-1))
        elif ours.min() >= 0 and ours.max() <= 1:
            votes.append((ours > 0.5) == (theirs > 0.5))
    return float(np.concatenate([vote.ravel() for vote in votes]).mean()) if votes else None


def timed(runner: Runner, inputs: list[np.ndarray], budget: float = 0.3) -> Times:
    """Measures how long one sample and 32 take.

    Args:
        runner: The loaded file.
        inputs: The flat list of inputs, of any number of samples.
        budget: Seconds for each of both; three calls are made at least, 30 at most.
    """
    step = runner.batch or 1
    first = [_cycled(array, step) for array in inputs]
    one = _milliseconds(lambda: runner(first), budget)
    pieces = [[_cycled(array, runner.batch or 32) for array in inputs]] * (-(-32 // step) if runner.batch else 1)
    many = _milliseconds(lambda: [runner(piece) for piece in pieces], budget)
    median, p95 = np.median, lambda times: np.quantile(times, 0.95)
    return Times(float(median(one)), float(p95(one)), float(median(many)), float(p95(many)))


def _milliseconds(call: Callable[[], Any], budget: float) -> list[float]:
    """Returns the times of up to 30 calls, fewer where a call is slow; a first call warms up."""
    call()
    times: list[float] = []
    while len(times) < 3 or (len(times) < 30 and sum(times) < 1000 * budget):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return times
