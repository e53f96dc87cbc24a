"""Does an exported file do its task as well as the model? Its metric on the test split, its speed, its memory."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from applications.core.application import Application
    from kerazoo.exporters import ExportReport

# How far the task's metric may change: points of a share, else a part of its value.
TOLERANCES = {"none": 0.002, "float16": 0.01, "dynamic": 0.02, "int8": 0.02, "int8-float-io": 0.02}


class Examination:
    """The test of a file that comes from a run, for `kerazoo.export(examine=...)`.

    Args:
        application: The task of the run.
        datasets: Its data.
        model: What is exported.
        samples: Inputs, as the file takes them, whose times are taken.
    """

    def __init__(self, application: Application, datasets: Any, model: Any, samples: Any) -> None:
        self._application, self._datasets, self._model, self._samples = application, datasets, model, samples

    @cached_property
    def before(self) -> tuple[str, dict[str, float]]:
        """The main metric's name, and the metrics of the model on the test split."""
        return self._application.scores(self._model, self._datasets)

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """Up to 32 samples by the names of the inputs."""
        import keras
        import numpy as np

        from kerazoo.exporters import preparation

        struct = keras.tree.map_structure(lambda array: np.asarray(array)[:32], self._samples)
        specs = keras.tree.flatten(preparation.input_specs(self._model, struct))
        flat = keras.tree.flatten(struct)
        return {spec.name: array.astype(spec.dtype) for spec, array in zip(specs, flat, strict=True)}

    def __call__(self, runner: Any, draft: Path, report: ExportReport) -> ExportReport:
        """Returns the report with the metric before and after, times and memory.

        Raises:
            ValueError: The metric has changed too much.
        """
        from kerazoo.exporters.file_model import FileModel
        from kerazoo.exporters.measuring import measure

        name, before = self.before
        figures: dict[str, Any] = {}
        if name:
            after = self._application.scores(FileModel(self._model, runner), self._datasets)[1]
            limit = self._limit(before[name], report.quantize)
            if not abs(after[name] - before[name]) <= limit:  # also where it is no number
                raise ValueError(
                    f"The file does not do its task as well as the model and nothing was written: {name} on the test "
                    f"split is {after[name]:.4f}, the model's {before[name]:.4f}; {limit:.2g} is the largest "
                    "difference allowed."
                )
            figures = {"metric": name, "metric_before": before[name], "metric_after": after[name]}
        measured = measure(draft, report.format, self.inputs)
        return dataclasses.replace(report, times=measured.times, peak_memory=measured.peak_memory, **figures)

    def _limit(self, before: float, quantize: str) -> float:
        if not 0 <= before <= 1:
            return TOLERANCES[quantize] * abs(before)
        # A test split of few samples cannot change by less than one of them.
        test = getattr(self._datasets, "split", {}).get("test", ())  # a text is no number of samples
        return max(TOLERANCES[quantize], 1.001 / len(test) if len(test) else 0.0)
