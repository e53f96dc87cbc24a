"""Models that draw, killed in the middle of their training and resumed: everything is as if nothing had happened."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from applications.core.pictures import sheets
from tests import processes
from tests.applications.conftest import save_image

KILLED = Path(__file__).parent / "core" / "killed_training.py"


def pictures(folder: Path, count: int = 60, size: int = 8) -> None:
    """Noise in colour."""
    random = np.random.default_rng(0)
    for number in range(count):
        save_image(folder / f"{number}.png", random.integers(0, 256, (size, size, 3), np.uint8))


def two_domains(folder: Path) -> None:
    pictures(folder / "a", 12, 24)
    pictures(folder / "b", 10, 24)


def captioned(folder: Path) -> None:
    pictures(folder, 60, 16)
    lines = [f"{n}.png,{('one', 'two', 'many')[n % 3]} cells of kind {n // 3}" for n in range(60)]
    (folder / "captions.csv").write_text("\n".join(["file,caption", *lines]) + "\n")


def photographs(folder: Path) -> None:
    pictures(folder, 12, 24)


class Killed(NamedTuple):
    """A training to kill.

    Attributes:
        task: Its application.
        model: Its model.
        data: Writes its images into a folder.
        step: It is killed behind this one, in the second of two epochs.
        kept: What the name of some array in its checkpoints must hold.
        words: Further words of the command line; of options of the model without `--model-options.`.
    """

    task: str
    model: str
    data: Callable[[Path], None]
    step: int
    kept: tuple[str, ...]
    words: tuple[tuple[str, object], ...]


CASES = (
    Killed(
        *("autoencoding", "denoising_autoencoder", pictures, 8, ("seed_generator_state",)),
        (("latent-dim", 16),),
    ),
    Killed(
        *("image-generation", "dcgan", pictures, 8),
        ("picture_conv_kernel_momentum", "down1_conv_kernel_momentum", "seed_generator_state"),
        (("filters", 8), ("--judged", 20)),
    ),
    Killed(
        *("image-generation", "progan", pictures, 8, ("images", "momentum", "seed_generator_state")),
        (("filters", 16), ("stabilize-images", 24), ("fade-images", 24), ("--image-size", 8), ("--judged", 20)),
    ),
    Killed(
        *("image-generation", "ddpm_small", pictures, 8, ("updates", "seed_generator_state")),
        (("filters", 8), ("timesteps", 10), ("attention-sizes", "[]"), ("--judged", 20)),
    ),
    Killed(
        *("image-translation", "cyclegan_small", two_domains, 10, ("images", "filled", "velocity")),
        (
            *(("filters", 4), ("num-blocks", 1), ("discriminator-layers", 1), ("pool-size", 8)),
            *(("--crop-size", 16), ("--batch-size", 4)),
        ),
    ),
    Killed(
        *("super-resolution", "srgan_small", photographs, 6, ("momentum",)),
        (
            *(("filters", 4), ("num-blocks", 1), ("discriminator-filters", 2)),
            *(("--crop-size", 16), ("--batch-size", 4), ("--crops-per-image", 2)),
        ),
    ),
    Killed(
        *("text-to-image", "unclip", captioned, 4, ("updates", "seed_generator_state")),
        (
            *(("image-layers", 1), ("image-dim", 8), ("num-layers", 1), ("hidden-dim", 8), ("embedding-dim", 8)),
            *(("prior-layers", 1), ("prior-dim", 8), ("filters", 8), ("multipliers", "[1, 2]"), ("groups", 4)),
            *(("attention-sizes", "[]"), ("--steps", 2), ("--scored", 6), ("--batch-size", 16)),
        ),
    ),
)


def option(name: str) -> str:
    return name if name.startswith("--") else f"--model-options.{name}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.task}-{case.model}")
def test_a_killed_training_goes_on_exactly(case: Killed, tmp_path: Path) -> None:
    def work(step: int, *words: object) -> int:
        return processes.run(KILLED, step, *words).returncode

    case.data(tmp_path / "data")
    words = (
        *("train", case.task, "--model", case.model, "--data", tmp_path / "data", "--epochs", 2, "--batch-size", 8),
        *(word for name, value in case.words for word in (option(name), value)),
        *("--no-tensorboard", "--deterministic", "--checkpoint-every", 2, "--out", tmp_path, "--name"),
    )
    assert work(-1, *words, "whole") == 0
    assert work(case.step, *words, "killed") == -signal.SIGKILL
    whole, killed = (tmp_path / case.task / name for name in ("whole", "killed"))
    assert list(sheets(killed)) == [1]
    assert work(-1, "resume", killed) == 0
    newest = [sorted((run / "checkpoints").glob("[0-9]*"))[-1] for run in (whole, killed)]
    assert newest[0].name == newest[1].name
    with np.load(newest[0] / "variables.npz") as one, np.load(newest[1] / "variables.npz") as other:
        assert sorted(one.files) == sorted(other.files)
        for part in case.kept:
            assert any(part in name for name in one.files), (part, one.files)
        for name in one.files:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    assert len({path.read_bytes() for path in sheets(whole).values()}) == 2, "each epoch draws something else"
    for epoch, path in sheets(whole).items():
        assert path.read_bytes() == sheets(killed)[epoch].read_bytes(), epoch
    assert (whole / "history.csv").read_bytes() == (killed / "history.csv").read_bytes()
