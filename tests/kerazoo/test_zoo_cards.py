"""Promise: what a card says is true, and reading it needs no Keras."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
import zoo

import kerazoo
from kerazoo.catalog import builder, builder_parameters

NO_CLASSES = ("image_generator", "instance_segmentation")  # unless asked for
_PAPER_SIZES = """
import json, math, sys
sys.path.insert(0, "tests/kerazoo")
import kerazoo, zoo
figures = {}
with zoo.weightless():
    for name in kerazoo.list_models():
        model = kerazoo.create_model(name)
        figures[name] = {
            "params": model.count_params(),
            "trainable_params": sum(math.prod(weight.shape) for weight in model.trainable_weights),
            "flops": sum(kerazoo.count_flops(part, zoo.full_sizes(part, name)) for part in zoo.functional_parts(model)),
            "input_shape": list(zoo.first_input(name, model).shape[1:]),
        }
print(json.dumps(figures))
"""


@pytest.fixture(scope="session")
def paper_sizes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """Builds every model at its paper's size once, in a process of its own that gives the memory back."""

    def compute(_: Path) -> dict:
        return json.loads(zoo.run_forked(_PAPER_SIZES))

    return zoo.once(tmp_path_factory.getbasetemp(), "paper_sizes", compute)


@pytest.mark.parametrize("name", zoo.models())
@pytest.mark.parametrize("figure", ["params", "trainable_params", "flops", "input_shape"])
def test_figures(name: str, figure: str, paper_sizes: dict[str, dict]) -> None:
    claimed = getattr(kerazoo.model_card(name), figure)
    assert paper_sizes[name][figure] == (list(claimed) if figure == "input_shape" else claimed)


@pytest.mark.parametrize("name", zoo.models())
def test_defaults_are_the_cards(name: str) -> None:
    card, parameters = kerazoo.model_card(name), builder_parameters(name)
    if "input_shape" in parameters:
        assert tuple(parameters["input_shape"]) == card.input_shape
    second = list(parameters)[1]
    if second.startswith("num_") and card.kind not in NO_CLASSES:
        assert parameters[second] == card.num_outputs
    assert parameters["name"] == name


@pytest.mark.parametrize("name", zoo.models())
def test_parameters_from_source_are_the_signature(name: str) -> None:
    from kerazoo import _source

    signature = inspect.signature(builder(name))
    read = _source.function_parameters(kerazoo.model_card(name).module, name)
    assert list(read) == list(signature.parameters)
    assert read == {key: parameter.default for key, parameter in signature.parameters.items()}


@pytest.mark.parametrize("name", zoo.models())
def test_texts(name: str) -> None:
    card = kerazoo.model_card(name)
    assert card.paper_url.startswith("https://")
    assert card.summary.endswith(".")
    assert all(text.endswith(".") for text in card.deviations)
    assert card.params_source
    json.dumps(card.to_dict())


@pytest.mark.parametrize("name", zoo.models())
def test_custom_objects(name: str) -> None:
    """A card must not promise a file of built-in layers when there are others in it, nor the reverse."""
    with zoo.weightless():
        model = zoo.fresh(name)
    classes = {type(model), *(type(layer) for layer in zoo.leaf_layers(model))}
    own = any(cls.__module__.startswith("kerazoo") for cls in classes)
    assert own == kerazoo.model_card(name).custom_objects


def test_reading_the_catalogue_does_not_import_keras() -> None:
    code = """
import sys, kerazoo
for name in kerazoo.list_models():
    kerazoo.model_card(name).to_dict()
    kerazoo.catalog.builder_parameters(name)
dir(kerazoo)
print([module for module in ("keras", "tensorflow", "numpy", "h5py") if module in sys.modules])
"""
    assert zoo.run_python(code) == "[]"


def test_import_is_quick() -> None:
    code = "import time; start = time.process_time(); import kerazoo; print(time.process_time() - start)"
    assert float(zoo.run_python(code)) < 0.1
