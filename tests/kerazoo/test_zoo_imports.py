"""Any module of kerazoo can be the first one a program imports, and afterwards all classes are registered."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import keras
import pytest

import kerazoo
from tests import processes

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(kerazoo.__path__, "kerazoo.")
    if "._" not in module.name and ".exporters" not in module.name and not module.name.endswith(".cards")
)
# One process for all of them: keras and kerazoo are forgotten between two modules, keras' inner modules are not, so
# that importing it again costs nothing. What is compiled once is kept in the folder, whatever the environment says.
PROGRAM = """
import importlib, sys, traceback
sys.dont_write_bytecode, sys.pycache_prefix = False, sys.argv.pop(1)
failed = []
for module in sys.argv[1:]:
    for name in list(sys.modules):
        if name.split(".")[0] == "kerazoo" or name == "keras" or name.startswith("keras._"):
            del sys.modules[name]
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "kerazoo._keras_hook"]
    if "keras.src" in sys.modules:
        sys.modules["keras.src"].saving.get_custom_objects().clear()
    try:
        importlib.import_module(module)
        import keras
        names = set(keras.saving.get_custom_objects())
        assert {"kerazoo>EuclideanRBF", "kerazoo>PartialConv2D", "kerazoo>Perceptron"} <= names, names
    except Exception:
        failed.append(module)
        traceback.print_exc()
sys.exit(f"failed: {failed}" if failed else 0)
"""


def test_every_module_can_come_first(tmp_path):
    assert {"kerazoo.layers", "kerazoo.weights", "kerazoo.blocks", "kerazoo.classic.perceptron"} <= set(MODULES)
    process = processes.run("-c", PROGRAM, tmp_path, *MODULES)
    assert process.returncode == 0, process.stderr


def _examples_with_an_output() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder()
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name), name)]
    return [test for test in found if any(example.want for example in test.examples)]


@pytest.mark.parametrize("example", _examples_with_an_output(), ids=lambda example: example.name)
def test_outputs_in_docstrings(example: doctest.DocTest) -> None:
    example.globs |= {"keras": keras, "kerazoo": kerazoo}
    report: list[str] = []
    assert not doctest.DocTestRunner().run(example, out=report.append).failed, "".join(report)
