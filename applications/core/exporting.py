"""From a finished run, or a saved model, to a file that another runtime executes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError, nearest
from applications.core.evaluation import known_data, load_application, load_run_model, open_finished, reading_progress
from applications.core.parity import Examination
from applications.core.run_directory import RunDirectory

if TYPE_CHECKING:
    from applications.core.application import Application
    from kerazoo.exporters import ExportReport, ImageBytes, Times

SIGNATURES = ("auto", "array", "image-bytes")


@dataclass(frozen=True)
class ExportOptions:
    """What is wanted of an export.

    Attributes:
        format: "saved_model", "litert" or "onnx".
        quantize: One of `kerazoo.exporters.QUANTIZATIONS`.
        batch: Samples the file takes at once; None for any number.
        keep_float: Layers that stay in float.
        list_errors: Whether the errors of the operations of an 8-bit file are written beside it.
        tolerance: Largest accepted difference, relative to the largest output; None for that of the format.
        calibrate: `.npy` or `.npz` file of samples for 8 bits; None for training samples of the run.
        out: Path of the export; None for a name beside the model.
        overwrite: Replace an export that is there already.
        parts: Write the inference parts of the model into a folder, with an example that runs the whole.
        signature: "array"; "image-bytes", a SavedModel that takes image files, too; "auto", that where it is possible.
    """

    format: str
    quantize: str = "none"
    batch: int | None = None
    keep_float: tuple[str, ...] = ()
    list_errors: bool = False
    tolerance: float | None = None
    calibrate: str | None = None
    out: str | Path | None = None
    overwrite: bool = False
    signature: str = "auto"
    parts: bool = False

    def check(self) -> None:
        """Refuses what is unknown, without Keras.

        Raises:
            UserError: One sentence.
        """
        from kerazoo.exporters import FORMATS, QUANTIZATIONS

        if self.format not in FORMATS:
            raise UserError(
                f"Unknown format {self.format!r}; there are {', '.join(FORMATS)}.{nearest(self.format, FORMATS)}"
            )
        if self.quantize not in QUANTIZATIONS:
            raise UserError(
                f"Unknown quantisation {self.quantize!r}; there are {', '.join(QUANTIZATIONS)}."
                f"{nearest(self.quantize, QUANTIZATIONS)}"
            )
        if self.signature not in SIGNATURES:
            raise UserError(
                f"Unknown signature {self.signature!r}; there are {', '.join(SIGNATURES)}."
                f"{nearest(self.signature, SIGNATURES)}"
            )
        if self.signature == "image-bytes" and self.format != "saved_model":
            raise UserError(
                f"--signature image-bytes is for --format saved_model, received {self.format}: other runtimes "
                "decode no image files."
            )
        if self.parts and (self.quantize != "none" or self.format == "saved_model"):
            raise UserError("--parts is for --format litert or onnx, without --quantize.")
        if self.calibrate is not None and not Path(self.calibrate).expanduser().is_file():
            raise UserError(f"--calibrate: there is no file {self.calibrate!r}.")

    def target(self, folder: Path, stem: str) -> Path:
        """Returns where the export goes."""
        from kerazoo.exporters import SUFFIXES

        if self.out is not None:
            return Path(self.out).expanduser()
        if self.parts:
            return folder / (f"{stem}_{self.format}_parts" if stem != "model" else f"{self.format}_parts")
        ending = SUFFIXES[self.format]
        kind = "" if self.quantize == "none" else f"_{self.quantize.replace('-', '_')}"
        return folder / (
            f"{stem}{kind}{ending}" if ending else f"{stem}_{self.format}" if stem != "model" else self.format
        )


def export(path: str | Path, options: ExportOptions) -> tuple[Path, ExportReport]:
    """Exports the model of a run, or a `.keras` file, and compares the file with the model.

    Args:
        path: The run directory, or a file of any Keras model.
        options: What is wanted.

    Returns:
        The path and the report of the comparison.
    """
    options.check()
    source = Path(path).expanduser()
    if source.suffix == ".keras":
        return _export_file(source, options)
    return export_run(path, options)


def export_parts(path: str | Path, options: ExportOptions) -> tuple[Path, dict[str, ExportReport]]:
    """Exports the inference parts of the model of a run, or of a `.keras` file, into one folder.

    Args:
        path: The run directory, or a file of any Keras model.
        options: What is wanted.

    Returns:
        The folder, and the report of each part.
    """
    from kerazoo.exporters.parts import export_parts as write_parts

    options.check()
    source = Path(path).expanduser()
    if source.suffix == ".keras":
        model, files, more = _loaded(source), {}, {}
        target = options.target(source.parent, source.stem)
    else:
        work = RunExport.of(path)
        model, files, more = work.whole, work.serving.files, work.parts_options
        target = options.target(work.run / "exports", "model")
    try:
        reports = write_parts(model, target, options.format, overwrite=options.overwrite, **more)
    except (ValueError, ImportError, FileExistsError) as error:
        raise UserError(str(error)) from error
    for name, text in files.items():
        RunDirectory(target).write_text(name, text)
    RunDirectory(target).write_json("report.json", {key: dataclasses.asdict(one) for key, one in reports.items()})
    return target, reports


def export_run(path: str | Path, options: ExportOptions) -> tuple[Path, ExportReport]:
    """Exports the model of a run with its labels; compares on samples of the run, and its metric on the test split."""
    options.check()
    work = RunExport.of(path)
    target = options.target(work.run / "exports", "model")
    report = work.export(target, options)
    serving = work.serving
    files = {"labels.txt": "".join(f"{label}\n" for label in serving.labels)} if serving.labels else {}
    _write_beside(target, files | serving.files, {**dataclasses.asdict(report), "signature": serving.signature})
    return target, report


class RunExport:
    """A finished run, read once, to be exported in one format or in several.

    Attributes:
        run: The run directory.
        whole: The model as it was trained, whose parts can be exported.
        model: What of it is exported.
        serving: What it needs beside its weights.
        image: How a SavedModel takes image files, or None.
        parts_options: Further arguments of `kerazoo.export_parts`.
        examination: The test of each file.
    """

    def __init__(self, run: RunDirectory, application: Application, datasets: Any, model: Any) -> None:
        self.run, self.whole, self.model = run, model, application.exported(model)
        self.serving = application.serving(datasets)
        self.image = application.image_bytes(self.model, datasets)
        self.parts_options = application.parts_options(datasets)
        self.examination = Examination(application, datasets, self.model, self.serving.samples)

    @classmethod
    def of(cls, path: str | Path) -> RunExport:
        """Reads a run, its data and its model."""
        from applications.core.quiet import import_tensorflow

        run = open_finished(path)
        import_tensorflow()
        application = load_application(run)
        datasets = application.recalled(application.datasets(progress=reading_progress()), known_data(run))
        return cls(run, application, datasets, load_run_model(run))

    def export(self, target: Path, options: ExportOptions) -> ExportReport:
        """Writes and tests one file."""
        image = self._image(options)
        metadata = {"labels": list(self.serving.labels), "signature": self.serving.signature}
        samples = self.serving.samples
        more = {"samples": samples, "image": image, "metadata": metadata, "examine": self.examination}
        return _export(self.model, target, options, samples, **more)

    def _image(self, options: ExportOptions) -> Any:
        if options.signature == "image-bytes" and self.image is None:
            raise UserError("--signature image-bytes is for tasks on images of 8 or 16 bits; use --signature array.")
        wanted = options.signature == "image-bytes" or (options.signature, options.format) == ("auto", "saved_model")
        return self.image if wanted else None

    def model_times(self) -> Times:
        """Returns how long the compiled model itself takes."""
        from kerazoo.exporters.file_model import ModelRunner
        from kerazoo.exporters.parity import timed

        return timed(ModelRunner(self.model), list(self.examination.inputs.values()))


def _loaded(source: Path) -> Any:
    import kerazoo
    from applications.core.quiet import import_tensorflow

    import_tensorflow()
    try:
        return kerazoo.load_model(source)
    except (ValueError, FileNotFoundError) as error:
        raise UserError(str(error)) from error


def _export_file(source: Path, options: ExportOptions) -> tuple[Path, ExportReport]:
    model = _loaded(source)
    target = options.target(source.parent, source.stem)
    report = _export(
        model, target, options, None, image=_image_of(model) if options.signature == "image-bytes" else None
    )
    _write_beside(target, {}, dataclasses.asdict(report))
    return target, report


def _image_of(model: Any) -> ImageBytes:
    """Returns what is known of the images a model takes: 8 bits, and what its outputs look like."""
    from kerazoo.exporters import ImageBytes

    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4:
        raise UserError(f"--signature image-bytes needs a model of images, {model.name!r} takes {shape}.")
    return ImageBytes(shape[-1], 255.0, "mask" if len(model.outputs[0].shape) == 4 else "class")


def _export(model: Any, target: Path, options: ExportOptions, training: Any, **more: Any) -> ExportReport:
    import kerazoo

    integers = options.quantize.startswith("int8")
    given = training if options.calibrate is None else _read_samples(Path(options.calibrate).expanduser())
    if integers and given is None:
        raise UserError(
            f"--quantize {options.quantize} needs samples to measure the ranges of all values on: "
            "--calibrate FILE.npy, or FILE.npz with one array per input."
        )
    try:
        return kerazoo.export(
            model,
            target,
            options.format,
            quantize=options.quantize,
            calibration=given if integers else None,
            keep_float=options.keep_float,
            list_errors=options.list_errors,
            tolerance=options.tolerance,
            batch=options.batch,
            overwrite=options.overwrite,
            **more,
        )
    except (ValueError, ImportError, FileExistsError) as error:
        raise UserError(str(error)) from error


def _read_samples(path: Path) -> Any:
    """Reads an array, or one per input; nothing is unpickled."""
    import numpy as np

    try:
        found = np.load(path, allow_pickle=False)
        return found if isinstance(found, np.ndarray) else dict(found)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"--calibrate: '{path}' is no readable .npy or .npz file of numbers.") from error


def _write_beside(target: Path, files: dict[str, str], report: dict[str, Any]) -> None:
    beside = RunDirectory(target.parent)
    for name, text in files.items():
        beside.write_text(name, text)
    beside.write_json(f"{target.name}.json", report)
