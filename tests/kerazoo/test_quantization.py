"""Smaller LiteRT files: what they hold, how far they may be from the model, and what is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import zoo
from keras import layers

import kerazoo
from kerazoo.exporters import CRITERIA, Criterion, ExportReport, integer_process, parity, preparation, quantization
from tests import processes

RANDOM = np.random.default_rng(0)
CALIBRATION = RANDOM.uniform(-1, 1, (64, 16, 16, 3)).astype("float32")


def export(folder: Path, model: keras.Model, quantize: str, **options: Any) -> ExportReport:
    return kerazoo.export(model, folder / f"{model.name}_{quantize}.tflite", "litert", quantize=quantize, **options)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ExportReport]:
    """One network in all forms, those in integers made by new interpreters."""
    folder, model = tmp_path_factory.mktemp("quantized"), kerazoo.cnn((16, 16, 3), 5, filters=(32, 64))
    zoo.perturb(model)
    zoo.settle(model, CALIBRATION)
    integers, others = {"calibration": CALIBRATION, "list_errors": True}, {"samples": CALIBRATION}
    options = {kind: integers if quantization.is_integer(kind) else others for kind in quantization.QUANTIZATIONS}
    with processes.new_interpreters():
        return {kind: export(folder, model, kind, **given) for kind, given in options.items()}


def test_every_form_is_close_enough(reports: dict[str, ExportReport]) -> None:
    assert all(report.passed and report.quantize == kind for kind, report in reports.items())
    assert reports["none"].relative_diff < 1e-4
    assert 1e-5 < reports["float16"].relative_diff < 1e-2
    for kind in ("dynamic", "int8", "int8-float-io"):
        assert 20 < reports[kind].sqnr_db < 60, kind


def test_the_files_are_smaller(reports: dict[str, ExportReport]) -> None:
    whole = reports["none"].bytes
    assert reports["float16"].bytes < 0.6 * whole
    assert all(reports[kind].bytes < 0.4 * whole for kind in ("dynamic", "int8", "int8-float-io"))


@pytest.mark.parametrize(("kind", "dtype"), [("int8", np.int8), ("int8-float-io", np.float32), ("dynamic", np.float32)])
def test_what_goes_in_and_out(kind: str, dtype: type, reports: dict[str, ExportReport]) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(reports[kind].path)
    ends = [*interpreter.get_input_details(), *interpreter.get_output_details()]
    assert {detail["dtype"] for detail in ends} == {dtype}


def test_latencies_and_errors(reports: dict[str, ExportReport]) -> None:
    for report in reports.values():
        assert 0 < report.times.one <= report.times.one_p95
        assert report.times.one < report.times.many <= report.times.many_p95
    errors = [row["error"] for row in reports["int8"].errors]
    assert len(errors) > 4
    assert errors == sorted(errors, reverse=True)
    assert any("predictions" in row["layers"] for row in reports["int8"].errors)
    assert not reports["float16"].errors


def test_a_layer_kept_in_float_has_no_error(tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 2), name="image")
    x = layers.Conv2D(4, 3, activation="relu", name="early")(inputs)
    outputs = layers.Conv2D(3, 3, name="late")(x)
    model, samples = keras.Model(inputs, outputs, name="two"), RANDOM.uniform(-1, 1, (64, 8, 8, 2)).astype("float32")
    options = {"calibration": samples, "keep_float": ["late"]}
    spared, plain = (export(tmp_path / word, model, "int8-float-io", **given) for word, given in
                     (("spared", options), ("plain", {"calibration": samples})))  # fmt: skip
    assert spared.bytes > plain.bytes
    assert spared.sqnr_db > plain.sqnr_db
    with pytest.raises(ValueError, match="keep_float: 'middle' is no layer"):
        export(tmp_path, model, "int8", calibration=samples, keep_float=["early", "middle"])


SEQUENCES: dict[str, dict[str, Any]] = {
    **{name: {"bidirectional": True, "num_layers": 2, "units": 6} for name in ("simple_rnn", "lstm", "gru")},
    **{name: {} for name in ("seq2seq", "bert_tiny", "gpt2_tiny")},
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_sequences_in_integers_without_flex(name: str, tmp_path: Path) -> None:
    """Loops are written out for the length of calibration; as such they would bring the converter down."""
    model = zoo.fresh(name, **SEQUENCES[name])
    zoo.perturb(model)
    samples = zoo.batch(name, count=64)[0]
    zoo.speak_up(model, samples)
    report = export(tmp_path, model, "int8", calibration=samples)
    assert report.sqnr_db > 20
    assert any("loops are written out" in note for note in report.notes) == name.endswith("seq2seq"), "an open length"


@pytest.mark.parametrize(("name", "part"), [("acgan", "generator"), ("clip_tiny", "text_encoder")])
def test_parts_in_integers(name: str, part: str, tmp_path: Path) -> None:
    """Class vectors beside latent numbers of another range, and scores beside a mask, keep their steps."""
    whole = zoo.fresh(name)
    zoo.perturb(whole)
    zoo.calm(whole)
    model = next(found for found in zoo.functional_parts(whole) if found.name == part)
    tokens = zoo.batch(name, count=64)[0]["token_ids"] if part == "text_encoder" else None
    label, latent = RANDOM.integers(0, 3, 64).astype("int32"), RANDOM.normal(size=(64, 6)).astype("float32")
    calibration = {"label": label, "latent": latent} if tokens is None else tokens
    assert export(tmp_path, model, "int8", calibration=calibration).sqnr_db > 20


def test_two_inputs(tmp_path: Path) -> None:
    zeta, alpha = (keras.Input((4,), name=name) for name in ("zeta", "alpha"))
    both = layers.Concatenate(name="both")([zeta, layers.Rescaling(3.0, name="scaled")(alpha)])
    model = keras.Model({"zeta": zeta, "alpha": alpha}, layers.Dense(3, name="scores")(both), name="two_inputs")
    samples = {name: RANDOM.uniform(0, size, (64, 4)).astype("float32") for name, size in (("zeta", 1), ("alpha", 9))}
    assert export(tmp_path, model, "int8", calibration=samples, list_errors=True).sqnr_db > 20
    with pytest.raises(ValueError, match="takes 2 inputs, calibration hold 1 arrays"):
        export(tmp_path, model, "int8-float-io", calibration=samples["zeta"])


@pytest.mark.parametrize(("format", "name"), [("litert", "a.tflite"), ("onnx", "a.onnx"), ("saved_model", "a")])
def test_a_fixed_batch(format: str, name: str, tmp_path: Path) -> None:
    samples = zoo.batch("mlp", count=6)[0]
    report = kerazoo.export(zoo.built("mlp"), tmp_path / name, format, batch=4, samples=samples)
    assert report.passed
    if format == "litert":
        from ai_edge_litert.interpreter import Interpreter

        assert list(Interpreter(report.path).get_input_details()[0]["shape_signature"]) == [4, 12]
        assert report.times.many > report.times.one, "eight calls"


def _mlp(path: Path, **options: Any) -> Any:
    return kerazoo.export(zoo.built("mlp"), path / "a.tflite", **{"format": "litert", **options})


BAD: list[tuple[dict[str, Any], str]] = [
    ({"quantize": "int4"}, "quantize must be one of none, float16"),
    ({"quantize": "int8", "format": "onnx"}, "quantize='int8' is for LiteRT files"),
    ({"quantize": "int8"}, "needs calibration=, at least 64 real samples"),
    ({"calibration": np.zeros((64, 12))}, "calibration is for quantize='int8'"),
    ({"keep_float": ["predictions"]}, "keep_float is for quantize='int8'"),
    ({"quantize": "dynamic", "list_errors": True}, "list_errors is for quantize='int8'"),
    ({"quantize": "int8", "calibration": np.zeros((64, 12)), "keep_float": "predictions"}, "must be a list of names"),
    ({"quantize": "int8", "calibration": np.zeros((9, 12))}, "at least 64 samples, received 9"),
    ({"quantize": "int8", "calibration": np.zeros((64, 13))}, r"calibration have \(64, 13\)"),
    ({"batch": 0}, "batch must be None or a whole number of at least 1"),
    ({"batch": True}, "batch must be None"),
]


@pytest.mark.parametrize(("options", "sentence"), BAD, ids=[row[1][:30] for row in BAD])
def test_what_makes_no_sense_is_refused(options: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        _mlp(tmp_path, **options)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_too_far_off_is_not_written(tmp_path: Path) -> None:
    """One value a thousand times as large as the others leaves these no steps of their own."""
    inputs = keras.Input((4,), name="features")
    model = keras.Model(inputs, layers.Dense(3, use_bias=False, name="scores")(inputs), name="narrow")
    samples = RANDOM.uniform(-1, 1, (64, 4)).astype("float32")
    wide = samples.copy()
    wide[0, 0] = 1000.0
    with pytest.raises(ValueError, match=r"int8 litert export .* dB above the noise, at least 20 dB.*keep_float"):
        export(tmp_path, model, "int8", calibration=wide, samples=samples)
    assert not list(tmp_path.iterdir())


def test_a_crash_of_the_converter_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crashed = subprocess.CompletedProcess([], -11, "", "")
    monkeypatch.setattr(quantization.subprocess, "run", lambda *_, **__: crashed)
    with pytest.raises(ValueError, match=r"crashed \(signal 11\)"):
        _mlp(tmp_path, quantize="int8", calibration=np.zeros((64, 12)))
    assert not list(tmp_path.iterdir())


def test_a_loop_that_cannot_be_unrolled_is_refused() -> None:
    fixed = keras.Input((4, 3))
    model = keras.Model(fixed, layers.ConvLSTM1D(2, 1, name="loop")(layers.Reshape((4, 3, 1))(fixed)))
    with pytest.raises(ValueError, match="Layer 'loop' has a loop that cannot be unrolled"):
        preparation.unrolled_clone(model, fixed)


def test_decibels_by_hand() -> None:
    signal = np.array([1.0, -1.0, 1.0, -1.0])
    assert parity._decibels(signal, np.full(4, 0.1)) == pytest.approx(20.0)
    assert parity._decibels(signal, np.zeros(4)) == 200.0
    assert parity._decibels(np.ones(4), np.full(4, 0.1)) == -200.0, "no signal at all"


def test_criteria() -> None:
    assert Criterion(relative=1e-4).passes(1e-4, -5)
    assert not Criterion(relative=1e-4).passes(2e-4, 90)
    assert not Criterion(sqnr=20).passes(0.0, 19.9)
    assert set(CRITERIA) == set(quantization.QUANTIZATIONS)


def test_names_of_layers_in_the_names_of_tensors() -> None:
    tensor = "net_1/stem_out_1/Relu;net_1/stem_conv_1/convolution"
    assert {"stem_out", "stem_conv"} <= integer_process.layers_of(tensor, ["predictions"])
    assert integer_process.layers_of("StatefulPartitionedCall_1:0", ["predictions"]) == {"predictions"}
