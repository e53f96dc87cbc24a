"""Pre-activation residual networks written a second time, in PyTorch: from the paper, with timm's stem and strides."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Unit(nn.Module):
    """The residual of figure 4 (e), after the pre-activation that the shortcut may share."""

    def __init__(self, name: str, width: int, filters: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        self.name = name
        inner = filters // 4 if bottleneck else filters
        plan = [(width, inner, 3, stride), (inner, filters, 3, 1)]
        if bottleneck:
            plan = [(width, inner, 1, 1), (inner, inner, 3, stride), (inner, filters, 1, 1)]
        self.count = len(plan)
        for index, (into, out, kernel, step) in enumerate(plan, start=1):
            if index > 1:
                self.add_module(f"bn{index}", nn.BatchNorm2d(into))
            self.add_module(f"conv{index}", nn.Conv2d(into, out, kernel, step, kernel // 2, bias=False))
        self.projects = stride > 1 or width != filters
        if self.projects:
            self.shortcut_conv = nn.Conv2d(width, filters, 1, stride, bias=False)

    def forward(self, x: torch.Tensor, activated: torch.Tensor) -> torch.Tensor:
        y = activated
        for index in range(1, self.count + 1):
            if index > 1:
                y = torch.relu(getattr(self, f"bn{index}")(y))
            y = getattr(self, f"conv{index}")(y)
        return y + (self.shortcut_conv(activated) if self.projects else x)


class ResNetV2(nn.Module):
    """Stem without normalisation, four stages, normalisation and ReLU at the end of each."""

    def __init__(self, repeats: list[int], bottleneck: bool, classes: int = 10) -> None:
        super().__init__()
        self.stem_conv = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.units, self.norms = nn.ModuleList(), []
        width = 64
        for stage, count in enumerate(repeats, start=1):
            filters = 64 * 2 ** (stage - 1) * (4 if bottleneck else 1)
            for index in range(1, count + 1):
                first = stage > 1 and index == 1
                norm = f"stage{stage - 1}_bn" if first else f"stage{stage}_block{index}_bn1"
                self.add_module(norm, nn.BatchNorm2d(width))
                self.norms.append(norm)
                self.units.append(Unit(f"stage{stage}_block{index}", width, filters, 2 if first else 1, bottleneck))
                width = filters
        self.stage4_bn = nn.BatchNorm2d(width)
        self.predictions = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(self.stem_conv(x), 3, 2, 1)
        for norm, unit in zip(self.norms, self.units, strict=True):
            x = unit(x, torch.relu(getattr(self, norm)(x)))
        return self.predictions(torch.relu(self.stage4_bn(x)).mean((2, 3)))


CASES = {
    # name: (builder, its arguments, image size, PyTorch's version)
    "resnet18_v2": ("resnet18_v2", {}, (64, 81, 3), lambda: ResNetV2([2, 2, 2, 2], False)),
    "resnet50_v2": ("resnet50_v2", {}, (64, 81, 3), lambda: ResNetV2([3, 4, 6, 3], True)),
}
"""Every case has ten classes and logits as its output."""
