"""Memory and time of images that are predicted in windows.

usage: python -m benchmarks.tiling [--models care noise2void ...] [--size 4096] [--tile-size PIXELS]

Every model predicts one image of `--size` squared pixels in a process of its own, from a file into a file, and the
largest resident memory of that process is what counts. The figures go to `benchmarks/results/tiling.json`, one row per
model.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "results" / "tiling.json"


class OnDisk:
    """An array in a file that is opened for every window, so that what was written does not count as memory."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        import numpy as np

        self.path, self.shape, self.dtype = path, shape, np.dtype("float32")
        self._open("w+")

    def _open(self, mode: str) -> Any:
        import numpy as np

        return np.memmap(self.path, self.dtype, mode, shape=self.shape)

    def __getitem__(self, key: Any) -> Any:
        return self._open("r")[key].copy()

    def __setitem__(self, key: Any, value: Any) -> None:
        array = self._open("r+")
        array[key] = value
        array.flush()


def one(name: str, size: int, tile_size: int | None) -> dict[str, Any]:
    """Predicts one image in this process, in windows of its own choice or of `tile_size`, and returns its figures."""
    import numpy as np

    import kerazoo

    channels = kerazoo.model_card(name).input_shape[-1]
    model = kerazoo.create_model(name, (None, None, channels), channels)
    scale = model.compute_output_shape((1, 64, 64, channels))[1] // 64
    with tempfile.TemporaryDirectory() as folder:
        image = OnDisk(Path(folder, "in.raw"), (size, size, channels))
        random = np.random.default_rng(0)
        for row in range(0, size, 256):
            image[row : row + 256] = random.uniform(0, 1, (min(256, size - row), size, channels))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        output = OnDisk(Path(folder, "out.raw"), (scale * size, scale * size, channels))
        begin, used = time.perf_counter(), time.process_time()
        kerazoo.predict_tiled(model, image, tile_size=tile_size, output=output)
        seconds, used = time.perf_counter() - begin, time.process_time() - used
        written = bool(np.ptp(output[-64:, -64:]) > 0)
    return {
        "model": name,
        "size": size,
        "channels": channels,
        "output_size": scale * size,
        "tile_size": tile_size,
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "mib_before_prediction": round(before, 1),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used, 1),
        "load": round(os.getloadavg()[0], 1),
        "written": written,
    }


def main() -> None:
    import kerazoo

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=kerazoo.list_models(kind="image_to_image"))
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--tile-size", type=int)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(one(options.models[0], options.size, options.tile_size)))
        return
    for name in options.models:
        words = ["--models", name, "--size", str(options.size), "--here"]
        words += ["--tile-size", str(options.tile_size)] if options.tile_size else []
        answer = subprocess.run(
            [sys.executable, "-m", "benchmarks.tiling", *words], check=True, stdout=subprocess.PIPE, text=True
        )
        row = json.loads(answer.stdout.splitlines()[-1])
        known = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else []
        rows = [other for other in known if (other["model"], other["size"]) != (name, options.size)]
        FILE.write_text(json.dumps([*rows, row], indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {row['peak_mib']:.0f} MiB at most, {row['seconds']:.0f} s ({row['cpu_seconds']:.0f} s of CPU)")


if __name__ == "__main__":
    main()
