"""kerazoo: every textbook deep-learning architecture as one honest Keras builder function.

`import kerazoo` costs milliseconds: a name is loaded when it is first used, and models, cards and their
arguments are listed without importing Keras.

    >>> import kerazoo
    >>> model = kerazoo.resnet20((32, 32, 1), 10)
"""

from __future__ import annotations

import importlib
from typing import Any

from kerazoo import _keras_hook
from kerazoo._version import __version__ as __version__

_PUBLIC = {
    "ModelCard": "kerazoo.card",
    "register_model": "kerazoo.catalog",
    "list_models": "kerazoo.catalog",
    "create_model": "kerazoo.catalog",
    "model_card": "kerazoo.catalog",
    "feature_extractor": "kerazoo.surgery",
    "freeze": "kerazoo.surgery",
    "unfreeze": "kerazoo.surgery",
    "replace_head": "kerazoo.surgery",
    "count_flops": "kerazoo.flops",
    "load_weights": "kerazoo.weights",
    "load_safetensors": "kerazoo.weights",
    "load_model": "kerazoo.files",
    "export": "kerazoo.exporters",
    "export_parts": "kerazoo.exporters.parts",
    "generate": "kerazoo.generation",
    "predict_tiled": "kerazoo.tiling",
    "percentile_normalise": "kerazoo.normalisation",
}
_MODULES = (
    "autoencoders",
    "blocks",
    "card",
    "catalog",
    "checks",
    "detection",
    "diffusion",
    "exporters",
    "finetuning",
    "flops",
    "gans",
    "generation",
    "layers",
    "losses",
    "metrics",
    "normalisation",
    "surgery",
    "tiling",
    "tracking",
    "weights",
)

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"kerazoo.{name}")
    else:
        from kerazoo import catalog

        if name.startswith("_") or name not in catalog.list_models():
            from kerazoo._words import nearest

            known = [*_PUBLIC, *_MODULES, *catalog.list_models()]
            raise AttributeError(
                f"module 'kerazoo' has no attribute {name!r}."
                f"{nearest(name, known, plenty='kerazoo.list_models() lists the models')}"
            )
        value = catalog.builder(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    from kerazoo import catalog

    return sorted({*globals(), *_PUBLIC, *_MODULES, *catalog.list_models()})


_keras_hook.install()
