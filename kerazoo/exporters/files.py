"""Where an export is written: beside its final place first, and there only once it has passed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUFFIXES = {"saved_model": "", "litert": ".tflite", "onnx": ".onnx"}


def checked_target(path: str | os.PathLike[str], format: str, overwrite: bool) -> Path:
    """Returns the absolute path of an export that may be written.

    Raises:
        ValueError: One sentence.
    """
    target = Path(os.path.abspath(os.path.expanduser(path)))
    ending = SUFFIXES[format]
    if not target.name:
        raise ValueError(f"path must name what to write; {str(target)!r} is the root folder.")
    if ending and target.suffix != ending:
        raise ValueError(
            f"A {format} file ends in {ending}, received {target.name!r}; {target.stem + ending!r} would work."
        )
    for other, ending in SUFFIXES.items():
        if other != format and ending and target.suffix == ending:
            raise ValueError(f"{target.name!r} is the name of a {other} file; pass format={other!r} or another name.")
    nearest = next(parent for parent in target.parents if os.path.lexists(parent))
    if not nearest.is_dir():
        raise ValueError(f"{str(nearest)!r} is no folder, so {str(target)!r} cannot be written; choose another path.")
    if os.path.lexists(target):
        if not overwrite:
            raise ValueError(f"{str(target)!r} already exists; pass overwrite=True or choose another name.")
        _check_replaceable(target, format)
    return target


def _check_replaceable(target: Path, format: str) -> None:
    """Refuses to overwrite what is no export: a wrong path must not cost somebody their files."""
    if format == "saved_model":
        is_export = target.is_dir() and ((target / "saved_model.pb").is_file() or not any(target.iterdir()))
        kind = "a SavedModel nor an empty folder"
    else:
        is_export, kind = target.is_file(), "a regular file"
    if target.is_symlink() or not is_export:
        raise ValueError(
            f"{str(target)!r} is {'neither' if format == 'saved_model' else 'not'} {kind}, "
            "so overwrite=True does not replace it; choose another path."
        )


@contextmanager
def workspace(target: Path) -> Iterator[Path]:
    """A temporary folder on the file system of `target`, so that the last step is one rename."""
    nearest = next(parent for parent in target.parents if parent.is_dir())
    try:
        folder = Path(tempfile.mkdtemp(prefix=".kerazoo-export-", dir=nearest))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(nearest)) from None  # the folder, not the draft in it
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def move(draft: Path, target: Path) -> None:
    """Gives a finished draft its name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        os.replace(draft, target)
        return
    # A folder cannot be replaced in one step: the old one steps aside and comes back if the rename fails.
    aside = draft.parent / "replaced"
    os.replace(target, aside)
    try:
        os.replace(draft, target)
    except OSError:
        os.replace(aside, target)
        raise
