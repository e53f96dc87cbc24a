"""What one does with a finished run: evaluate it again, predict files, export its model."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError
from applications.core.run_directory import RunDirectory
from applications.core.training import load_application, reading_progress

if TYPE_CHECKING:
    import keras

    from applications.core.report import Result
    from applications.datasets.data import Datasets


def open_finished(path: str | Path) -> RunDirectory:
    """Opens a run that has a model; raises UserError with the command that makes one otherwise."""
    run = RunDirectory.open(path)
    if not (run / "model.keras").is_file():
        raise UserError(f"'{run.path}' has no model yet: finish it with `kerazoo resume {run.path}`.")
    return run


def known_data(run: RunDirectory) -> dict[str, Any]:
    """Returns what a run knows about its data: `data.json`, and the `folder` its further files lie in."""
    return {**run.read_json("data.json"), "folder": str(run.path)}


def load_run_model(run: RunDirectory) -> keras.Model:
    """Loads `model.keras` of a run."""
    import kerazoo
    from applications.core.quiet import import_tensorflow

    import_tensorflow()
    try:
        return kerazoo.load_model(run / "model.keras")
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"'{run / 'model.keras'}' cannot be loaded: {reason}") from error


def evaluate_run(path: str | Path, data: str | None = None, show: Callable[[str], None] = print) -> tuple[Path, Result]:
    """Evaluates a run on its test split, or on every sample of other data.

    Args:
        path: The run directory.
        data: Other data of the same kind, or None.
        show: Prints one line.

    Returns:
        The folder with the report of this evaluation, and its result.

    Raises:
        UserError: The data changed since the run began, or have other classes.
    """
    from applications.core.quiet import import_tensorflow
    from applications.core.report import save_result, write_html
    from applications.core.training import about, refuse_changes, with_absolute_paths

    run = open_finished(path)
    import_tensorflow()
    application = load_application(run)
    known = known_data(run)
    if data is not None:
        application = application.for_other_data(data, known)
    datasets = application.datasets(progress=reading_progress())
    show(f"data: {datasets.description}")
    if data is None:
        try:
            refuse_changes(run, datasets, application.data)
        except UserError as error:
            raise UserError(f"{error} All of other data are evaluated with --data.") from None
    else:
        if datasets.fingerprint == known["fingerprint"]:
            show(
                "warning: the run was trained on most of these data; its test split alone is evaluated without --data."
            )
        datasets = application.as_trained(datasets, known)
    datasets = application.recalled(datasets, known)
    model = load_run_model(run)
    with warnings.catch_warnings():  # other data need not hold all classes
        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
        result = application.report(model, datasets)
    result.baseline_name, result.baseline = application.baseline(datasets) if data is None else ("", {})
    source = None if data is None else with_absolute_paths(application).data
    folder = _evaluation_folder(run, source)
    folder.mkdir(parents=True, exist_ok=True)
    tested = dataclasses.replace(datasets, split={"test": datasets.split["test"]})
    RunDirectory(folder).write_json("data.json", {**about(tested), "source": source})
    save_result(folder, result)
    RunDirectory(folder).write_json("metrics.json", {"test": result.metrics})
    write_html(folder)
    return folder, result


def _evaluation_folder(run: RunDirectory, source: str | None) -> Path:
    """Returns the folder of an evaluation: `test` for the test split, else the name of the data and a free number."""
    import re

    if source is None:
        return run / "evaluations" / "test"
    label = re.sub(r"[^\w.-]+", "-", Path(source).name).strip("-.") or "data"
    number = 1
    while True:
        folder = run / "evaluations" / (label if number == 1 else f"{label}-{number}")
        # Evaluating the same data once more replaces the old figures; data of the same name elsewhere do not.
        if (
            folder.name != "test"
            and RunDirectory(folder).read_json("data.json", {"source": source})["source"] == source
        ):
            return folder
        number += 1


def images_as_trained(datasets: Datasets, known: dict[str, Any]) -> Datasets:
    """Numbers the classes of other data as the run does, and makes all samples its test split."""
    import numpy as np

    from applications.datasets.pixels import depth_factor
    from applications.datasets.store import ImageStore

    names = tuple(known["class_names"])
    strangers = [name for name in datasets.class_names if name not in names]
    if strangers or (datasets.masks is not None and datasets.class_names != names):
        raise UserError(
            f"The data have {datasets.num_classes} classes ({', '.join(datasets.class_names)}), the run was trained "
            f"on {len(names)} ({', '.join(names)})."
        )
    if datasets.channels != known["channels"]:
        raise UserError(f"The data have {datasets.channels} channels, the run was trained on {known['channels']}.")
    images = datasets.images
    factor = depth_factor(images.dtype, datasets.value_range[1], known["value_range"][1])
    if factor != 1:
        images = ImageStore.from_arrays([image * np.float32(factor) for image in images])
    everything = np.arange(len(datasets))
    labels = datasets.labels
    if labels is not None:
        labels = np.asarray([names.index(name) for name in datasets.class_names])[labels]
    split = {"train": everything[:0], "val": everything[:0], "test": everything}
    return dataclasses.replace(
        datasets, images=images, labels=labels, class_names=names, split=split, value_range=tuple(known["value_range"])
    )


def predict_files(path: str | Path, inputs: Iterable[str], out: str | Path, on_bad_file: str = "error") -> list[Path]:
    """Predicts files with the model of a run and writes the predictions.

    Args:
        path: The run directory.
        inputs: Files and folders.
        out: Folder for the predictions; made where needed.
        on_bad_file: "error" or "skip".

    Returns:
        The files written.
    """
    run = open_finished(path)
    if Path(out).exists() and not Path(out).is_dir():
        raise UserError(f"--out: '{out}' is a file; give the folder for the predictions.")
    application = load_application(run).replace(on_bad_file=on_bad_file)
    files = application.find_inputs(inputs)
    predictions = application.predict(load_run_model(run), files, known_data(run))
    if not predictions:
        raise UserError("None of the files could be read.")
    return application.write(predictions, Path(out))
