"""Data sets: embedded TFDS builders, any TFDS name, and the user's own files, all as one `Datasets`.

Importing this package is free: the functions below are loaded on first use.
"""

_EXPORTS = {
    "Datasets": "applications.datasets.data",
    "load_classification": "applications.datasets.data",
    "load_segmentation": "applications.datasets.data",
    "ImageStore": "applications.datasets.store",
    "split_indices": "applications.datasets.splits",
    "k_fold_indices": "applications.datasets.splits",
    "read_image": "applications.datasets.readers",
    "read_mask": "applications.datasets.readers",
    "list_images": "applications.datasets.readers",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return __all__
