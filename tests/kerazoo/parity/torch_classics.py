"""The classifiers from AlexNet to DenseNet a second time, in PyTorch: from the papers and the authors' Caffe layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional


class Bare(nn.Module):
    """Sub-modules by the names of the Keras layers, made where the network is written down."""

    def conv(
        self, name: str, width: int, out: int, kernel: int, stride: int = 1, pad: int = 0, groups: int = 1
    ) -> None:
        self.add_module(name, nn.Conv2d(width, out, kernel, stride, pad, groups=groups))

    def run(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(getattr(self, name)(x))


def flat(x: torch.Tensor) -> torch.Tensor:
    """Flattens a map in the order of Keras: rows, columns, channels."""
    return x.permute(0, 2, 3, 1).flatten(1)


class Dense(Bare):
    """Convolutions, then fully connected layers: AlexNet in both forms and ZFNet."""

    def __init__(self, convs: list[tuple], features: int, ceil: bool, norm: str | None) -> None:
        super().__init__()
        for index, row in enumerate(convs, start=1):
            self.conv(f"conv{index}", *row)
        self.fc1, self.fc2, self.predictions = nn.Linear(features, 64), nn.Linear(64, 48), nn.Linear(48, 10)
        self.ceil, self.norm = ceil, norm
        self.response = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)  # PyTorch divides alpha by 5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for index in range(1, 6):
            x = self.run(f"conv{index}", x)
            if index in (1, 2) and self.norm == "before":
                x = self.response(x)
            if index in (1, 2, 5):
                x = functional.max_pool2d(x, 3, 2, ceil_mode=self.ceil and index < 5)
            if index in (1, 2) and self.norm == "after":
                x = self.response(x)
        return self.predictions(self.run("fc2", self.run("fc1", flat(x))))


ALEXNET = [
    (3, 96, 11, 4),
    (96, 256, 5, 1, 2, 2),
    (256, 384, 3, 1, 1),
    (384, 384, 3, 1, 1, 2),
    (384, 256, 3, 1, 1, 2),
]
ONE_TOWER = [(3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1), (384, 256, 3, 1, 1), (256, 256, 3, 1, 1)]
ZFNET = [(3, 96, 7, 2, 1), (96, 256, 5, 2), (256, 384, 3, 1, 1), (384, 384, 3, 1, 1), (384, 256, 3, 1, 1)]


class VGG(Bare):
    """Stages of 3 x 3 convolutions."""

    def __init__(self, repeats: tuple[int, ...], norm: bool) -> None:
        super().__init__()
        self.repeats, self.norm, width = repeats, norm, 3
        for stage, (out, count) in enumerate(zip((64, 128, 256, 512, 512), repeats, strict=True), start=1):
            for index in range(1, count + 1):
                self.conv(f"stage{stage}_conv{index}", width, out, 3, 1, 1)
                if norm:
                    self.add_module(f"stage{stage}_bn{index}", nn.BatchNorm2d(out))
                width = out
        self.fc1, self.fc2, self.predictions = nn.Linear(512, 64), nn.Linear(64, 48), nn.Linear(48, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for stage, count in enumerate(self.repeats, start=1):
            for index in range(1, count + 1):
                x = getattr(self, f"stage{stage}_conv{index}")(x)
                x = torch.relu(getattr(self, f"stage{stage}_bn{index}")(x) if self.norm else x)
            x = functional.max_pool2d(x, 2)
        return self.predictions(self.run("fc2", self.run("fc1", flat(x))))


class GoogLeNet(Bare):
    """bvlc_googlenet, layer by layer, with the two heads in the middle."""

    WIDTHS = {
        "3a": (192, 64, 96, 128, 16, 32, 32),
        "3b": (256, 128, 128, 192, 32, 96, 64),
        "4a": (480, 192, 96, 208, 16, 48, 64),
        "4b": (512, 160, 112, 224, 24, 64, 64),
        "4c": (512, 128, 128, 256, 24, 64, 64),
        "4d": (512, 112, 144, 288, 32, 64, 64),
        "4e": (528, 256, 160, 320, 32, 128, 128),
        "5a": (832, 256, 160, 320, 32, 128, 128),
        "5b": (832, 384, 192, 384, 48, 128, 128),
    }

    def __init__(self) -> None:
        super().__init__()
        self.conv("conv1", 3, 64, 7, 2, 3)
        self.conv("conv2_reduce", 64, 64, 1)
        self.conv("conv2", 64, 192, 3, 1, 1)
        for key, (width, one, reduce3, three, reduce5, five, project) in self.WIDTHS.items():
            prefix = f"inception{key}"
            self.conv(f"{prefix}_1x1", width, one, 1)
            self.conv(f"{prefix}_3x3_reduce", width, reduce3, 1)
            self.conv(f"{prefix}_3x3", reduce3, three, 3, 1, 1)
            self.conv(f"{prefix}_5x5_reduce", width, reduce5, 1)
            self.conv(f"{prefix}_5x5", reduce5, five, 5, 1, 2)
            self.conv(f"{prefix}_pool_proj", width, project, 1)
        for head, width in (("aux1", 512), ("aux2", 528)):
            self.conv(f"{head}_conv", width, 128, 1)
            self.add_module(f"{head}_fc", nn.Linear(128, 1024))
            self.add_module(head, nn.Linear(1024, 10))
        self.predictions = nn.Linear(1024, 10)
        self.response = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)

    def _inception(self, x: torch.Tensor, prefix: str) -> torch.Tensor:
        branches = [
            self.run(f"{prefix}_1x1", x),
            self.run(f"{prefix}_3x3", self.run(f"{prefix}_3x3_reduce", x)),
            self.run(f"{prefix}_5x5", self.run(f"{prefix}_5x5_reduce", x)),
            self.run(f"{prefix}_pool_proj", functional.max_pool2d(x, 3, 1, 1)),
        ]
        return torch.cat(branches, 1)

    def _auxiliary(self, x: torch.Tensor, head: str) -> torch.Tensor:
        x = flat(self.run(f"{head}_conv", functional.avg_pool2d(x, 5, 3)))
        return getattr(self, head)(self.run(f"{head}_fc", x))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.response(functional.max_pool2d(self.run("conv1", x), 3, 2, ceil_mode=True))
        x = self.response(self.run("conv2", self.run("conv2_reduce", x)))
        x, outputs = functional.max_pool2d(x, 3, 2, ceil_mode=True), {}
        for key in self.WIDTHS:
            x = self._inception(x, f"inception{key}")
            if key in ("4a", "4d"):
                head = "aux1" if key == "4a" else "aux2"
                outputs[head] = self._auxiliary(x, head)
            if key in ("3b", "4e"):
                x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
        return {"predictions": self.predictions(x.mean((2, 3))), **outputs}


class SqueezeNet(Bare):
    """Fire modules, poolings that round up, a convolution with one map per class."""

    def __init__(self, stem: tuple[int, int], pools: tuple[int, int]) -> None:
        super().__init__()
        self.pools, width = pools, stem[0]
        self.conv("conv1", 3, *stem, 2)
        for index, squeeze in enumerate((16, 16, 32, 32, 48, 48, 64, 64), start=2):
            self.conv(f"fire{index}_squeeze", width, squeeze, 1)
            self.conv(f"fire{index}_expand1x1", squeeze, 4 * squeeze, 1)
            self.conv(f"fire{index}_expand3x3", squeeze, 4 * squeeze, 3, 1, 1)
            width = 8 * squeeze
        self.conv("conv10", width, 10, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(self.run("conv1", x), 3, 2, ceil_mode=True)
        for index in range(2, 10):
            x = self.run(f"fire{index}_squeeze", x)
            x = torch.cat([self.run(f"fire{index}_expand{kernel}", x) for kernel in ("1x1", "3x3")], 1)
            if index in self.pools:
                x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
        return self.run("conv10", x).mean((2, 3))


class CifarDenseNet(nn.Module):
    """Three dense blocks, with or without bottlenecks and compression."""

    def __init__(self, repeats: int, growth: int, bottleneck: bool) -> None:
        super().__init__()
        self.repeats, self.bottleneck = repeats, bottleneck
        width = 2 * growth if bottleneck else 16
        self.stem_conv = nn.Conv2d(3, width, 3, padding=1, bias=False)
        for stage in (1, 2, 3):
            for index in range(1, repeats + 1):
                prefix = f"stage{stage}_layer{index}"
                if bottleneck:
                    self._unit(f"{prefix}_bn1", f"{prefix}_conv1", width, 4 * growth, 1)
                last = 2 if bottleneck else 1
                self._unit(f"{prefix}_bn{last}", f"{prefix}_conv{last}", 4 * growth if bottleneck else width, growth, 3)
                width += growth
            if stage < 3:
                kept = width // 2 if bottleneck else width
                self._unit(f"transition{stage}_bn", f"transition{stage}_conv", width, kept, 1)
                width = kept
        self.stage3_bn = nn.BatchNorm2d(width)
        self.predictions = nn.Linear(width, 10)

    def _unit(self, norm: str, conv: str, width: int, out: int, kernel: int) -> None:
        self.add_module(norm, nn.BatchNorm2d(width))
        self.add_module(conv, nn.Conv2d(width, out, kernel, padding=kernel // 2, bias=False))

    def _run(self, norm: str, conv: str, x: torch.Tensor) -> torch.Tensor:
        return getattr(self, conv)(torch.relu(getattr(self, norm)(x)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem_conv(x)
        for stage in (1, 2, 3):
            for index in range(1, self.repeats + 1):
                prefix, y = f"stage{stage}_layer{index}", x
                for part in (1, 2) if self.bottleneck else (1,):
                    y = self._run(f"{prefix}_bn{part}", f"{prefix}_conv{part}", y)
                x = torch.cat([x, y], 1)
            if stage < 3:
                x = functional.avg_pool2d(self._run(f"transition{stage}_bn", f"transition{stage}_conv", x), 2)
        return self.predictions(torch.relu(self.stage3_bn(x)).mean((2, 3)))


SMALL: dict[str, Any] = {"hidden_units": (64, 48)}
CASES = {
    # name: (builder, its arguments, image size, PyTorch's version)
    "alexnet": ("alexnet", SMALL, (99, 67, 3), lambda: Dense(ALEXNET, 2 * 256, False, "before")),
    "alexnet_one_tower": (
        "alexnet",
        {"variant": "one_tower", **SMALL},
        (95, 63, 3),
        lambda: Dense(ONE_TOWER, 2 * 256, False, None),
    ),
    "zfnet": ("zfnet", SMALL, (64, 101, 3), lambda: Dense(ZFNET, 2 * 256, True, "after")),
    "vgg11": ("vgg11", SMALL, (33, 32, 3), lambda: VGG((1, 1, 2, 2, 2), False)),
    "vgg13_batch": ("vgg13", {"normalization": "batch", **SMALL}, (32, 35, 3), lambda: VGG((2, 2, 2, 2, 2), True)),
    "googlenet": ("googlenet", {"auxiliary_heads": True}, (80, 83, 3), GoogLeNet),
    "squeezenet1_0": ("squeezenet1_0", {}, (47, 56, 3), lambda: SqueezeNet((96, 7), (4, 8))),
    "squeezenet1_1": ("squeezenet1_1", {}, (47, 56, 3), lambda: SqueezeNet((64, 3), (3, 5))),
    "densenet_cifar_bc": (
        "densenet_cifar",
        {"depth": 22, "growth_rate": 8},
        (18, 21, 3),
        lambda: CifarDenseNet(3, 8, True),
    ),
    "densenet_cifar_basic": (
        "densenet_cifar",
        {"depth": 13, "growth_rate": 8, "variant": "basic"},
        (18, 21, 3),
        lambda: CifarDenseNet(3, 8, False),
    ),
}
"""Every case has ten classes and logits as its output."""
