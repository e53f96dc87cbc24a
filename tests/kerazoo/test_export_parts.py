"""Exported files run where there is nothing but their runtime and NumPy, alone and as the parts of a whole."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import environments
import keras
import numpy as np
import pytest
import zoo

import kerazoo
from kerazoo.exporters.parts import export_parts
from kerazoo.generation import greedy
from kerazoo.recurrent import bahdanau, luong, seq2seq
from kerazoo.transformers import translation

PACKAGES = {"litert": "ai-edge-litert", "onnx": "onnxruntime"}
WHOLE = """
import importlib.util, sys
import numpy as np
for name in ("keras", "tensorflow", "kerazoo", OTHER):
    assert importlib.util.find_spec(name) is None, name
images = np.load("inputs.npy")
if sys.argv[1].endswith(".tflite"):
    import zipfile
    from ai_edge_litert.interpreter import Interpreter
    outputs = Interpreter(sys.argv[1]).get_signature_runner("serving_default")(image=images)["output_0"]
    labels = zipfile.ZipFile(sys.argv[1]).read("labels.txt").decode().split()
else:
    import onnxruntime
    session = onnxruntime.InferenceSession(sys.argv[1])
    outputs = session.run(None, {"image": images})[0]
    labels = __import__("json").loads(session.get_modelmeta().custom_metadata_map["labels"])
np.save("outputs.npy", outputs)
print(*(labels[index] for index in outputs.argmax(-1)))
"""


@pytest.fixture(scope="module")
def pythons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The interpreters of environments that have one runtime, NumPy, and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    return {word: environments.bare_environment(folder / word, name, "numpy") for word, name in PACKAGES.items()}


@pytest.mark.parametrize("format", PACKAGES)
def test_a_classifier_runs_with_its_runtime_alone(format: str, pythons: dict[str, Path], tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 1), name="image")
    outputs = keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(keras.layers.Conv2D(4, 3)(inputs)))
    model, images = keras.Model(inputs, outputs), zoo.batch("lenet5", count=6)[0][:, :8, :8, :1]
    name = f"model{kerazoo.exporters.suffix(format)}"
    kerazoo.export(model, tmp_path / name, format, metadata={"labels": ["ant", "bee", "cat"]})
    np.save(tmp_path / "inputs.npy", images)
    other = "onnxruntime" if format == "litert" else "ai_edge_litert"
    answer = environments.run_bare(pythons[format], "-c", WHOLE.replace("OTHER", repr(other)), name, cwd=tmp_path)
    wanted = np.asarray(model(images))
    np.testing.assert_allclose(np.load(tmp_path / "outputs.npy"), wanted, atol=1e-5)
    assert answer.split() == [["ant", "bee", "cat"][index] for index in wanted.argmax(-1)]


def _language_model(name: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    if name == "lstm":
        model = kerazoo.lstm((None,), 17, mode="many_to_many", vocab_size=17, units=12, num_layers=2)
    else:
        model = zoo.fresh(name, max_length=20)
    zoo.perturb(model, spread=1.0)
    return model


@pytest.mark.parametrize(("name", "format"), [*itertools.product(("gpt2_tiny", "lstm"), PACKAGES)])
def test_a_language_model_writes_from_the_file_alone(
    name: str, format: str, pythons: dict[str, Path], tmp_path: Path
) -> None:
    model, prompt = _language_model(name), [5, 3, 9]
    reports = export_parts(model, tmp_path / "parts", format, context=14 if name != "lstm" else None)
    assert list(reports) == ["step"]
    written = environments.run_bare(pythons[format], "write_tokens.py", "5 3 9", "11", cwd=tmp_path / "parts")
    assert [int(word) for word in written.split()] == _greedily(model, prompt, 11)
    if name != "lstm":
        with pytest.raises(AssertionError, match="the step keeps 14 tokens, 15 are asked for"):
            environments.run_bare(pythons[format], "write_tokens.py", "5 3 9", "13", cwd=tmp_path / "parts")


def _greedily(model: keras.Model, prompt: list[int], count: int) -> list[int]:
    written = kerazoo.generate(model, prompt, max_new_tokens=count, temperature=0).tolist()
    assert len(set(written)) > 1, "one token over and over says little"
    return written


STEPPERS: dict[str, Any] = {
    "seq2seq": seq2seq.stepper,
    "bahdanau_seq2seq": bahdanau.stepper,
    "luong_seq2seq": luong.stepper,
    "transformer_small": translation.stepper,
}


TRANSLATED = [("bahdanau_seq2seq", "litert"), ("luong_seq2seq", "onnx")]


@pytest.mark.parametrize(
    ("name", "format"), [*itertools.product(("seq2seq", "transformer_small"), PACKAGES), *TRANSLATED]
)
def test_an_encoder_and_a_decoder_write_from_the_files_alone(
    name: str, format: str, pythons: dict[str, Path], tmp_path: Path
) -> None:
    model, source = zoo.built(name), [4, 2, 6, 3]
    reports = export_parts(model, tmp_path / "parts", format, start_id=1)
    assert list(reports) == ["reader", "step"]
    written = environments.run_bare(pythons[format], "write_tokens.py", "4 2 6 3", "6", cwd=tmp_path / "parts")
    wanted = greedy(STEPPERS[name](model, start_id=1), [source], max_new_tokens=6)[0]
    assert [int(word) for word in written.split()] == wanted.tolist()


@pytest.mark.parametrize("format", PACKAGES)
def test_an_autoencoder_and_a_clip_run_from_the_files_alone(
    format: str, pythons: dict[str, Path], tmp_path: Path
) -> None:
    model, images = zoo.built("vae"), zoo.batch("vae")[0]
    images = images["input"] if isinstance(images, dict) else images
    assert list(export_parts(model, tmp_path / "vae", format)) == ["encoder", "decoder"]
    np.save(tmp_path / "vae" / "inputs.npy", images)
    environments.run_bare(pythons[format], "run_chain.py", "inputs.npy", "outputs.npy", cwd=tmp_path / "vae")
    np.testing.assert_allclose(np.load(tmp_path / "vae" / "outputs.npy"), np.asarray(model(images)), atol=1e-5)

    model, batch = zoo.built("clip_tiny"), zoo.batch("clip_tiny")[0]
    assert list(export_parts(model, tmp_path / "clip", format)) == ["image_encoder", "text_encoder"]
    for name, array in batch.items():
        np.save(tmp_path / "clip" / f"{name}.npy", array)
    answer = environments.run_bare(pythons[format], "match.py", "images.npy", "token_ids.npy", cwd=tmp_path / "clip")
    assert [int(word) for word in answer.split()] == np.asarray(model(batch)).argmax(axis=1).tolist()


DRAWN = [("ddpm_small", "litert", {}), ("unclip", "onnx", {}), ("unclip", "litert", {"text_layers": 1})]


@pytest.mark.parametrize(("name", "format", "options"), DRAWN)
def test_pictures_are_drawn_from_the_files_alone(
    name: str, format: str, options: dict[str, Any], pythons: dict[str, Path], tmp_path: Path
) -> None:
    model, folder = zoo.fresh(name, **options), tmp_path / "parts"
    zoo.perturb(model, spread=0.3)  # weights so small that each pixel ends at -1 or 1 would prove little
    reports = export_parts(model, folder, format)
    if name == "unclip":
        assert list(reports) == ["reader", "prior", "decoder"]
        texts = zoo.batch(name, count=2)[0]["token_ids"]
        np.save(folder / "token_ids.npy", texts)
        environments.run_bare(pythons[format], "draw.py", "token_ids.npy", "pictures.npy", cwd=folder)
        wanted = model.generate(texts, seed=0)
    else:
        assert list(reports) == ["denoiser"]
        environments.run_bare(pythons[format], "denoise.py", "pictures.npy", "2", "1", cwd=folder)
        wanted = model.generate(2, labels=1, seed=0)
    assert np.ptp(wanted[0] - wanted[1]) > 0.1, "noise of their own"
    assert np.mean(np.abs(wanted) < 0.99) > 0.2, "more than black and white"
    np.testing.assert_allclose(np.load(folder / "pictures.npy"), wanted, atol=1e-3)


def test_what_has_no_parts_or_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for model, folder, options, sentence in (
        ("lenet5", "a", {}, "'lenet5' has no parts of its own; kerazoo.export writes it whole"),
        ("seq2seq", "a", {}, "'seq2seq' writes behind a first token: pass start_id="),
        ("gpt2_tiny", "a", {"context": 0}, "context must be between 1 and"),
        ("gpt2_tiny", "a.onnx", {}, "Parts go into a folder, 'a.onnx' is the name of a file; 'a' would work"),
        ("gpt2_tiny", "a", {"format": "saved_model"}, "Parts are exported to litert or onnx"),
        ("gpt2_tiny", "mine", {}, "already exists"),
        ("gpt2_tiny", "mine", {"overwrite": True}, "holds no exported parts"),
    ):
        with pytest.raises(ValueError, match=sentence):
            export_parts(zoo.built(model), tmp_path / folder, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_parts_are_replaced_only_by_parts(tmp_path: Path) -> None:
    for _ in range(2):
        export_parts(_language_model("lstm"), tmp_path / "parts", "onnx", overwrite=True)
    files = sorted(path.name for path in (tmp_path / "parts").iterdir())
    assert files == ["parts.json", "runtime.py", "step.onnx", "write_tokens.py"]
    facts = json.loads((tmp_path / "parts" / "parts.json").read_text())
    assert facts["step"] == "step.onnx"
    assert len(facts["state"]) == 4, "two of each layer"
