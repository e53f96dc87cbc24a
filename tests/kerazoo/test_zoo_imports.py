"""Any module of kerazoo can be the first one a program imports, and afterwards all classes are registered."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys

import pytest

import kerazoo

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(kerazoo.__path__, "kerazoo.")
    if "exporters" not in module.name and not module.name.endswith(".cards")
)
PROGRAM = """
import importlib, sys
importlib.import_module(sys.argv[1])
import keras
names = set(keras.saving.get_custom_objects())
assert {"kerazoo>EuclideanRBF", "kerazoo>PartialConv2D", "kerazoo>Perceptron"} <= names, names
"""


@pytest.mark.parametrize("module", MODULES)
def test_first_import(module):
    # The numpy backend of Keras loads in a fraction of TensorFlow's time, and the order of imports is the same.
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, module], capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "KERAS_BACKEND": "numpy"},
    )
    assert process.returncode == 0, process.stderr
