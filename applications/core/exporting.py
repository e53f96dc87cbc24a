"""From a finished run, or a saved model, to a file that another runtime executes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError, nearest
from applications.core.evaluation import known_data, load_application, load_run_model, open_finished, reading_progress
from applications.core.run_directory import RunDirectory

if TYPE_CHECKING:
    from kerazoo.exporters import ExportReport


@dataclass(frozen=True)
class ExportOptions:
    """What is wanted of an export.

    Attributes:
        format: "saved_model", "litert" or "onnx".
        quantize: One of `kerazoo.exporters.QUANTIZATIONS`.
        batch: Samples the file takes at once; None for any number.
        keep_float: Layers that stay in float.
        list_errors: Whether the errors of the operations of an 8-bit file are written beside it.
        calibrate: `.npy` or `.npz` file of samples for 8 bits; None for training samples of the run.
        out: Path of the export; None for a name beside the model.
        overwrite: Replace an export that is there already.
    """

    format: str
    quantize: str = "none"
    batch: int | None = None
    keep_float: tuple[str, ...] = ()
    list_errors: bool = False
    calibrate: str | None = None
    out: str | Path | None = None
    overwrite: bool = False

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
        if self.calibrate is not None and not Path(self.calibrate).expanduser().is_file():
            raise UserError(f"--calibrate: there is no file {self.calibrate!r}.")

    def target(self, folder: Path, stem: str) -> Path:
        """Returns where the export goes."""
        from kerazoo.exporters import SUFFIXES

        if self.out is not None:
            return Path(self.out).expanduser()
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


def export_run(path: str | Path, options: ExportOptions) -> tuple[Path, ExportReport]:
    """Exports the model of a run with its labels; compares on samples of the run."""
    from applications.core.quiet import import_tensorflow

    run = open_finished(path)
    import_tensorflow()
    application = load_application(run)
    datasets = application.recalled(application.datasets(progress=reading_progress()), known_data(run))
    serving = application.serving(datasets)
    target = options.target(run / "exports", "model")
    report = _export(application.exported(load_run_model(run)), target, options, serving.samples, serving.samples)
    files = {"labels.txt": "".join(f"{label}\n" for label in serving.labels)} if serving.labels else {}
    _write_beside(target, files | serving.files, {**dataclasses.asdict(report), "signature": serving.signature})
    return target, report


def _export_file(source: Path, options: ExportOptions) -> tuple[Path, ExportReport]:
    import kerazoo
    from applications.core.quiet import import_tensorflow

    import_tensorflow()
    try:
        model = kerazoo.load_model(source)
    except (ValueError, FileNotFoundError) as error:
        raise UserError(str(error)) from error
    target = options.target(source.parent, source.stem)
    report = _export(model, target, options, None, None)
    _write_beside(target, {}, dataclasses.asdict(report))
    return target, report


def _export(model: Any, target: Path, options: ExportOptions, samples: Any, training: Any) -> ExportReport:
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
            batch=options.batch,
            samples=samples,
            overwrite=options.overwrite,
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
