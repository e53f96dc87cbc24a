"""Images of mixed sizes in one flat array."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from applications.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np

DTYPES = ("uint8", "uint16", "int32", "float32")


class ImageStore:
    """Images as one flat array plus the place and the shape of each.

    Images of mixed sizes need neither padding nor ragged tensors: image `i` is one slice of `flat`, reshaped.
    The array lies in memory or in a memory-mapped file; both look the same to the reader.

    Args:
        flat: 1-D array, uint8, uint16, int32 or float32 (plain numpy array or `np.memmap`).
        offsets: `(N,)` int64, index in `flat` of the first value of each image.
        shapes: `(N, 3)` int32, height, width and channels of each image, or `(N, 4)` with the depth of volumes first.

    Example:
        >>> store = ImageStore.from_arrays([np.zeros((4, 5, 1), "uint8"), np.ones((2, 3, 1), "uint8")])
        >>> len(store), store[1].shape, store.uniform
        (2, (2, 3, 1), False)
    """

    def __init__(self, flat: np.ndarray, offsets: np.ndarray, shapes: np.ndarray):
        import numpy as np

        self.flat = flat
        self.offsets = np.asarray(offsets, np.int64)
        self.shapes = _table(shapes)
        if flat.ndim != 1 or flat.dtype.name not in DTYPES:
            raise TypeError(f"flat must be a 1-D array of {', '.join(DTYPES)}, received {flat.ndim}-D {flat.dtype}.")
        if self.offsets.shape != (len(self.shapes),):
            raise ValueError(f"{len(self.offsets)} offsets do not fit {len(self.shapes)} shapes.")

    @classmethod
    def allocate(
        cls,
        shapes: Sequence[Sequence[int]] | np.ndarray,
        dtype,
        *,
        memory_limit: int | None = None,
        cache_dir: str | os.PathLike | None = None,
    ) -> ImageStore:
        """Returns a store of zeros, to be filled image by image (`store[i][...] = image`, also from threads).

        The shapes are known before a pixel is decoded (from the files' headers), so there is never a second
        copy.

        Args:
            shapes: `(height, width, channels)` of each image, or `(depth, height, width, channels)` of each volume.
            dtype: uint8, uint16, int32 or float32.
            memory_limit: bytes above which the values go to a memory-mapped file; default half of the free
                memory.
            cache_dir: folder of that file, default `~/.cache/kerazoo`. The file disappears with the process.

        Raises:
            UserError: when the disk has no room for the file or the folder cannot be written.
        """
        import numpy as np

        table = _table(shapes)
        sizes = table.astype(np.int64).prod(axis=1)
        ends = np.cumsum(sizes)
        total = int(ends[-1]) if len(ends) else 0
        nbytes = total * np.dtype(dtype).itemsize
        limit = available_memory() // 2 if memory_limit is None else memory_limit
        flat = np.zeros(total, dtype) if nbytes <= limit else _mapped_array(total, np.dtype(dtype), cache_dir)
        return cls(flat, ends - sizes, table)

    @classmethod
    def from_arrays(cls, images: Iterable[np.ndarray], **options) -> ImageStore:
        """Returns a store of images `(H, W)` or `(H, W, C)`, or of volumes `(D, H, W, C)`, of one dtype.

        `options` as in `allocate`.
        """
        import numpy as np

        images = [image[..., None] if image.ndim == 2 else image for image in map(np.asarray, images)]
        if not images:
            raise ValueError("An image store needs at least one image.")
        if len({image.dtype for image in images}) > 1:
            raise TypeError(f"Images of one store share one dtype, received {sorted({str(i.dtype) for i in images})}.")
        store = cls.allocate([image.shape for image in images], images[0].dtype, **options)
        for slot, image in zip(store, images, strict=True):
            slot[...] = image
        return store

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, index: int) -> np.ndarray:
        """Returns image `index` as an `(H, W, C)` view: no copy, and writing to it writes to the store."""
        shape = tuple(int(n) for n in self.shapes[index])
        start = int(self.offsets[index])
        return self.flat[start : start + math.prod(shape)].reshape(shape)

    def __iter__(self):
        return (self[index] for index in range(len(self)))

    def select(self, indices) -> ImageStore:
        """Returns the images at `indices` without copying a pixel."""
        return ImageStore(self.flat, self.offsets[indices], self.shapes[indices])

    def as_array(self, indices=None) -> np.ndarray:
        """Returns `(N, H, W, C)` of a uniform store: a view of all, or a copy of those at `indices`."""
        import numpy as np

        if not self.uniform:
            raise ValueError(f"Images have mixed sizes, from {self.min_shape} to {self.max_shape}.")
        if indices is not None:
            return np.stack([self[index] for index in indices])
        if self.contiguous:
            return self.flat[: len(self) * int(np.prod(self.max_shape))].reshape(len(self), *self.max_shape)
        return np.stack(list(self))

    @property
    def dtype(self):
        return self.flat.dtype

    @property
    def uniform(self) -> bool:
        """Whether all images have one shape."""
        return bool((self.shapes == self.shapes[:1]).all())

    @property
    def contiguous(self) -> bool:
        """Whether all images have one shape and lie one after the other, from the first value on."""
        import numpy as np

        size = int(self.shapes[0].astype(np.int64).prod())
        return self.uniform and np.array_equal(self.offsets, np.arange(len(self), dtype=np.int64) * size)

    @property
    def in_memory(self) -> bool:
        import numpy as np

        return not isinstance(self.flat, np.memmap)

    @property
    def nbytes(self) -> int:
        import numpy as np

        return int(self.shapes.astype(np.int64).prod(axis=1).sum()) * self.dtype.itemsize

    @property
    def channels(self) -> int:
        return int(self.shapes[0, -1])

    @property
    def min_shape(self) -> tuple[int, ...]:
        """Smallest height, smallest width and smallest number of channels; of volumes the smallest depth first."""
        return tuple(int(n) for n in self.shapes.min(axis=0))

    @property
    def max_shape(self) -> tuple[int, ...]:
        """Largest height, largest width and largest number of channels; of volumes the largest depth first."""
        return tuple(int(n) for n in self.shapes.max(axis=0))

    def __repr__(self) -> str:
        size = self.min_shape if self.uniform else f"{self.min_shape} to {self.max_shape}"
        where = "memory" if self.in_memory else "a memory-mapped file"
        mebibytes = self.nbytes / 2**20
        return f"ImageStore({len(self)} images of {size}, {self.dtype}, {mebibytes:.1f} MiB in {where})"


def _table(shapes) -> np.ndarray:
    """Returns shapes as `(N, 3)` or `(N, 4)`."""
    import numpy as np

    table = np.asarray(shapes, np.int32)
    return table if table.ndim == 2 else table.reshape(-1, 3)


def available_memory() -> int:
    """Returns the bytes of memory that can be had without swapping."""
    import psutil

    return psutil.virtual_memory().available


def cache_folder(cache_dir: str | os.PathLike | None = None) -> Path:
    """Returns `cache_dir`, or kerazoo's folder in the user's cache."""
    if cache_dir is not None:
        return Path(cache_dir).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kerazoo"


def _mapped_array(size: int, dtype, cache_dir) -> np.ndarray:
    """Returns zeros in a file without a name, which no kill can leave behind."""
    import tempfile

    import numpy as np

    folder, nbytes = cache_folder(cache_dir), size * dtype.itemsize
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            # A sparse file on a full disk kills the process by a bus error at the first write: reserve the
            # room now.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, nbytes)
            return np.memmap(file, dtype, mode="r+" if hasattr(os, "posix_fallocate") else "w+", shape=(size,))
    except OSError as error:
        raise UserError(
            f"The images need {nbytes / 2**30:.1f} GiB, more than half of the free memory, and cannot be "
            f"kept in the cache folder {str(folder)!r} either ({error.strerror}); free some space or choose "
            "another folder."
        ) from error
