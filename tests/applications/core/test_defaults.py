"""The arguments that applications give their models by default are arguments of the builders."""

import importlib
import pkgutil

import pytest

import applications
from applications import text_to_image
from kerazoo.catalog import builder_parameters


def tables() -> list:
    """Returns the model and the arguments of every default."""
    found = [("text_to_image", "unclip", text_to_image.SIZES)]
    for module in pkgutil.iter_modules(applications.__path__):
        defaults = getattr(importlib.import_module(f"applications.{module.name}"), "DEFAULTS", {})
        found += [(module.name, name, values) for name, values in defaults.items()]
    return [pytest.param(name, values, id=f"{module}-{name}") for module, name, values in found]


@pytest.mark.parametrize(("name", "values"), tables())
def test_defaults_are_arguments_of_the_builder(name: str, values: dict) -> None:
    unknown = values.keys() - builder_parameters(name).keys()
    assert not unknown
