"""Trials are trainings of the application: pruned, failing, repeated, and over folds."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

import tuning
from applications.image_classification import ImageClassification
from tests.applications.core.conftest import prepared_data  # noqa: F401  the data of this test run
from tuning.report import write_table


def search(folder: Path, space: dict[str, Any], **options: Any) -> tuple[tuning.Search, list[dict[str, Any]]]:
    """Searches with a very small network, and returns what was found beside the trials' own results."""
    base = ImageClassification(
        model="mlp",
        model_options={"hidden_units": [16]},
        batch_size=64,
        epochs=options.pop("epochs", 1),
        k_folds=options.pop("k_folds", 0),
        optimizer="sgd",
        out=str(folder),
    )
    found = tuning.search(base, space, algorithm="grid", name="s", show=lambda line: None, **options)
    return found, [json.loads(file.read_text()) for file in sorted(found.folder.glob("trial_*/result.json"))]


def test_hopeless_trials_end_early_and_diverging_ones_are_recorded(tmp_path) -> None:
    rates = tuning.Choice(1e-2, 5e-3, 8e-3, 3e-3, 6e-3, 1e-12, 3e38)
    found, results = search(tmp_path, {"learning_rate": rates}, epochs=5)
    assert [result["status"] for result in results] == ["COMPLETED"] * 6 + ["FAILED"]
    assert [result["epochs"] for result in results[:6]] == [5] * 5 + [3]
    assert results[5]["stopped_by"] == "pruned"
    assert "became infinite or NaN" in results[6]["reason"]
    assert found.best["score"] == min(result["metrics"]["val_loss"] for result in results[:6])
    assert "became infinite or NaN" in write_table(found).read_text()
    assert "became infinite or NaN" in (found.folder / "report.html").read_text()


@pytest.mark.parametrize(("options", "parts"), [({"k_folds": 3}, 3), ({"executions": 2}, 2)])
def test_a_trial_of_several_trainings_counts_with_their_mean(tmp_path, options, parts) -> None:
    found, (result,) = search(tmp_path, {"learning_rate": tuning.Choice(1e-2)}, objective="val_accuracy", **options)
    assert len(set(result["scores"])) == parts
    assert found.best["score"] == pytest.approx(statistics.fmean(result["scores"]))
    assert found.best["spread"] == pytest.approx(statistics.stdev(result["scores"]))
