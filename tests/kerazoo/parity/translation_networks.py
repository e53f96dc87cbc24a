"""The networks of pix2pix, CycleGAN and SRGAN, written a second time in PyTorch from their published layer lists.

`python tests/kerazoo/parity/translation_networks.py` writes `references/translation.npz`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
import seeded  # noqa: E402
from common import fill  # noqa: E402
from torch_segmentation import Named  # noqa: E402

REFERENCES = Path(__file__).parents[1] / "references"
CASES: dict[str, dict[str, Any]] = json.loads((REFERENCES / "translation.json").read_text())


def _normed(net: Named, name: str, width: int, kind: str) -> None:
    net.add_module(name, nn.BatchNorm2d(width) if kind == "batch" else nn.InstanceNorm2d(width))


class UNet(Named):
    """Encoder c64-c128-c256-c512-... and back, kernels of 4 x 4 with stride 2 and one zero at each edge."""

    def __init__(self, channels: int, out: int, filters: int, depth: int, kind: str = "batch") -> None:
        super().__init__()
        self.depth, bias = depth, kind == "instance"
        widths = [channels, *(min(filters * 2**i, filters * 8) for i in range(depth))]
        for i in range(1, depth + 1):
            self.add_module(f"down{i}_conv", nn.Conv2d(widths[i - 1], widths[i], 4, 2, 1, bias=bias))
            if 1 < i < depth:
                _normed(self, f"down{i}_norm", widths[i], kind)
        for i in range(depth - 1, 0, -1):
            width = widths[i + 1] * (1 if i == depth - 1 else 2)
            self.add_module(f"up{i}_conv", nn.ConvTranspose2d(width, widths[i], 4, 2, 1, bias=bias))
            _normed(self, f"up{i}_norm", widths[i], kind)
        self.target = nn.ConvTranspose2d(2 * filters, out, 4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips: list[torch.Tensor] = []
        for i in range(1, self.depth + 1):
            x = self.run(f"down{i}_conv", x if i == 1 else functional.leaky_relu(x, 0.2), False)
            x = getattr(self, f"down{i}_norm")(x) if hasattr(self, f"down{i}_norm") else x
            skips.append(x)
        for i in range(self.depth - 1, 0, -1):
            x = getattr(self, f"up{i}_norm")(getattr(self, f"up{i}_conv")(torch.relu(x)))
            x = torch.cat([skips[i - 1], x], 1)
        return torch.tanh(self.target(torch.relu(x)))


class Patches(Named):
    """C64-C128-C256-C512 and one map of logits, kernels of 4 x 4 with one zero at each edge."""

    def __init__(self, channels: int, filters: int, kind: str) -> None:
        super().__init__()
        widths = [channels, filters, 2 * filters, 4 * filters, 8 * filters]
        for i in range(1, 5):
            bias = i == 1 or kind == "instance"
            self.add_module(f"conv{i}", nn.Conv2d(widths[i - 1], widths[i], 4, 1 if i == 4 else 2, 1, bias=bias))
            if i > 1:
                _normed(self, f"norm{i}", widths[i], kind)
        self.patches = nn.Conv2d(widths[4], 1, 4, 1, 1)

    def forward(self, *images: torch.Tensor) -> torch.Tensor:
        x = torch.cat(images, 1)
        for i in range(1, 5):
            x = getattr(self, f"conv{i}")(x)
            x = functional.leaky_relu(getattr(self, f"norm{i}")(x) if i > 1 else x, 0.2)
        return self.patches(x)


class ResnetGenerator(Named):
    """c7s1-64, d128, d256, R256 ..., u128, u64, c7s1-3, mirrored at the edges of every convolution without stride."""

    def __init__(self, channels: int, out: int, filters: int, num_blocks: int) -> None:
        super().__init__()
        self.num_blocks = num_blocks
        self.stem_conv = nn.Conv2d(channels, filters, 7)
        for i in (1, 2):
            self.add_module(f"down{i}_conv", nn.Conv2d(filters * i, filters * 2**i, 3, 2, 1))
            transposed = nn.ConvTranspose2d(filters * 2 ** (3 - i), filters * 2 ** (2 - i), 3, 2, 1, output_padding=1)
            self.add_module(f"up{i}_conv", transposed)
        for i in range(1, num_blocks + 1):
            for j in (1, 2):
                self.add_module(f"block{i}_conv{j}", nn.Conv2d(4 * filters, 4 * filters, 3))
        self.translated = nn.Conv2d(filters, out, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        norm, mirror = functional.instance_norm, lambda x, n: functional.pad(x, (n, n, n, n), mode="reflect")
        x = torch.relu(norm(self.stem_conv(mirror(x, 3))))
        for i in (1, 2):
            x = torch.relu(norm(getattr(self, f"down{i}_conv")(x)))
        for i in range(1, self.num_blocks + 1):
            y = torch.relu(norm(getattr(self, f"block{i}_conv1")(mirror(x, 1))))
            x = x + norm(getattr(self, f"block{i}_conv2")(mirror(y, 1)))
        for i in (1, 2):
            x = torch.relu(norm(getattr(self, f"up{i}_conv")(x)))
        return torch.tanh(self.translated(mirror(x, 3)))


class SRResNet(Named):
    """k9n64s1, residual blocks, k3n64s1 and a long skip, sub-pixel steps, k9n3s1."""

    def __init__(self, channels: int, out: int, filters: int, num_blocks: int, steps: int) -> None:
        super().__init__()
        self.num_blocks, self.steps = num_blocks, steps
        self.stem_conv, self.stem_out = nn.Conv2d(channels, filters, 9, 1, 4), nn.PReLU(filters)
        for i in range(1, num_blocks + 1):
            for j in (1, 2):
                self.add_module(f"block{i}_conv{j}", nn.Conv2d(filters, filters, 3, 1, 1))
                self.add_module(f"block{i}_bn{j}", nn.BatchNorm2d(filters))
            self.add_module(f"block{i}_prelu", nn.PReLU(filters))
        self.trunk_conv, self.trunk_bn = nn.Conv2d(filters, filters, 3, 1, 1), nn.BatchNorm2d(filters)
        for i in range(1, steps + 1):
            self.add_module(f"up{i}_conv", nn.Conv2d(filters, 4 * filters, 3, 1, 1))
            self.add_module(f"up{i}_out", nn.PReLU(filters))
        self.predictions = nn.Conv2d(filters, out, 9, 1, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = first = self.stem_out(self.stem_conv(x))
        for i in range(1, self.num_blocks + 1):
            y = getattr(self, f"block{i}_bn1")(getattr(self, f"block{i}_conv1")(x))
            y = getattr(self, f"block{i}_conv2")(getattr(self, f"block{i}_prelu")(y))
            x = x + getattr(self, f"block{i}_bn2")(y)
        x = self.trunk_bn(self.trunk_conv(x)) + first
        for i in range(1, self.steps + 1):
            x = getattr(self, f"up{i}_conv")(x)
            # The weights are cut for channels that count place by place; PyTorch counts them channel by channel.
            order = torch.arange(x.shape[1]).reshape(4, -1).T.reshape(-1)
            x = getattr(self, f"up{i}_out")(functional.pixel_shuffle(x[:, order], 2))
        return self.predictions(x)


class Judge(Named):
    """Eight convolutions 3 x 3, every second one with stride 2, then 1024 units and a logit."""

    def __init__(self, channels: int, filters: int, size: tuple[int, int], units: int) -> None:
        super().__init__()
        self.filters, width = filters, channels
        for i, multiple in enumerate((1, 1, 2, 2, 4, 4, 8, 8), start=1):
            self.add_module(f"conv{i}", nn.Conv2d(width, filters * multiple, 3, 1 + (i % 2 == 0), 1))
            width = filters * multiple
            if i > 1:
                self.add_module(f"bn{i}", nn.BatchNorm2d(width))
        height, breadth = (-(-n // 16) for n in size)
        self.fc, self.logit = nn.Linear(width * height * breadth, units), nn.Linear(units, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i in range(1, 9):
            x = getattr(self, f"conv{i}")(x)
            x = functional.leaky_relu(getattr(self, f"bn{i}")(x) if i > 1 else x, 0.2)
        x = x.movedim(1, -1).flatten(1)  # the features of a place stand together
        return self.logit(functional.leaky_relu(self.fc(x), 0.2))


NETWORKS = {
    "pix2pix_batch": lambda: UNet(3, 2, 4, 5),
    "pix2pix_instance": lambda: UNet(3, 2, 4, 4, "instance"),
    "patches_batch": lambda: Patches(5, 4, "batch"),
    "patches_instance": lambda: Patches(2, 4, "instance"),
    "cyclegan": lambda: ResnetGenerator(3, 2, 4, 2),
    "srresnet": lambda: SRResNet(3, 2, 4, 2, 2),
    "srgan_discriminator": lambda: Judge(2, 4, (28, 40), 8),
}


def output(case: str) -> np.ndarray:
    """Returns what a network makes of seeded images with seeded weights, channels last."""
    shapes = CASES[case]["inputs"]
    images = [torch.from_numpy(seeded.image(f"{case}/{name}", (2, *shape))) for name, shape in shapes.items()]
    with torch.no_grad():
        y = fill(NETWORKS[case]())(*(image.movedim(-1, 1) for image in images))
    return y.movedim(1, -1).contiguous().numpy()


if __name__ == "__main__":
    np.savez_compressed(REFERENCES / "translation.npz", **{case: output(case) for case in CASES})
