"""Promise: a saved model answers the same in another process, and weights fit or are refused as a whole."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import zoo

import kerazoo

# Files of built-in layers must load without kerazoo; the others after `import kerazoo`.
_RELOAD = """
import json, pathlib, sys
import keras, numpy as np
folder = pathlib.Path(sys.argv[1])
plan = json.loads((folder / "plan.json").read_text())
differences = {}
for name, custom in sorted(plan.items(), key=lambda item: item[1]):
    if custom:
        import kerazoo
    model = keras.models.load_model(folder / f"{name}.keras")
    with np.load(folder / f"{name}.npz") as data:
        inputs = {key[3:]: data[key] for key in data if key.startswith("in_")}
        outputs = [data[key] for key in sorted(data) if key.startswith("out")]
    found = keras.tree.flatten(model(inputs[""] if list(inputs) == [""] else inputs))
    differences[name] = max(float(np.abs(np.array(a) - b).max()) for a, b in zip(found, outputs, strict=True))
    assert custom or "kerazoo" not in sys.modules
print(json.dumps(differences))
"""


@pytest.fixture(scope="session")
def reloaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Saves models with their outputs and loads all of them in one other process."""

    def compute(folder: Path) -> dict[str, float]:
        for name in zoo.distinct():
            model, (inputs, _) = zoo.built(name), zoo.batch(name)
            model.save(folder / f"{name}.keras")
            parts = inputs if isinstance(inputs, dict) else {"": inputs}
            found = {f"out{i:03d}": output for i, output in enumerate(zoo.outputs(model, inputs))}
            np.savez(folder / f"{name}.npz", **{f"in_{key}": value for key, value in parts.items()}, **found)
        plan = {name: kerazoo.model_card(name).custom_objects for name in zoo.distinct()}
        (folder / "plan.json").write_text(json.dumps(plan))
        return json.loads(zoo.run_forked(_RELOAD, str(folder)))

    return zoo.once(tmp_path_factory.getbasetemp(), "reloaded", compute)


@pytest.mark.parametrize("name", zoo.distinct())
def test_reload_in_another_process(name: str, reloaded: dict[str, float]) -> None:
    assert reloaded[name] < 1e-6


# As if it had not been imported in this process; its inner modules stay, so that importing it again costs nothing.
_FORGET_KERAS = "import sys\nfor name in [*sys.modules]:\n    name == 'keras' and sys.modules.pop(name)"


@pytest.mark.parametrize(
    ("order", "run"),
    [
        ("import kerazoo, keras", zoo.run_python),
        ("import keras, kerazoo", zoo.run_forked),
        ("import kerazoo, tensorflow", zoo.run_python),
        (
            f"{_FORGET_KERAS}\nimport kerazoo, importlib.util\n"
            "assert importlib.util.find_spec('keras') and importlib.util.find_spec('keras')",
            zoo.run_forked,
        ),
    ],
    ids=["kerazoo, keras", "keras, kerazoo", "kerazoo, tensorflow", "kerazoo, a question, keras"],
)
def test_import_order_does_not_matter(order: str, run: Callable[..., str], tmp_path: Path) -> None:
    zoo.built("lenet5").save(tmp_path / "model.keras")
    code = f"{order}\nimport sys, keras\nprint(keras.models.load_model(sys.argv[1]).name)"
    assert run(code, str(tmp_path / "model.keras")) == "lenet5"


@pytest.mark.parametrize("name", zoo.distinct())
def test_weights_round_trip(name: str, tmp_path: Path) -> None:
    """Of weights alone, and for one model of each family of the whole model, too."""
    model, weights = zoo.built(name), tmp_path / "saved.weights.h5"
    model.save_weights(weights)
    files = [weights]
    if name in zoo.one_of_each_family():
        files = [tmp_path / "saved.keras", weights]
        model.save(files[0])
    with zoo.cheap_weights():
        copy = zoo.fresh(name, weights=str(files[0]))
    for file in files:
        if file != files[0]:
            zoo.perturb(copy)
            kerazoo.load_weights(copy, file)
        assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), copy.get_weights(), strict=True)), file


def test_weights_of_a_trained_model(tmp_path: Path) -> None:
    """Optimiser and metrics in the file are no weights of the model."""
    model = zoo.fresh("cnn", dropout_rate=0.5)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    model.fit(*zoo.batch("cnn"), verbose=0)
    for path in (tmp_path / "a.keras", tmp_path / "a.weights.h5"):
        model.save(path) if path.suffix == ".keras" else model.save_weights(path)
        for rate in (0.5, 0.0):
            copy = zoo.fresh("cnn", weights=path, dropout_rate=rate)
            assert np.array_equal(copy.get_layer("predictions").kernel, model.get_layer("predictions").kernel)


@pytest.mark.parametrize(
    ("saved", "wanted", "options", "named"),
    [
        ("resnet20", "resnet20", {"num_classes": 7}, "predictions"),
        ("resnet20", "resnet20", {"input_shape": (16, 16, 1)}, "stem_conv"),
        ("resnet20", "resnet32", {}, "stage"),
        ("resnet32", "resnet20", {}, "stage"),
        ("mlp", "mlp", {"hidden_units": (16,)}, "predictions"),
        ("unet", "unet", {"depth": 3}, "decoder"),
    ],
)
def test_weights_that_do_not_fit(saved: str, wanted: str, options: dict, named: str, tmp_path: Path) -> None:
    path = tmp_path / "a.weights.h5"
    zoo.built(saved).save_weights(path)
    model = zoo.fresh(wanted, **options)
    before = model.get_weights()
    with pytest.raises(ValueError, match=rf"does not fit .*{named}"):
        kerazoo.load_weights(model, path)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_weights_with_other_names_do_not_fit(tmp_path: Path) -> None:
    inputs = keras.Input((12,), name="input")
    other = keras.Model(inputs, keras.layers.Dense(5, name="somewhere_else")(inputs))
    other.save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match="somewhere_else"):
        zoo.fresh("mlp", hidden_units=(), weights=tmp_path / "a.weights.h5")


def test_weights_file_that_is_none(tmp_path: Path) -> None:
    model = zoo.fresh("mlp")
    for name, content in (("a.weights.h5", b"no HDF5"), ("a.h5", b""), ("a.keras", b"no archive")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="no readable weights file"):
            kerazoo.load_weights(model, tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no file"):
        kerazoo.load_weights(model, tmp_path / "missing.keras")
    (tmp_path / "a.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"must be a \.weights\.h5, \.h5, \.keras or \.safetensors file"):
        kerazoo.load_weights(model, tmp_path / "a.npz")


def _archive(path: Path, **members: bytes | None) -> bytes:
    """Returns a `.keras` file with other contents of some members; `None` leaves one out."""
    copy = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            content = members.get(name.split(".")[0], old.read(name))
            if content is not None:
                new.writestr(name, content)
    return copy.getvalue()


def _damaged(path: Path) -> dict[str, bytes]:
    whole = path.read_bytes()
    turned = [bytearray(whole) for _ in range(30)]
    for place, content in zip(np.random.default_rng(0).integers(0, len(whole), 30), turned, strict=True):
        content[place] ^= 0xFF
    cases = {f"turned {i}": bytes(content) for i, content in enumerate(turned)}
    cases |= {f"first {n} tenths": whole[: len(whole) * n // 10] for n in (0, 1, 5, 9)}
    if path.suffix == ".keras":
        cases |= {
            "no config": _archive(path, config=None),
            "half a config": _archive(path, config=b"{"),
            "empty config": _archive(path, config=b"{}"),
            "strange class": _archive(path, config=b'{"class_name": "Strange", "module": "nowhere", "config": {}}'),
            "no weights": _archive(path, model=None),
            "half of the weights": _archive(path, model=zipfile.ZipFile(path).read("model.weights.h5")[:5000]),
        }
    return cases


def _refusal(load: Callable[[], Any]) -> str:
    """Returns the sentence with which a file is refused, "" where it is taken."""
    try:
        load()
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_damaged_files(suffix: str, tmp_path: Path) -> None:
    """They load, or are refused in one sentence with the model as it was."""
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"damaged{suffix}"
    saved, model = zoo.built("mlp"), zoo.fresh("mlp")
    saved.save(whole) if suffix == ".keras" else saved.save_weights(whole)
    of_weights, of_model = [], []
    for case, content in _damaged(whole).items():
        path.write_bytes(content)
        before = model.get_weights()
        of_weights.append(_refusal(lambda: kerazoo.load_weights(model, path)))
        kept = all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
        assert kept or not of_weights[-1], case
        if suffix == ".keras":
            of_model.append(_refusal(lambda: kerazoo.load_model(path)))
    refused = [message for message in (*of_weights, *of_model) if message]
    assert all(f"damaged{suffix}' " in message and "\n" not in message for message in refused)
    assert sum(map(bool, of_weights)) >= 4
    assert sum(map(bool, of_model)) >= (10 if suffix == ".keras" else 0)


def test_a_tensor_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    path, model = tmp_path / "a.weights.h5", zoo.fresh("mlp")
    zoo.built("mlp").save_weights(path)
    with h5py.File(path, "r+") as file:
        last = file["layers/dense_2/vars"]
        shape = last["0"].shape
        del last["0"]
        last.create_dataset("0", data=np.full(shape, b"no number"))
    before = model.get_weights()
    with pytest.raises(ValueError, match="no readable weights file"):
        kerazoo.load_weights(model, path)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_load_model(tmp_path: Path) -> None:
    zoo.built("perceptron").save(tmp_path / "a.keras")
    assert type(kerazoo.load_model(tmp_path / "a.keras")).__name__ == "Perceptron"
    with pytest.raises(FileNotFoundError, match=r"missing\.keras"):
        kerazoo.load_model(tmp_path / "missing.keras")
    with pytest.raises(ValueError, match=r"ends in \.keras"):
        kerazoo.load_model(__file__)
