"""An exported file loads in its own runtime and agrees with the model; a failure leaves nothing behind."""

import gc
import importlib.util
import os
import shutil
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo

import kerazoo
from kerazoo.exporters import FORMATS, check_export, export, read_metadata, suffix

L = keras.layers


def chain(inputs, *layers):
    outputs = inputs
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs, name="chain")


def dense():
    return chain(keras.Input((5,), name="features"), L.Dense(6, "relu"), L.Dense(3, "softmax"))


def sequential():
    return keras.Sequential([keras.Input((5,)), L.Dense(3)], name="sequential")


def conv_norm():
    return chain(
        keras.Input((8, 8, 1), name="image"),
        L.Conv2D(4, 3, padding="same"),
        L.BatchNormalization(),
        L.ReLU(),
        L.GlobalAveragePooling2D(),
        L.Dense(3, "softmax"),
    )


def grouped_conv():
    return chain(
        keras.Input((8, 8, 4), name="image"),
        L.Conv2D(6, 3, groups=2, activation="relu"),
        L.GlobalAveragePooling2D(),
        L.Dense(3, "softmax"),
    )


def dynamic_size():
    return chain(
        keras.Input((None, None, 3), name="image"),
        L.Conv2D(4, 3, padding="same", activation="relu"),
        L.MaxPooling2D(),
        L.Conv2DTranspose(4, 2, strides=2),
        L.Conv2D(2, 1, activation="softmax"),
    )


def mixed_precision():
    layers = [
        L.Conv2D(4, 3, dtype="mixed_float16"),
        L.BatchNormalization(dtype="mixed_float16"),
        L.Reshape((6, 24), dtype="mixed_float16"),
        L.Bidirectional(L.LSTM(3, dtype="mixed_float16"), dtype="mixed_float16"),
        L.Dense(3, "softmax", dtype="float32"),
    ]
    return chain(keras.Input((8, 8, 1)), *layers)


def several_inputs():
    # Both inputs have one shape and stand against the alphabet, so only numbers tell if they are swapped.
    zeta, alpha = keras.Input((4,), name="zeta"), keras.Input((4,), name="alpha")
    features = L.Concatenate()([zeta, L.Rescaling(3.0)(alpha)])
    return keras.Model([zeta, alpha], [L.Dense(3)(features), L.Dense(2)(features)])


def named_inputs_and_outputs():
    zeta, alpha = keras.Input((4,), name="zeta"), keras.Input((4,), name="alpha")
    features = L.Concatenate()([zeta, L.Rescaling(3.0)(alpha)])
    outputs = {"quality": L.Dense(2)(features), "beauty": L.Dense(2)(features)}
    return keras.Model({"zeta": zeta, "alpha": alpha}, outputs)


def many_outputs():
    inputs = keras.Input((3,))
    return keras.Model(inputs, [L.Dense(2)(inputs) for _ in range(12)])


def pixels():
    return chain(keras.Input((6, 6, 1), dtype="uint8"), L.Rescaling(1 / 255), L.Flatten(), L.Dense(3))


def tokens():
    return chain(
        keras.Input((7,), dtype="int32"),
        L.Embedding(11, 4),
        L.GlobalAveragePooling1D(),
        L.Dense(1, "sigmoid"),
    )


def recurrent():
    return chain(keras.Input((7, 3)), L.GRU(4, return_sequences=True), L.Bidirectional(L.LSTM(4)), L.Dense(2))


def nested_outputs():
    inputs = keras.Input((4,), name="features")
    first, second, third = (L.Dense(units)(inputs) for units in (2, 3, 2))
    return keras.Model(inputs, {"zeta": [first, second], "alpha": {"deep": third}})


def truth_values():
    inputs = keras.Input((4,))
    return keras.Model(inputs, [L.Dense(3)(inputs) > 0.0, L.Dense(2)(inputs)])


def names_that_collide():
    inputs = [keras.Input((4,), name=name) for name in ("output_0", "a-b", "a_b")]
    return keras.Model(inputs, {"a_b": L.Dense(3)(inputs[0] + 2 * inputs[1] + 3 * inputs[2]), "b": inputs[1] * 2})


def names_with_spaces():
    inputs = keras.Input((4,), name="my features")
    return keras.Model(inputs, L.Dense(3)(inputs), name="_my model (2)")


BUILDERS = [
    dense,
    sequential,
    conv_norm,
    grouped_conv,
    dynamic_size,
    mixed_precision,
    several_inputs,
    named_inputs_and_outputs,
    many_outputs,
    pixels,
    tokens,
    recurrent,
    nested_outputs,
    truth_values,
    names_that_collide,
    names_with_spaces,
]


def build(builder):
    keras.utils.set_random_seed(0)
    model = builder()
    zoo.perturb(model)  # the first weights of a batch norm or a bias would hide that they were lost
    return model


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("builder", BUILDERS, ids=lambda builder: builder.__name__)
def test_file_agrees_with_model(builder, format, tmp_path):
    model = build(builder)
    path = tmp_path / f"model{suffix(format)}"
    report = export(model, path, format)
    assert report.passed
    assert report.relative_diff <= report.criterion.relative == 1e-4
    assert report.agreement in (1.0, None)
    assert 0 <= report.mean_abs_diff <= report.max_abs_diff < 1e-3
    assert 0 < report.times.one <= report.times.one_p95
    assert report.path == str(path)
    assert report.samples.startswith("4 random samples in [0, 1]")
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    assert report.bytes == sum(file.stat().st_size for file in files) > 0
    assert os.listdir(tmp_path) == [path.name]


# One of each family of operations; `python -m benchmarks.exports` exports the whole catalogue.
EXPORTED = {
    "resnet20": FORMATS,
    "unet": ("litert",),  # transposed convolutions
    "unet3d": ("litert",),  # volumes
    "mobilenet_v3_small": ("onnx",),  # squeeze and excitation, hard swish
    "gat": FORMATS,
    "lstm": ("saved_model", "litert"),
    "gru": ("onnx",),
    "luong_seq2seq": ("litert",),
    "gpt2": ("litert", "onnx"),
    "vit_base_16": ("saved_model", "onnx"),
    "transformer_small": ("litert", "onnx"),
}


@pytest.mark.parametrize(
    ("name", "format"), [(name, format) for name, formats in EXPORTED.items() for format in formats]
)
def test_catalogue_models(name, format, tmp_path):
    inputs, _ = zoo.batch(name)
    report = kerazoo.export(zoo.built(name), tmp_path / f"{name}{suffix(format)}", format, samples=inputs)
    assert report.passed
    assert report.agreement == 1.0
    assert report.samples == f"{len(keras.tree.flatten(inputs)[0])} given samples"


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_litert_pools_volumes_by_planes_and_depths(padding, tmp_path):
    inputs = keras.Input((7, 9, 5, 3))
    model = keras.Model(inputs, L.MaxPooling3D((3, 2, 2), (2, 2, 1), padding)(inputs), name="pooled")
    assert export(model, tmp_path / "model.tflite", "litert").max_abs_diff == 0
    assert all("call" not in vars(layer) for layer in model.layers), "the model is as it was"


def test_files_know_what_they_hold(tmp_path):
    inputs = keras.Input((5,), name="features")
    scaled = L.Rescaling(0.5, -1.0, name="preprocess")(inputs)
    model = keras.Model(inputs, L.Dense(2, "softmax")(scaled), name="labelled")
    for format in FORMATS:
        path = tmp_path / f"model{suffix(format)}"
        export(model, path, format, metadata={"labels": ["Äpfel", "pears"]})
        about = read_metadata(path)
        assert about["labels"] == ["Äpfel", "pears"]
        assert about["normalisation"] == {"inside": True, "scale": 0.5, "offset": -1.0}
        assert (about["model"], about["format"], about["quantize"]) == ("labelled", format, "none")
        assert about["exported_by"] == f"kerazoo {kerazoo.__version__}"
    assert zipfile.ZipFile(tmp_path / "model.tflite").read("labels.txt").decode() == "Äpfel\npears\n"
    with pytest.raises(FileNotFoundError, match="no exported file"):
        read_metadata(tmp_path / "other.onnx")


def test_a_further_test_of_a_file_can_refuse_it(tmp_path):
    def refuse(runner, place, report):
        assert place.is_file()
        assert runner([np.zeros((2, 5), "float32")])[0].shape == (2, 3)
        raise ValueError(f"too large: {report.bytes} bytes")

    with pytest.raises(ValueError, match=r"too large: \d+ bytes"):
        export(build(dense), tmp_path / "m.onnx", "onnx", examine=refuse)
    assert os.listdir(tmp_path) == []


def by_hand(format, path, inputs):
    """Runs an exported file as its reader would, without any code of kerazoo."""
    if format == "saved_model":
        outputs = tf.saved_model.load(str(path)).signatures["serving_default"](image=tf.constant(inputs))
        return outputs["output_0"].numpy()
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(["output_0"], {"image": inputs})[0]
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(str(path)).get_signature_runner("serving_default")(image=inputs)["output_0"]


@pytest.mark.parametrize("format", FORMATS)
def test_batch_and_size_stay_free(format, tmp_path):
    model, path = build(dynamic_size), tmp_path / f"model{suffix(format)}"
    export(model, path, format)
    random = np.random.default_rng(0)
    for shape in [(1, 8, 8, 3), (3, 20, 12, 3), (2, 8, 8, 3)]:
        inputs = random.normal(size=shape).astype("float32")
        np.testing.assert_allclose(by_hand(format, path, inputs), model(inputs), atol=1e-5)


def test_recurrent_litert_file_takes_one_sample_and_says_so(tmp_path):
    report = export(build(recurrent), tmp_path / "model.tflite", "litert")
    assert any("one sample at a time" in note for note in report.notes)


def test_tf2onnx_frees_the_graphs_it_is_through_with(tmp_path, monkeypatch):
    """Each of its passes copies all weights, and cycles would keep the copies until Python looks for such."""
    from tf2onnx.graph import Graph

    alive, original = [], Graph.update_proto

    def update_proto(self, *args, **kwargs):
        alive.append(sum(isinstance(thing, Graph) for thing in gc.get_objects()))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Graph, "update_proto", update_proto)
    export(build(conv_norm), tmp_path / "model.onnx", "onnx")
    assert len(alive) > 10
    assert max(alive) <= 4
    assert gc.get_freeze_count() == 0


def test_mixed_precision_is_exported_as_float32_clone(tmp_path):
    model = build(mixed_precision)
    before = model.get_weights()
    report = export(model, tmp_path / "model.onnx", "onnx")
    assert report.notes[0] == "Exported as a float32 clone of a mixed_float16 model."
    assert float(report.notes[1].split()[-1].rstrip(".")) < 0.01  # the distance of half precision
    assert model.layers[1].compute_dtype == "float16"
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_subclassed_model_needs_samples(tmp_path):
    @keras.saving.register_keras_serializable(package="test_exporters")
    class Doubling(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.head = L.Dense(2)

        def call(self, inputs):
            return self.head(2 * inputs)

    model = Doubling(name="doubling")
    with pytest.raises(ValueError, match=r"pass samples="):
        export(model, tmp_path / "model")
    samples = np.ones((3, 4), "float32")
    model(samples)
    assert export(model, tmp_path / "model.onnx", "onnx", samples=samples).passed


def test_range_of_random_samples(tmp_path):
    scaled = chain(keras.Input((5,)), L.Rescaling(1 / 127.5, -1, name="preprocess"), L.Dense(2))
    assert export(scaled, tmp_path / "a").samples.startswith("4 random samples in [0, 255]")
    assert export(scaled, tmp_path / "b", input_range=(-2, 3)).samples.startswith("4 random samples in [-2, 3]")
    assert "card" in export(kerazoo.mlp(), tmp_path / "c").samples


def test_free_size_grows_with_the_depth_of_the_network(tmp_path):
    deep = kerazoo.unet((None, None, 1), 2, filters=2, depth=7)
    assert export(deep, tmp_path / "deep").samples.startswith("1 random sample in")
    scaled_to_nothing = chain(keras.Input((5,)), L.Rescaling(0.0, 1.0, name="preprocess"), L.Dense(2))
    assert "no range known" in export(scaled_to_nothing, tmp_path / "model").samples


def test_nothing_is_printed(tmp_path, capfd):
    for format in FORMATS:
        export(build(conv_norm), tmp_path / f"model{suffix(format)}", format)
    assert capfd.readouterr() == ("", "")


def test_constant_outputs_are_pointed_out(tmp_path):
    model = chain(keras.Input((5,)), L.Dense(3, kernel_initializer="zeros"))
    assert any("says little" in note for note in export(model, tmp_path / "model").notes)


# Failures


class Drift(L.Layer):
    """Gives another result whenever Python runs it, so that a traced graph cannot agree with it."""

    calls = 0

    def call(self, inputs):
        Drift.calls += 1
        return inputs + float(Drift.calls)


class Roll(L.Layer):
    def call(self, inputs):
        return keras.ops.roll(inputs, 1, axis=1)


class Bare(L.Layer):
    """Divides by zero."""

    def call(self, inputs):
        return inputs / (0 * inputs)


FAILURES = {
    "disagrees": ("saved_model", lambda: [Drift()], r"disagrees with the model and nothing was written"),
    "litert operation": ("litert", lambda: [Roll()], r"LiteRT has no built-in operation for Roll\."),
    "onnx operation": ("onnx", lambda: [L.Activation(tf.math.lgamma)], r"ONNX has no operation for Lgamma\."),
    "onnx random": ("onnx", lambda: [L.RandomFlip()], r"no operation for StatelessRandom"),
    "onnx constants": (
        "onnx",
        lambda: [L.Normalization(mean=[0.0, 1, 2, 3], variance=[1.0, 2, 3, 4])],
        r"as 2 further input",
    ),
    "not finite": ("saved_model", lambda: [Bare()], r"not finite; pass other samples="),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failure_leaves_nothing_behind(case, tmp_path):
    format, layers, message = FAILURES[case]
    Drift.calls = 0
    model = chain(keras.Input((6, 6, 4)), *layers())
    target = tmp_path / "new" / f"model{suffix(format)}"
    with pytest.raises(ValueError, match=message) as caught:
        export(model, target, format)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_free_size_that_litert_cannot_convert(tmp_path):
    model = chain(keras.Input((None, None, 2)), L.UpSampling2D(), L.Conv2D(2, 3))
    with pytest.raises(ValueError, match="fixed input size"):
        export(model, tmp_path / "model.tflite", "litert")


@pytest.mark.parametrize("format", FORMATS)
def test_tampered_file_fails_the_comparison(format, tmp_path):
    model, path = build(dense), tmp_path / f"model{suffix(format)}"
    export(model, path, format)
    assert check_export(model, path, format).passed
    tamper(format, path, model)
    report = check_export(model, path, format)
    assert not report.passed
    assert report.relative_diff > report.criterion.relative


def tamper(format, path, model):
    """Changes one weight inside the file."""
    kernel = model.layers[1].kernel
    old, new = kernel.numpy(), kernel.numpy()
    new[0, 0] += 0.5
    if format == "saved_model":  # has checksums, so the changed weights come from another export
        kernel.assign(new)
        export(model, path.with_name("other"))
        kernel.assign(old)
        shutil.copytree(path.with_name("other") / "variables", path / "variables", dirs_exist_ok=True)
        return
    content = path.read_bytes()
    turned = old.tobytes() not in content
    found, changed = (np.ascontiguousarray(k.T if turned else k).tobytes() for k in (old, new))
    assert content.count(found) == 1
    path.write_bytes(content.replace(found, changed))


@pytest.mark.parametrize("format", FORMATS)
def test_truncated_file_does_not_load(format, tmp_path):
    model, path = build(dense), tmp_path / f"model{suffix(format)}"
    export(model, path, format)
    file = path / "saved_model.pb" if format == "saved_model" else path
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(ValueError, match=f"The {format} reading of 'chain' failed"):
        check_export(model, path, format)


@pytest.mark.parametrize("format", FORMATS)
def test_existing_path_is_kept_unless_the_new_one_passes(format, tmp_path):
    path = tmp_path / f"model{suffix(format)}"
    first, second = build(dense), build(dense)
    second.set_weights([2 * weight for weight in second.get_weights()])
    export(first, path, format)
    with pytest.raises(ValueError, match="already exists; pass overwrite=True"):
        export(second, path, format)
    Drift.calls = 0
    with pytest.raises(ValueError, match="nothing was written"):
        export(chain(keras.Input((5,)), Drift()), path, format, overwrite=True)
    assert check_export(first, path, format).passed
    assert export(second, path, format, overwrite=True).passed
    assert check_export(second, path, format).passed
    assert not check_export(first, path, format).passed
    assert os.listdir(tmp_path) == [path.name]


def test_old_folder_comes_back_if_the_rename_fails(tmp_path, monkeypatch):
    path = tmp_path / "model"
    export(build(dense), path)
    real, calls = os.replace, []

    def replace(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="No space left"):
        export(build(dense), path, overwrite=True)
    monkeypatch.undo()
    assert check_export(build(dense), path).passed
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("m", {"format": "tflite"}, "Did you mean 'litert'"),
        ("m", {"format": "saved_modle"}, "Did you mean 'saved_model'"),
        ("m", {"format": "xyz"}, "Unknown export format 'xyz'; the formats are saved_model, litert, onnx."),
        ("m.bin", {"format": "litert"}, "ends in .tflite, received 'm.bin'; 'm.tflite' would work"),
        ("m.onnx", {}, "'m.onnx' is the name of a onnx file; pass format='onnx'"),
        ("m", {"tolerance": 0}, "tolerance must be a positive number, received 0"),
        ("m", {"input_range": (1, 0)}, "input_range must be"),
        ("m", {"samples": np.ones((2, 4))}, "takes arrays of shape (None, 5), samples have (2, 4)"),
        ("m", {"samples": np.ones((0, 5))}, "samples have (0, 5)"),
    ],
)
def test_bad_arguments(name, options, message, tmp_path):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        export(build(dense), tmp_path / name, **options)
    assert message in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_bad_samples_of_several_inputs(tmp_path):
    model = build(named_inputs_and_outputs)
    with pytest.raises(ValueError, match=r"keys \['alpha', 'zeta'\], received \['alpha', 'beta'\]"):
        export(model, tmp_path / "m", samples={"alpha": np.ones((2, 4)), "beta": np.ones((2, 4))})
    with pytest.raises(ValueError, match="takes 2 inputs, samples hold 1 arrays"):
        export(model, tmp_path / "m", samples=np.ones((2, 4)))
    with pytest.raises(ValueError, match="same number of samples"):
        export(model, tmp_path / "m", samples={"alpha": np.ones((2, 4)), "zeta": np.ones((3, 4))})


def test_no_model(tmp_path):
    with pytest.raises(TypeError, match=r"must be a keras.Model, received Dense"):
        export(L.Dense(2), tmp_path / "m")


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no exported file"):
        check_export(build(dense), tmp_path / "m.onnx", "onnx")


def test_missing_package(tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "onnx" in name else real(name))
    with pytest.raises(ImportError, match=r"tf2onnx and onnx and onnxruntime.*pip install 'kerazoo\[export\]'"):
        export(build(dense), tmp_path / "m.onnx", "onnx")


def test_other_backend(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="TensorFlow backend of Keras, this process runs on 'jax'"):
        export(build(dense), tmp_path / "m")
    assert os.listdir(tmp_path) == []


def _files(folder):
    """Returns every file below a folder with its content."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    ("format", "path", "message"),
    [
        ("saved_model", "photos", "neither a SavedModel nor an empty folder"),
        ("saved_model", "photos/cat.jpg", "neither a SavedModel nor an empty folder"),
        ("saved_model", "link", "neither a SavedModel nor an empty folder"),
        ("litert", "folder.tflite", "not a regular file"),
        ("onnx", "folder.onnx", "not a regular file"),
        ("saved_model", "photos/cat.jpg/model", "cat.jpg' is no folder"),
        ("onnx", "photos/cat.jpg/new/model.onnx", "cat.jpg' is no folder"),
        ("saved_model", "/", "root folder"),
        ("saved_model", "~", "neither a SavedModel nor an empty folder"),
        ("saved_model", "~/photos", "neither a SavedModel nor an empty folder"),
    ],
)
def test_overwrite_spares_what_is_no_export(format, path, message, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("photos", "folder.tflite", "folder.onnx"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cat.jpg").write_bytes(b"the only copy")
    (tmp_path / "link").symlink_to("photos")
    before = _files(tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        export(build(dense), path if path[0] in "/~" else tmp_path / path, format, overwrite=True)
    assert "\n" not in str(caught.value)
    assert _files(tmp_path) == before


def test_home_and_empty_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    model = build(dense)
    assert export(model, "~/model", overwrite=True).path == str(tmp_path / "model")
    assert check_export(model, "~/model").passed


def test_read_only_folder_is_an_os_error(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(PermissionError, match="Permission denied") as caught:
        export(build(dense), tmp_path / "m")
    assert caught.value.filename == str(tmp_path)


def test_saved_model_moves(tmp_path):
    model = build(dense)
    export(model, tmp_path / "a")
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert check_export(model, tmp_path / "b").passed
