"""An export of a run keeps the task's metric, or is not written; and one command compares all formats."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import kerazoo
from applications.core import parity
from applications.core.benchmarking import FORMATS, chosen
from applications.core.errors import UserError
from applications.core.parity import Examination


class Task:
    """A task whose metric is the share of samples the model puts into class 1."""

    def __init__(self) -> None:
        self.calls = 0

    def scores(self, model: Any, datasets: Any) -> tuple[str, dict[str, float]]:
        self.calls += 1
        outputs = np.asarray(model(datasets.rows, training=False))
        return "share", {"share": float((outputs.argmax(-1) == 1).mean())}


@dataclasses.dataclass
class Data:
    rows: np.ndarray

    @property
    def split(self) -> dict[str, range]:
        return {"test": range(len(self.rows))}


def _model() -> keras.Model:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((4,), name="features")
    return keras.Model(inputs, keras.layers.Dense(3, "softmax", name="scores")(inputs), name="linear")


def _export(folder: Path, task: Any, format: str = "litert") -> Any:
    model, rows = _model(), np.random.default_rng(0).normal(size=(200, 4)).astype("float32")
    examination = Examination(task, Data(rows), model, rows)
    name = f"m{kerazoo.exporters.suffix(format)}"
    return kerazoo.export(model, folder / name, format, samples=rows[:20], examine=examination)


@pytest.mark.parametrize("format", ["litert", "onnx"])
def test_the_report_has_metric_times_and_memory(format: str, tmp_path: Path) -> None:
    task = Task()
    report = _export(tmp_path, task, format)
    assert task.calls == 2
    assert report.metric == "share"
    assert 0 < report.metric_before == report.metric_after < 1
    assert 0 < report.times.one <= report.times.one_p95
    assert 1e7 < report.peak_memory < 4e8, "Python and one runtime, without TensorFlow"
    assert [path.name for path in tmp_path.iterdir()] == [Path(report.path).name]


def test_a_metric_that_changes_leaves_no_file(tmp_path: Path) -> None:
    class Worse(Task):
        def scores(self, model: Any, datasets: Any) -> tuple[str, dict[str, float]]:
            name, found = super().scores(model, datasets)
            return name, {name: found[name] - 0.007 * (self.calls == 2)}

    with pytest.raises(
        ValueError, match=r"share on the test split is 0\.\d+, the model's .*0\.005 is the largest"
    ) as e:
        _export(tmp_path, Worse())
    assert "\n" not in str(e.value)
    assert not list(tmp_path.iterdir())


def test_how_far_a_metric_may_change() -> None:
    few, many = (Examination(None, Data(np.zeros((rows, 1))), None, None) for rows in (20, 10_000))  # type: ignore[arg-type]
    assert few._limit(0.9, "none") == pytest.approx(1 / 20, rel=0.01), "one sample of twenty"
    assert many._limit(0.9, "none") == parity.TOLERANCES["none"]
    assert many._limit(0.9, "int8") == 0.02, "points of a share"
    assert many._limit(-50.0, "int8") == 1.0, "a part of the value"


def test_formats_of_a_benchmark() -> None:
    assert chosen("all") == list(FORMATS)
    assert chosen("onnx, litert-int8") == ["onnx", "litert-int8"]
    with pytest.raises(UserError, match=r"unknown 'litert-int4'.*litert-int8"):
        chosen("litert-int4")
    with pytest.raises(UserError, match="expected all or some"):
        chosen(",")


def test_one_command_compares_the_formats_of_a_run(digits_run: Path, kerazoo: Any) -> None:
    answer = kerazoo("benchmark", digits_run, "--formats", "litert,onnx")
    assert answer.status == 0, answer.err
    lines = answer.out.splitlines()
    assert [re.split(r" +", line)[0] for line in lines[-3:]] == ["keras", "litert", "onnx"]
    found = json.loads((digits_run / "exports" / "benchmark.json").read_text())
    assert found["metric"] == "accuracy"
    rows = found["formats"]
    assert set(rows) == {"keras", "litert", "onnx"}
    assert rows["litert"]["metric"] == rows["keras"]["metric"]
    assert all(row["one"] > 0 and row["many"] > 0 for row in rows.values())
    assert not list((digits_run / "exports").glob("*.tflite")), "the files are not kept"
    assert "unknown 'coreml'" in kerazoo("benchmark", digits_run, "--formats", "coreml").err
