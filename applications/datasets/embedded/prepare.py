"""Writes an embedded data set once into the TFDS folder, safe against kills and against a second process."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import io
import logging
import os
import shutil
import tempfile
import time
from pathlib import Path

from applications.core.errors import UserError

_SCRATCH = ".preparing-"


def data_folder(data_dir: str | os.PathLike | None = None) -> Path:
    """Returns the folder of prepared data: the argument, `$TFDS_DATA_DIR` or `~/tensorflow_datasets`."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser().absolute()


@contextlib.contextmanager
def quiet_logger():
    """Keeps the announcements and warnings of TFDS off the terminal, which come even where a builder is only made."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@quiet_logger()
def prepare(builder_class, data_dir=None, config=None, progress=None):
    """Returns a builder of `builder_class` whose data lie on disk, and writes them first where they do not.

    The data are made in a folder of this process' own and moved into place in one step, so that neither a
    kill nor a second process can leave half a data set; whoever comes second uses the data of the first.
    """
    root = data_folder(data_dir)
    builder = builder_class(data_dir=root, config=config)
    target = Path(builder.data_dir)
    if (target / "dataset_info.json").is_file():
        return builder
    with storage_errors(root, f"preparing data set {builder.name!r}"):
        root.mkdir(parents=True, exist_ok=True)
        _remove_old_scratch(root)
        scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=root))
        try:
            draft = builder_class(data_dir=scratch, config=config)
            draft.progress = progress
            with quiet_tfds():
                draft.download_and_prepare(file_format=_file_format())
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists() and not (target / "dataset_info.json").is_file():
                shutil.rmtree(target)  # Somebody has begun to delete it.
            try:
                os.rename(draft.data_dir, target)
            except OSError:
                if not target.exists():
                    raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return builder_class(data_dir=root, config=config)


@contextlib.contextmanager
def quiet_tfds():
    """Keeps TFDS's progress bars, announcements and warnings about speed off the terminal."""
    with quiet_logger(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _file_format() -> str:
    """array_record is read without starting TensorFlow; its library exists on Linux only."""
    return "array_record" if importlib.util.find_spec("array_record") else "tfrecord"


def _remove_old_scratch(root: Path) -> None:
    """Removes what processes killed more than a day ago have left."""
    for folder in root.glob(f"{_SCRATCH}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > 86400:
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def storage_errors(folder: Path, action: str):
    """Turns a full disk or a folder that cannot be written into one sentence."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        number, text = getattr(error, "errno", None), str(error).lower()
        if number in (errno.ENOSPC, errno.EDQUOT) or "no space left" in text or "not enough disk space" in text:
            problem = "no space left"
        elif isinstance(error, OSError):
            problem = error.strerror or str(error)
        else:
            raise
        raise UserError(
            f"Data folder {str(folder)!r} cannot be used ({problem}) while {action}; free some space, or "
            "name a folder that can be written by --data-dir or the environment variable TFDS_DATA_DIR."
        ) from error
