"""Promise: one signature per kind, a complete docstring, and a clear sentence for every bad argument."""

from __future__ import annotations

import inspect
import re
from typing import Any

import keras
import numpy as np
import pytest
import zoo

import kerazoo
from kerazoo.catalog import builder, builder_parameters

_END = ("include_preprocessing", "weights", "dtype", "name")
# docs/design.md: the two positional arguments, and the end of the keyword-only ones, in this order
SPINES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "image_classifier": (
        ("input_shape", "num_classes"),
        ("include_top", "pooling", "classifier_activation", "dropout_rate", *_END),
    ),
    "dense_prediction": (("input_shape", "num_classes"), ("classifier_activation", "dropout_rate", *_END)),
    "image_to_image": (("input_shape", "num_channels"), ("output_activation", *_END)),
    "vector": (("input_shape", "num_outputs"), ("output_activation", *_END)),
    "sequence": (
        ("input_shape", "num_classes"),
        ("classifier_activation", "dropout_rate", "weights", "dtype", "name"),
    ),
    "language_model": (("vocab_size", "max_length"), ("dropout_rate", "weights", "dtype", "name")),
    "encoder_decoder": (
        ("source_vocab_size", "target_vocab_size"),
        ("dropout_rate", "weights", "dtype", "name"),
    ),
    "multi_input": ((), ("weights", "dtype", "name")),
    "graph": (("num_features", "num_classes"), ("dropout_rate", "weights", "dtype", "name")),
    "autoencoder": (("input_shape", "latent_dim"), ("output_activation", "weights", "dtype", "name")),
    "image_generator": (("input_shape", "num_classes"), ("weights", "dtype", "name")),
    "generator_discriminator": (("input_shape", "latent_dim"), ("weights", "dtype", "name")),
    "image_translator": (("input_shape", "num_channels"), ("weights", "dtype", "name")),
    "instance_segmentation": (("input_shape", "num_classes"), _END),
    "detector": (("input_shape", "num_classes"), _END),
    "registration": (("input_shape", "int_steps"), ("weights", "dtype", "name")),
}


@pytest.mark.parametrize("name", zoo.models())
def test_signature(name: str) -> None:
    first, end = SPINES[kerazoo.model_card(name).kind]
    parameters = inspect.signature(builder(name)).parameters
    positional = [p.name for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    keywords = [p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert len(positional) + len(keywords) == len(parameters), "no *args or **kwargs"
    assert len(positional) == 2
    assert tuple(positional) == (first or tuple(positional))
    assert tuple(word for word in keywords if word in end) == end
    tail = keywords[keywords.index(end[0]) :]
    assert set(tail) - set(end) <= {"dropout_rate"}, "a model's own words stand in front of the spine"
    assert all(p.default is not p.empty for p in parameters.values())


@pytest.mark.parametrize("name", zoo.models())
def test_docstring(name: str) -> None:
    function = builder(name)
    doc = inspect.getdoc(function)
    assert doc is not None
    assert re.match(r"[A-Z][^\n]+\.\n", doc), "starts with a sentence"
    for section in ("Args", "Returns", "Raises", "Example", "References"):
        assert f"\n{section}:\n" in doc
    described = re.findall(r"^ {4}(\w+): ", doc.split("\nArgs:\n")[1].split("\nReturns:\n")[0], flags=re.M)
    assert described == list(inspect.signature(function).parameters)
    assert function.__name__ == name


BAD: list[tuple[str, Any]] = [
    ("input_shape", "32"),
    ("input_shape", (0, 32, 3)),
    ("input_shape", (-8, 8, 3)),
    ("input_shape", (8.5, 8, 3)),
    ("input_shape", ()),
    ("input_shape", 32),
    ("num_classes", 0),
    ("num_classes", -2),
    ("num_classes", 2.5),
    ("num_classes", "ten"),
    ("num_classes", True),
    ("num_outputs", 0),
    ("num_outputs", 1.5),
    ("num_channels", 0),
    ("include_top", "no"),
    ("include_top", None),
    ("pooling", "average"),
    ("pooling", "avg"),  # with include_top=True
    ("classifier_activation", "sofmax"),
    ("classifier_activation", keras.layers.Softmax()),
    ("output_activation", "sofmax"),
    ("activation", "rellu"),
    ("activation", keras.layers.PReLU()),
    ("activation", keras.layers.PReLU),
    ("kernel_initializer", "he_norml"),
    ("dropout_rate", 1.0),
    ("dropout_rate", -0.1),
    ("dropout_rate", "half"),
    ("include_preprocessing", "yes"),
    ("include_preprocessing", (1.0,)),
    ("include_preprocessing", (1.0, "0")),
    ("include_preprocessing", (0.0, 1.0)),
    ("weights", "imagenette"),
    ("weights", "missing.keras"),
    ("weights", 3),
    ("dtype", "float99"),
    ("dtype", "uint8"),
    ("dtype", "bool"),
    ("dtype", "int8"),
    ("dtype", "int8_from_float32"),
    ("dtype", "string"),
    ("hidden_units", (0,)),
    ("hidden_units", 16),
    ("filters", 0),
    ("depth", 0),
    ("normalization", "batchnorm"),
    ("l1", -1),
    ("l2", float("nan")),
    ("kernel_size", 0),
    ("kernel_size", (3, 3)),
    ("strides", 0),
    ("convs_per_stage", 0),
    ("downsampling", "avg"),
    ("groups", 0),
    ("spatial_dropout_rate", 1.5),
    ("stride_in", "5x5"),
    ("shortcut", "C"),
    ("pad", "start"),
    ("padding", "full"),
    ("backbone", "resnet5"),
    ("variant", "modern"),
    ("codes", [[1.0] * 84]),
    ("centres", 0),
    ("centres", [[1.0] * 84]),
    ("centres", "k-means"),
    ("width", 0),
    ("width_factor", -1.0),
    ("trainable_centres", "yes"),
    ("trainable_widths", 1),
    ("alpha", 0),
    ("alpha", "wide"),
    ("minimalistic", "yes"),
    ("drop_path_rate", 1.0),
    ("auxiliary_heads", 1),
    ("growth_rate", 0),
    ("depth", 2.5),
    ("conv_dropout_rate", 1.0),
    ("vocab_size", 0),
    ("vocab_size", "many"),
    ("source_vocab_size", 0),
    ("target_vocab_size", 2.5),
    ("embedding_dim", 0),
    ("max_length", 0),
    ("length", 0),
    ("length", 2000),
    ("num_layers", 0),
    ("num_heads", 0),
    ("hidden_dim", 0),
    ("mlp_dim", -1),
    ("units", 0),
    ("mode", "one_to_some"),
    ("stateful", 1),
    ("batch_size", 0),
    ("reset_after", "no"),
    ("num_levels", 0),
    ("score", "cosine"),
    ("input_feeding", 1),
    ("reverse_source", "yes"),
    ("attention_units", 0),
    ("maxout_units", 0),
    ("bidirectional", "both"),
    ("patch_size", 0),
    ("image_shape", (10, 16, 3)),
    ("image_shape", (None, None, 3)),
    ("image_shape", 16),
    ("image_layers", 0),
    ("image_heads", 0),
    ("image_dim", 0),
    ("multi_positive", "yes"),
    ("num_features", 0),
    ("num_nodes", 0),
    ("output_heads", 0),
    ("adjacency", "sparse"),
    ("bias", "all"),
    ("use_bias", "yes"),
    ("residual", 1),
    ("attention_dropout_rate", 1.0),
    ("pad_id", "zero"),
    ("latent_dim", 0),
    ("corruption", "blur"),
    ("corruption_level", 1.0),
    ("tied", "yes"),
    ("penalty", "l3"),
    ("sparsity", 0.0),
    ("sparsity_weight", -1),
    ("beta", -1),
    ("capacity", "big"),
    ("code_activation", "sofmax"),
    ("decoder_activation", "rellu"),
    ("num_labels", 0),
    ("head", "question_answering"),
    ("gelu_approximate", "yes"),
    ("tie_embeddings", 1),
    ("use_bias", "no"),
    ("final_norm", None),
    ("positions", "learnt"),
    ("position_offset", -1),
    ("epsilon", 0),
    ("maxout_units", (0,)),
    ("pieces", 0),
    ("dense_units", 0),
    ("generator_filters", (0, 1)),
    ("picture_activation", "relu"),
    ("critic_steps", 0),
    ("penalty_weight", -1),
    ("max_filters", 0),
    ("int_steps", -1),
    ("int_steps", 2.5),
    ("int_resolution", 3),
    ("encoder_filters", (0, 8)),
    ("decoder_filters", (8,)),
    ("final_filters", 16),
    ("stabilize_images", 0),
    ("fade_images", 2.5),
    ("averaging", 1.0),
    ("multipliers", (0,)),
    ("multipliers", 2),
    ("attention_sizes", 16),
    ("blocks_per_stage", 0),
    ("schedule", "sigmoid"),
    ("timesteps", 1),
    ("variance", "learned"),
    ("target", "velocity"),
    ("label_dropout", 1.0),
    ("ema_decay", 1.0),
    ("num_blocks", 0),
    ("prior_layers", 0),
    ("prior_heads", 0),
    ("prior_dim", 0),
    ("decoder_heads", 0),
    ("context_tokens", 0),
    ("text_layers", -1),
    ("prior_dropout", 1.0),
    ("embedding_dropout", 1.0),
    ("text_dropout", -0.1),
    ("head_filters", 0),
    ("levels", 1),
    ("scale", 3),
    ("scale", 1),
    ("discriminator_filters", 0),
    ("discriminator_layers", 0),
    ("l1_weight", -1),
    ("cycle_weight", -1),
    ("identity_weight", "half"),
    ("adversarial_weight", float("nan")),
    ("pool_size", -1),
    ("global_skip", "yes"),
    ("perceptual_network", "vgg20"),
    ("perceptual_network", 5),
    ("num_rays", 2),
    ("grid", 3),
    ("use_style", 1),
    ("stride", 3),
    ("head_filters", 0),
]


@pytest.mark.parametrize(
    ("name", "argument", "value"),
    [
        pytest.param(name, argument, value, id=f"{name}-{argument}={value!r}")
        for name in zoo.distinct()
        for argument, value in BAD
        if argument in builder_parameters(name)
    ],
)
def test_bad_argument(name: str, argument: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=argument) as caught:
        zoo.fresh(name, **{argument: value})
    assert type(caught.value) in (ValueError, TypeError, FileNotFoundError)
    assert "\n" not in str(caught.value), "one sentence"


def test_a_layer_as_activation_is_sent_to_prelu() -> None:
    with pytest.raises(ValueError, match="'prelu'"):
        zoo.fresh("mlp", activation=keras.layers.PReLU())


@pytest.mark.parametrize("activation", ["softmax", "log_softmax", keras.activations.softmax])
@pytest.mark.parametrize(
    "name",
    zoo.models(lambda card: card.kind in ("image_classifier", "dense_prediction", "vector", "sequence", "graph")),
)
def test_softmax_of_one_is_refused(name: str, activation: Any) -> None:
    second = list(builder_parameters(name))[1]
    word = "output_activation" if second == "num_outputs" else "classifier_activation"
    with pytest.raises(ValueError, match=rf"{word} cannot be a softmax with {second}=1.*use 'sigmoid'"):
        zoo.fresh(name, **{second: 1, word: activation})


def _of_numpy(value: Any) -> Any:
    """Turns the numbers in an argument into those that come out of NumPy and pandas."""
    if isinstance(value, (tuple, list)):
        return type(value)(_of_numpy(part) for part in value)
    kinds: dict[type, Any] = {bool: np.bool_, int: np.int64, float: np.float64}
    return kinds.get(type(value), lambda same: same)(value)


@pytest.mark.parametrize("name", zoo.distinct())
def test_numbers_of_numpy(name: str) -> None:
    """The same model as with Python's numbers, in a configuration that can be saved."""
    options = {**builder_parameters(name), **kerazoo.model_card(name).test_config}
    with zoo.weightless():
        model = kerazoo.create_model(name, **{key: _of_numpy(value) for key, value in options.items()})
        assert model.to_json() == zoo.fresh(name).to_json()


def test_name_of_the_model() -> None:
    assert kerazoo.create_model("mlp", name="digits").name == "digits"


@pytest.mark.parametrize("name", zoo.models())
def test_unknown_argument_names_the_nearest(name: str) -> None:
    first, second = list(builder_parameters(name))[:2]
    with pytest.raises(TypeError, match=rf"no argument '{first[:-1]}'\. Did you mean '{first}'"):
        kerazoo.create_model(name, **{first[:-1]: (8, 8, 3)})
    if second.startswith("num_"):
        with pytest.raises(TypeError, match=f"Did you mean {second!r}"):
            kerazoo.create_model(name, **{second.removeprefix("num_"): 3})
    with pytest.raises(TypeError, match="by position"):
        kerazoo.create_model(name, (8, 8, 3), 3, True)


@pytest.mark.parametrize("name", zoo.models(lambda card: card.kind in zoo.IMAGE_KINDS))
def test_wrong_number_of_axes(name: str) -> None:
    with pytest.raises(ValueError, match=r"input_shape must be a tuple of .* sizes"):
        zoo.fresh(name, input_shape=(8, 8, 8, 8, 3))


def test_channels_first_is_refused() -> None:
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="channels_last"):
            zoo.fresh("cnn")
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("name", zoo.distinct(lambda card: card.kind == "image_classifier"))
def test_layers_that_include_top_names(name: str) -> None:
    """The docstring of `include_top` speaks of layers that are there."""
    doc = (inspect.getdoc(builder(name)) or "").split("    include_top: ")[1].split("\n    pooling: ")[0]
    with zoo.weightless():
        layers = {layer.name for layer in zoo.fresh(name).layers}
    named = set(re.findall(r"`(\w+)`", doc)) - {"True", "False"}
    assert "predictions" in named
    assert named <= layers
