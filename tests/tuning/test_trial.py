"""Trials are trainings of the application: pruned, failing, repeated, and over folds."""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path
from typing import Any

import pytest

import tuning
from applications.core.errors import UserError
from applications.image_classification import ImageClassification
from tuning.job import HOPELESS
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


def test_a_search_ends_where_the_first_trials_all_fail(tmp_path) -> None:
    rates = tuning.Choice(*(k * 1e38 for k in (1.0, 1.5, 2.0, 2.5, 3.0, 3.3)))
    with pytest.raises(UserError, match=f"The first {HOPELESS} trials all failed, the last one because .* NaN"):
        search(tmp_path, {"learning_rate": rates})
    folder = tmp_path / "tuning" / "s"
    with (folder / "trials.csv").open(newline="", encoding="utf-8") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["FAILED"] * HOPELESS
    assert "became infinite or NaN" in (folder / "report.html").read_text()
    assert not (folder / "best.yaml").exists()


@pytest.mark.parametrize(("options", "parts"), [({"k_folds": 3}, 3), ({"executions": 2}, 2)])
def test_a_trial_of_several_trainings_counts_with_their_mean(tmp_path, options, parts) -> None:
    found, (result,) = search(tmp_path, {"learning_rate": tuning.Choice(1e-2)}, objective="val_accuracy", **options)
    assert len(set(result["scores"])) == parts
    assert found.best["score"] == pytest.approx(statistics.fmean(result["scores"]))
    assert found.best["spread"] == pytest.approx(statistics.stdev(result["scores"]))
