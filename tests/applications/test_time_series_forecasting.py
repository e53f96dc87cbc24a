"""The application `time-series-forecasting` from the command line, its leaks, its report and its exports."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from applications import forecasting_baselines
from applications.time_series_forecasting import TimeSeriesForecasting, run_windows
from tests.applications.conftest import command
from tests.applications.datasets.test_data_series import daily

QUICK = ("--no-tensorboard", "--epochs", "1", "--model", "gru", "--model-options.units", "4")
OWN = ("--targets", "sales", "--past-covariates", "heat", "--future-covariates", "promo")
SMALL = ("--context", "21", "--val-length", "20", "--test-length", "30", "--origins", "3")


def train(out: Path, *words: object) -> Path:
    answer = command("train", "time-series-forecasting", *QUICK, "--out", out, "--name", "run", *words)
    assert answer.status == 0, answer.err
    return out / "time-series-forecasting" / "run"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("series")


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    """A run on a series of one's own, with covariates of both kinds."""
    return train(folder, "--data", daily(folder / "mine.csv"), *OWN, *SMALL, "--epochs", "6", "--learning-rate", "0.03")


def test_a_run_directory_is_complete(run):
    figures = {path.stem for path in (run / "figures").glob("*.png")}
    assert figures == {"forecasts", "error_by_horizon", "series", "learning_curves"}
    metrics, page = json.loads((run / "metrics.json").read_text()), (run / "report.html").read_text()
    assert set(metrics["test"]) == {"mase", "rmse", "mae", "coverage_80"}
    assert 0 < metrics["test"]["mase"] < 1.5
    assert 0.2 <= metrics["test"]["coverage_80"] <= 1
    assert set(metrics["baseline"]) == {"mase", "rmse", "mae"}
    said = ("Holt-Winters", "with the drift of the last season", "2024-04-30", "true values at or below it")
    for words in (metrics["baseline_name"], *said):
        assert words in page


def test_the_saved_model_takes_and_gives_units(run, folder):
    """It loads with Keras alone, and what is added to a series is added to its forecasts."""
    import keras

    model = keras.models.load_model(run / "model.keras")
    data = application(folder).datasets()
    past, future = data.windows(data.split["test"])
    found = run_windows(model, past, future)
    assert found.shape == (3, 7, 1, 3)
    assert (np.diff(found, axis=-1) >= 0).all()
    assert np.abs(found[..., 1] - data.truth(data.split["test"])).mean() < 6
    past[..., 0] += 1000
    np.testing.assert_allclose(run_windows(model, past, future), found + 1000, rtol=1e-5)
    past[..., 0] -= 1000
    assert not np.allclose(run_windows(model, past, 1 - future), found, rtol=1e-4)


def application(folder: Path, name: str = "mine.csv", **options) -> TimeSeriesForecasting:
    small = {"context": 21, "val_length": 20, "test_length": 30, "origins": 3}
    return TimeSeriesForecasting(
        data=str(folder / name),
        targets=("sales",),
        past_covariates=("heat",),
        future_covariates=("promo",),
        model="gru",
        **{**small, **options},
    )


def learnt(app: TimeSeriesForecasting, data, split: str) -> list[np.ndarray]:
    """Returns inputs and targets of a whole split, as the network gets them."""
    samples = app.samples(data, split, training=split == "train")
    return [part.numpy() for part in samples.load(np.arange(samples.size), None)]


@pytest.mark.parametrize("differencing", ["seasonal", "window", "none"])
def test_training_sees_nothing_of_the_parts_behind_it(differencing, folder, tmp_path):
    """Change the future, and every number the network learns from stays what it was."""
    daily(folder / "mine.csv")
    changed = dict.fromkeys(range(100, 150), "999")
    daily(tmp_path / "later.csv", sales=changed, heat=changed, promo=changed)
    daily(tmp_path / "earlier.csv", sales={99: "999"})
    first, later, earlier = (
        learnt(app, app.datasets(), "train")
        for app in (
            application(folder, differencing=differencing),
            application(tmp_path, "later.csv", differencing=differencing),
            application(tmp_path, "earlier.csv", differencing=differencing),
        )
    )
    for one, other in zip(first, later, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(first[1], earlier[1])


def test_inputs_of_a_test_window_end_before_its_origin(folder, tmp_path):
    daily(folder / "mine.csv")
    origin = 120
    rows = dict.fromkeys(range(origin, 150), "999")
    daily(tmp_path / "later.csv", sales=rows, heat=rows)
    app, other = application(folder), application(tmp_path, "later.csv")
    one, two = (learnt(each, each.datasets(), "test") for each in (app, other))
    assert app.datasets().split["test"][0] == origin
    np.testing.assert_array_equal(one[0][0], two[0][0])
    assert not np.array_equal(one[1][0], two[1][0])
    assert not np.array_equal(one[0][1], two[0][1])


def test_simple_methods_see_nothing_of_the_future_either(folder, tmp_path):
    daily(folder / "mine.csv")
    daily(tmp_path / "later.csv", sales=dict.fromkeys(range(120, 150), "999"))
    data, other = application(folder).datasets(), application(tmp_path, "later.csv").datasets()
    first = data.split["test"][:1]
    one, two = (forecasting_baselines.forecasts(each, first) for each in (data, other))
    assert next(iter(one)) == "seasonal naive"
    assert list(one)[-1] == "Holt-Winters"
    for name, values in one.items():
        np.testing.assert_allclose(values, two[name])
    np.testing.assert_array_equal(one["seasonal naive"][0, :, 0], data.values[113:120, 0])


def test_seasonal_naive_forecasts_with_drift():
    history = np.array([0.0, 1, 2, 10, 11, 12, 14, 15, 16])
    naive = forecasting_baselines.seasonal_naive
    assert naive(history, 3, 4).tolist() == [14, 15, 16, 14]
    assert naive(history, 3, 4, "last").tolist() == [18, 19, 20, 22]
    assert naive(history, 3, 4, "mean").tolist() == [21, 22, 23, 28]


def test_evaluate_finds_the_same_figures_again_and_takes_other_series(run, tmp_path):
    assert command("evaluate", run).status == 0
    saved = json.loads((run / "metrics.json").read_text())["test"]
    again = json.loads((run / "evaluations" / "test" / "metrics.json").read_text())["test"]
    assert again == pytest.approx(saved, abs=1e-6)
    answer = command("evaluate", run, "--data", daily(tmp_path / "other.csv", rows=60))
    assert answer.status == 0, answer.err
    answer = command("evaluate", run, "--data", "sunspots")
    assert answer.status == 2
    assert len(answer.err.strip().splitlines()) == 1


def test_predict_goes_on_behind_the_end_of_a_file(run, tmp_path):
    source = daily(tmp_path / "new.csv", rows=40, ahead=7)
    answer = command("predict", run, source, "-o", tmp_path / "out")
    assert answer.status == 0, answer.err
    with (tmp_path / "out" / "new_forecast.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["time"] for row in rows][::6] == ["2024-02-10", "2024-02-16"]
    low, middle, high = ([float(row[f"sales_q{q}"]) for row in rows] for q in ("0.1", "0.5", "0.9"))
    assert all(a <= b <= c for a, b, c in zip(low, middle, high, strict=True))
    assert 30 < np.mean(middle) < 70


PREDICT = {
    "no future": ({"rows": 40, "ahead": 3}, "promo' must be known for the 7 steps behind the last target, 2024-02-10"),
    "short": ({"rows": 15, "ahead": 7}, "has 15 steps; the model looks back 21"),
    "gap": ({"rows": 40, "ahead": 7, "sales": {20: ""}}, "'sales' has no value at 2024-01-21 (line 22)"),
}


@pytest.mark.parametrize(("table", "sentence"), PREDICT.values(), ids=PREDICT)
def test_what_cannot_be_forecast_is_one_sentence(table, sentence, run, tmp_path):
    answer = command("predict", run, daily(tmp_path / "new.csv", **table), "-o", tmp_path / "out")
    assert answer.status == 2
    assert sentence in answer.err
    assert len(answer.err.strip().splitlines()) == 1


def test_predict_names_a_missing_column_and_another_step(run, tmp_path):
    source = daily(tmp_path / "new.csv", rows=40, ahead=7)
    lines = source.read_text().splitlines()
    source.write_text("\n".join([lines[0], *lines[1::2]]))
    answer = command("predict", run, source, "-o", tmp_path / "out")
    assert "has a step of 2 days, the run was trained on 1 day" in answer.err
    source.write_text("\n".join(line.rsplit(",", 1)[0] for line in lines))
    answer = command("predict", run, source, "-o", tmp_path / "out")
    assert "lacks the column 'promo'" in answer.err
    assert answer.status == 2


@pytest.mark.parametrize(("form", "file"), [("onnx", "m.onnx"), ("litert", "m.tflite")])
def test_the_export_with_the_numpy_example_gives_the_forecasts(form, file, run, tmp_path):
    answer = command("export", run, "--format", form, "-o", tmp_path / file)
    assert answer.status == 0, answer.err
    source = daily(tmp_path / "new.csv", rows=40, ahead=7)
    subprocess.run([sys.executable, tmp_path / "series_example.py", source, tmp_path / "x.npz"], check=True)
    inputs = dict(np.load(tmp_path / "x.npz"))
    if form == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(tmp_path / file)
        assert {each.name for each in session.get_inputs()} == set(inputs)
        found = session.run(None, inputs)[0]
    else:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(tmp_path / file))
        for place in interpreter.get_input_details():
            name = "past" if tuple(place["shape"][1:]) == inputs["past"].shape[1:] else "future"
            interpreter.resize_tensor_input(place["index"], inputs[name].shape)
        interpreter.allocate_tensors()
        for place in interpreter.get_input_details():
            name = "past" if tuple(place["shape"]) == inputs["past"].shape else "future"
            interpreter.set_tensor(place["index"], inputs[name])
        interpreter.invoke()
        found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert command("predict", run, source, "-o", tmp_path / "out").status == 0
    with (tmp_path / "out" / "new_forecast.csv").open(encoding="utf-8") as text:
        expected = [[float(cell) for cell in row[1:]] for row in list(csv.reader(text))[1:]]
    np.testing.assert_allclose(found.reshape(7, 3), expected, rtol=1e-4)


@pytest.mark.parametrize("model", ["lstm", "transformer_encoder", "cnn"])
def test_models_and_modes_go_through_everything(model, folder, tmp_path):
    """Two targets at once, rows as steps, no season: a run of every model."""
    daily(folder / "mine.csv")
    options = ["--model-options.units", "4"] if model == "lstm" else []
    answer = command(
        *(
            "train",
            "time-series-forecasting",
            "--data",
            folder / "mine.csv",
            "--targets",
            "sales,heat",
            "--time",
            "rows",
        ),
        *("--model", model, *options, "--horizon", "3", "--context", "12", "--test-length", "30", "--val-length", "20"),
        *("--fast-dev-run", "--no-tensorboard", "--out", tmp_path, "--quantiles", "0.5", "--origins", "2"),
    )
    assert answer.status == 0, answer.err
    run = next((tmp_path / "time-series-forecasting").iterdir())
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics["test"]) == {"mase", "rmse_sales", "mae_sales", "rmse_heat", "mae_heat"}
    assert "Holt&#39;s linear trend" in (run / "report.html").read_text()


BAD = [
    (("--model", "mlp"), "'mlp' is a vector model, time-series-forecasting needs one of: cnn, gru, lstm"),
    (("--loss", "huber"), "loss: expected auto, pinball for time-series-forecasting, received 'huber'"),
    (("--quantiles", "0.1,0.9"), "with 0.5 among them, received 0.1, 0.9"),
    (("--quantiles", "0.5,1"), "rising numbers between 0 and 1"),
    (("--k-folds", "3"), "folds would mix past and future"),
    (("--class-weights", "balanced"), "there are no classes"),
    (("--data", "co3"), "Did you mean 'co2'"),
    (("--data", "nowhere/t.csv"), "does not exist"),
    (("--targets", "co2"), "Data set 'co2' has one column"),
    (("--context", "52"), "context: expected more than the season of 52 steps"),
    (("--context", "2000"), "too few for one window of context 2000 + horizon 52 in training"),
    (("--model-options.mode", "many_to_many"), "mode follows from the data"),
]


@pytest.mark.parametrize(("words", "sentence"), BAD)
def test_bad_input_is_one_sentence_and_leaves_nothing_behind(words, sentence, tmp_path):
    answer = command("train", "time-series-forecasting", "--no-tensorboard", "--out", tmp_path / "out", *words)
    assert answer.status == 2
    assert sentence in answer.err
    assert "Traceback" not in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_covariates_known_in_advance_need_a_context_that_covers_the_horizon(folder, tmp_path):
    words = ("--data", daily(folder / "mine.csv"), *OWN, "--context", "13", "--out", tmp_path / "out")
    answer = command("train", "time-series-forecasting", *words)
    assert answer.status == 2
    assert "at least 14 steps are needed (horizon + season), received 13" in answer.err
