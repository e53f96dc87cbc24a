"""The networks written a second time, in PyTorch, for comparison: from the papers."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Basic(nn.Module):
    """Two 3 x 3 convolutions and a shortcut: projection, or subsampling with zero channels."""

    def __init__(self, name: str, width: int, filters: int, stride: int, zeros: tuple[int, int] | None) -> None:
        super().__init__()
        self.name, self.stride, self.zeros = name, stride, zeros
        self.conv1 = nn.Conv2d(width, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        if stride > 1 and zeros is None:
            self.shortcut_conv = nn.Conv2d(width, filters, 1, stride, bias=False)
            self.shortcut_bn = nn.BatchNorm2d(filters)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1 and self.zeros is None:
            x = self.shortcut_bn(self.shortcut_conv(x))
        elif self.stride > 1:
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, *self.zeros))
        return torch.relu(x + y)


class ResNet(nn.Module):
    """Stem, stages of basic blocks, global average, linear layer."""

    def __init__(self, widths: list[int], repeats: int, imagenet: bool, zeros: str | None, classes: int) -> None:
        super().__init__()
        self.imagenet = imagenet
        self.stem_conv = nn.Conv2d(
            3, widths[0], 7 if imagenet else 3, 2 if imagenet else 1, 3 if imagenet else 1, bias=False
        )
        self.stem_bn = nn.BatchNorm2d(widths[0])
        self.blocks = nn.ModuleList()
        width = widths[0]
        for stage, filters in enumerate(widths, start=1):
            for index in range(1, repeats + 1):
                stride = 2 if stage > 1 and index == 1 else 1
                missing = filters - width
                around = {"end": (0, missing), "both": (missing // 2, missing - missing // 2), None: None}[zeros]
                self.blocks.append(Basic(f"stage{stage}_block{index}", width, filters, stride, around))
                width = filters
        self.predictions = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem_bn(self.stem_conv(x)))
        if self.imagenet:
            x = functional.max_pool2d(x, 3, 2, 1)
        for block in self.blocks:
            x = block(x)
        return self.predictions(x.mean((2, 3)))


class UNet(nn.Module):
    """The figure of the paper, with or without padding, with or without batch normalisation."""

    def __init__(self, channels: int, classes: int, filters: int, depth: int, padding: int, norm: bool) -> None:
        super().__init__()
        self.depth, self.padding, self.norm = depth, padding, norm
        width = channels
        for level in range(1, depth + 2):
            self._pair(f"stage{level}", width, filters * 2 ** (level - 1))
            width = filters * 2 ** (level - 1)
        for level in range(depth, 0, -1):
            out = filters * 2 ** (level - 1)
            self.add_module(f"decoder{level}_up", nn.ConvTranspose2d(2 * out, out, 2, 2))
            self._pair(f"decoder{level}", 2 * out, out)
        self.predictions = nn.Conv2d(filters, classes, 1)

    def _pair(self, name: str, width: int, out: int) -> None:
        for index, channels in ((1, width), (2, out)):
            self.add_module(f"{name}_conv{index}", nn.Conv2d(channels, out, 3, padding=self.padding))
            if self.norm:
                self.add_module(f"{name}_bn{index}", nn.BatchNorm2d(out))

    def _run(self, name: str, x: torch.Tensor) -> torch.Tensor:
        for index in (1, 2):
            x = getattr(self, f"{name}_conv{index}")(x)
            x = torch.relu(getattr(self, f"{name}_bn{index}")(x) if self.norm else x)
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for level in range(1, self.depth + 1):
            x = self._run(f"stage{level}", x)
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        x = self._run(f"stage{self.depth + 1}", x)
        for level in range(self.depth, 0, -1):
            x, skip = getattr(self, f"decoder{level}_up")(x), skips.pop()
            top, left = ((skip.shape[axis] - x.shape[axis]) // 2 for axis in (2, 3))
            skip = skip[:, :, top : top + x.shape[2], left : left + x.shape[3]]
            x = self._run(f"decoder{level}", torch.cat([skip, x], dim=1))
        return self.predictions(x)


CASES = {
    # name: (builder, its arguments, image size, PyTorch's version)
    "resnet18": ("resnet18", {}, (64, 80, 3), lambda: ResNet([64, 128, 256, 512], 2, True, None, 10)),
    "resnet20_A_end": ("resnet20", {}, (32, 32, 3), lambda: ResNet([16, 32, 64], 3, False, "end", 10)),
    "resnet20_A_both": (
        "resnet20",
        {"pad": "both"},
        (32, 32, 3),
        lambda: ResNet([16, 32, 64], 3, False, "both", 10),
    ),
    "resnet20_B": (
        "resnet20",
        {"shortcut": "B"},
        (32, 32, 3),
        lambda: ResNet([16, 32, 64], 3, False, None, 10),
    ),
    "unet_same": ("unet", {"filters": 8}, (16, 32, 1), lambda: UNet(1, 10, 8, 4, 1, False)),
    "unet_batch": (
        "unet",
        {"filters": 8, "normalization": "batch"},
        (16, 32, 3),
        lambda: UNet(3, 10, 8, 4, 1, True),
    ),
    "unet_valid": (
        "unet",
        {"filters": 8, "padding": "valid"},
        (188, 204, 1),
        lambda: UNet(1, 10, 8, 4, 0, False),
    ),
}
"""Every case has ten classes and logits as its output."""
