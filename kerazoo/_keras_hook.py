"""Makes `import kerazoo` enough before `keras.models.load_model`, without importing Keras.

Keras looks up the classes in a file among those that are registered, and imports only its own packages by
itself. So kerazoo's classes are registered as soon as both packages are there, whichever comes first.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def install() -> None:
    """Registers kerazoo's classes now if Keras is loaded, else right after it has been."""
    if "keras" in sys.modules:
        register_classes()
    else:
        sys.meta_path.insert(0, _KerasFinder())


def register_classes() -> None:
    """Imports every module that holds registered classes.

    This may happen in the middle of the import of one of kerazoo's own modules, so those modules take names from
    modules (`kerazoo.layers.activations`), not from the packages around them, which may be half there.
    """
    from kerazoo import catalog

    for module in ("layers", "losses", "metrics", "finetuning", "transformers.schedule", "gans.schedule"):
        importlib.import_module(f"kerazoo.{module}")
    for name in catalog.list_models():
        card = catalog.model_card(name)
        if card.custom_objects and card.module.startswith("kerazoo."):
            importlib.import_module(card.module)


class _KerasFinder(MetaPathFinder):
    """Finds `keras` as the other finders would, and runs `register_classes` after it.

    It stays until Keras has been imported: a look-up may be nothing but the question whether Keras is there.
    """

    def __init__(self) -> None:
        self._state = threading.local()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "keras" or getattr(self._state, "asking", False):
            return None
        self._state.asking = True  # the question comes back here, among the other finders
        try:
            spec = importlib.util.find_spec("keras")
        finally:
            self._state.asking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _ThenRegister(spec.loader, self)
        return spec


class _ThenRegister(Loader):
    """A loader that does its work through another one and then registers kerazoo's classes."""

    def __init__(self, loader: Loader, finder: _KerasFinder) -> None:
        self.loader = loader
        self.finder = finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        if self.finder in sys.meta_path:
            sys.meta_path.remove(self.finder)
        register_classes()
