"""One function from a Keras model to a file that another runtime executes, checked before it gets its name.

Keras' own exporters do the conversion. What is added here: the file is written beside its final place, loaded
in the runtime it is meant for, run on samples, compared with the model, and only then renamed. Several
converters finish without an error on files that no runtime loads; such a file never appears under the name
asked for.
"""

import difflib
import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from kerazoo.exporters.files import SUFFIXES, checked_target, move, workspace
from kerazoo.exporters.messages import first_reason, quiet
from kerazoo.exporters.metadata import read_metadata
from kerazoo.exporters.parity import ExportReport, Runner, Times
from kerazoo.exporters.plan import ImageBytes, Plan
from kerazoo.exporters.quantization import CRITERIA, QUANTIZATIONS, Criterion

__all__ = [
    "FORMATS",
    "QUANTIZATIONS",
    "SUFFIXES",
    "Criterion",
    "ExportReport",
    "ImageBytes",
    "Times",
    "check_export",
    "export",
    "read_metadata",
    "suffix",
]

FORMATS = ("saved_model", "litert", "onnx")


def export(
    model: Any,
    path: str | os.PathLike[str],
    format: str = "saved_model",
    *,
    quantize: str = "none",
    calibration: Any = None,
    keep_float: Sequence[str] = (),
    list_errors: bool = False,
    batch: int | None = None,
    samples: Any = None,
    tolerance: float | None = None,
    input_range: tuple[float, float] | None = None,
    image: ImageBytes | None = None,
    metadata: Mapping[str, Any] | None = None,
    examine: Callable[[Runner, Path, ExportReport], ExportReport] | None = None,
    overwrite: bool = False,
) -> ExportReport:
    """Writes `model` for another runtime and proves that the file computes what the model computes.

    Mixed-precision models are exported as a float32 clone. The batch size stays free, and so do a height and
    width of `None`; only LiteRT files of recurrent networks have a fixed batch, of one sample unless `batch` says more.

    Args:
        model: A built `keras.Model` (functional, sequential, or subclassed together with `samples`).
        path: Where to write: a folder for `"saved_model"`, a name ending in `.tflite` for `"litert"` and in
            `.onnx` for `"onnx"`. Missing parent folders are made.
        format: `"saved_model"`, `"litert"` or `"onnx"`.
        quantize: For LiteRT: `"none"`; `"float16"` halves the file, `"dynamic"` keeps 8-bit weights and computes in
            float, `"int8"` computes in 8 bits throughout, inputs and outputs included, `"int8-float-io"` with those in
            float.
        calibration: At least 64 real samples with the structure of the model's inputs, on which the ranges of all
            values are measured; for `"int8"` and `"int8-float-io"`. Take them from the training data.
        keep_float: Names of layers to leave in float in an 8-bit file.
        list_errors: Whether the report of an 8-bit file lists the error of each operation, which takes as long again.
        batch: Fixed number of samples the file takes at once; `None` leaves it free.
        samples: A batch of inputs with the structure of the model's inputs, as arrays of shape
            `(num_samples, ...)`, on which model and file are compared. Defaults to those of `calibration`, else to 4
            random samples, and the report says so.
        tolerance: Largest accepted difference, relative to the largest absolute output. Defaults to 1e-4, and to 1e-2
            for `"float16"`; with 8 bits to none, where a signal of 20 dB above the noise is asked for instead.
        input_range: Smallest and largest value of random samples. Defaults to the range that the model's
            `preprocess` layer or its card names, else to `(0, 1)`. Ignored where `samples` are given.
        image: Adds to a SavedModel the signature `serve_bytes`, which takes the bytes of image files.
        metadata: Plain data to be written into the file, such as `{"labels": ["cat", "dog"]}`, for `read_metadata`.
        examine: A further test of the finished file: called with the loaded file, the place where it lies so far, and
            the report, it returns the report to go on with; whatever it raises, nothing is written.
        overwrite: Whether an existing export may be replaced, which happens only after the new one has
            passed. A folder that is neither empty nor a SavedModel is never replaced. Defaults to `False`.

    Returns:
        An `ExportReport` with the differences, the agreement of the predicted classes, size and latency.

    Raises:
        ValueError: If the format is unknown, the path is taken or cannot be used, the arguments do not go together, the
            backend is not TensorFlow, the converter fails, or the file does not load or does not agree with the model.
            Nothing is left behind.
        OSError: If the folder cannot be written in.
        ImportError: If an optional package is missing.

    Example:
        ```python
        model = kerazoo.lenet5()
        report = kerazoo.export(model, "lenet5.tflite", format="litert")
        print(report.max_abs_diff, report.times.one)
        small = kerazoo.export(model, "lenet5_int8.tflite", "litert", quantize="int8", calibration=x_train[:200])
        ```
    """
    import keras

    from kerazoo.exporters import parity, preparation, quantization, serving
    from kerazoo.exporters.metadata import about

    module = _format_module(format)
    quantization.check(quantize, format, calibration, keep_float, list_errors)
    target = checked_target(path, format, overwrite)
    criterion = _criterion(tolerance, quantize)
    preparation.require_tensorflow()
    float_model, notes = preparation.float32_clone(model)
    serving.check(image, float_model, format)
    facts = about(float_model, metadata, format, quantize)
    if calibration is not None:
        calibration, _ = parity.sample_batch(float_model, calibration, what="calibration")
        quantization.check_calibration(keras.tree.flatten(calibration))
        samples = calibration if samples is None else samples
    inputs, origin = parity.sample_batch(model, samples, input_range)
    expected = parity.reference(float_model, inputs)
    notes += preparation.clone_notes(model, float_model, inputs, expected)
    specs = preparation.input_specs(float_model, inputs)
    names = preparation.input_names(specs)
    plain_model, naming = preparation.plainly_named(float_model, names)
    notes += naming
    if batch is not None:
        specs = preparation.with_batch(specs, _checked_batch(batch))
    plan = Plan(quantize, batch, calibration, tuple(keep_float), list_errors, image, facts)
    with workspace(target) as folder:
        draft = folder / target.name
        with _one_sentence(format, model), quiet():
            converted = module.convert(plain_model, specs, draft, plan)
            runner = module.load(draft, names)
            report = parity.compare(runner, expected, keras.tree.flatten(inputs), criterion)
        more = {"quantize": quantize, "errors": converted.errors}
        report = report.complete(format, target, draft, origin, notes + converted.notes, **more)
        if not report.passed:
            raise ValueError(_mismatch(report, model))
        if examine is not None:
            report = examine(runner, draft, report)
        move(draft, target)
    return report


def check_export(
    model: Any,
    path: str | os.PathLike[str],
    format: str = "saved_model",
    *,
    samples: Any = None,
    tolerance: float | None = None,
    input_range: tuple[float, float] | None = None,
) -> ExportReport:
    """Compares a file that was exported earlier with `model`, in the file's own runtime.

    Args:
        model: The `keras.Model` the file was made from.
        path: The exported file or folder.
        format: `"saved_model"`, `"litert"` or `"onnx"`.
        samples: As in `export`.
        tolerance: As in `export`.
        input_range: As in `export`.

    Returns:
        An `ExportReport`; `passed` says whether the difference is within the tolerance.

    Raises:
        ValueError: If the format is unknown or the file does not load.
        FileNotFoundError: If there is no such file.
        ImportError: If an optional package is missing.

    Example:
        ```python
        assert check_export(model, "lenet5.tflite", "litert").passed
        ```
    """
    import keras

    from kerazoo.exporters import parity, preparation

    module = _format_module(format)
    source = Path(os.path.expanduser(path))
    if not source.exists():
        raise FileNotFoundError(f"There is no exported file at {str(source)!r}.")
    preparation.require_tensorflow()
    float_model, notes = preparation.float32_clone(model)
    batch, origin = parity.sample_batch(model, samples, input_range)
    expected = parity.reference(float_model, batch)
    names = preparation.input_names(preparation.input_specs(float_model, batch))
    with _one_sentence(format, model, "reading"), quiet():
        runner = module.load(source, names)
        report = parity.compare(runner, expected, keras.tree.flatten(batch), _criterion(tolerance, "none"))
    return report.complete(format, source, source, origin, notes)


def suffix(format: str) -> str:
    """Returns how names of a format end: `""` for `"saved_model"` (a folder), `".tflite"`, `".onnx"`.

    Raises:
        ValueError: If the format is unknown; names the nearest.

    Example:
        ```python
        path = "digits" + kerazoo.exporters.suffix("litert")
        ```
    """
    _check_format(format)
    return SUFFIXES[format]


def _check_format(format: str) -> None:
    if format not in FORMATS:
        close = difflib.get_close_matches(str(format).lower(), [*FORMATS, "tflite", "tf_saved_model"], n=1, cutoff=0.4)
        known = {"tflite": "litert", "tf_saved_model": "saved_model"}
        hint = f" Did you mean {known.get(close[0], close[0])!r}?" if close else ""
        raise ValueError(f"Unknown export format {format!r}; the formats are {', '.join(FORMATS)}.{hint}")


def _format_module(format: str) -> ModuleType:
    _check_format(format)
    module = importlib.import_module(f"kerazoo.exporters.{format}")
    missing = [name for name in module.PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"The {format} export needs {' and '.join(missing)}, not installed here: "
            "pip install 'kerazoo[export]' brings it."
        )
    return module


def _criterion(tolerance: float | None, quantize: str) -> Criterion:
    if tolerance is None:
        return CRITERIA[quantize]
    if not tolerance > 0:
        raise ValueError(f"tolerance must be a positive number, received {tolerance!r}.")
    return Criterion(relative=float(tolerance))


def _checked_batch(batch: Any) -> int:
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise ValueError(f"batch must be None or a whole number of at least 1, received {batch!r}.")
    return batch


@contextmanager
def _one_sentence(format: str, model: Any, action: str = "export") -> Iterator[None]:
    """Turns whatever a converter or a runtime throws into one sentence."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk, not the file's content
            raise
        reason = first_reason(error)
        outcome = " and nothing was written" if action == "export" else ""
        raise ValueError(f"The {format} {action} of {model.name!r} failed{outcome}: {reason}") from error


def _mismatch(report: ExportReport, model: Any) -> str:
    kind = "" if report.quantize == "none" else f" {report.quantize}"
    start = (
        f"The{kind} {report.format} export of {model.name!r} disagrees with the model and nothing was written: on "
        f"{report.samples} "
    )
    if report.criterion.sqnr is not None:
        return (
            f"{start}the signal is {report.sqnr_db:.1f} dB above the noise, at least {report.criterion.sqnr:g} dB are "
            "asked for; keep_float spares the layers that list_errors shows to be the worst."
        )
    return (
        f"{start}the largest difference is {report.relative_diff:.3g} of the largest output, the tolerance is "
        f"{report.criterion.relative:.3g}, and a larger `tolerance` would accept it."
    )
