"""DeepLabV3+ on Xception-65 a second time, in PyTorch, from the layout of the authors' TensorFlow checkpoint."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def resize(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


class Conv(nn.Module):
    """Convolution without bias, batch normalisation, ReLU or not."""

    def __init__(self, name: str, width: int, out: int, kernel: int, stride: int, relu: bool, eps: float) -> None:
        super().__init__()
        self.relu = relu
        self.add_module(name, nn.Conv2d(width, out, kernel, stride, kernel // 2, bias=False))
        self.add_module(f"{name}_bn", nn.BatchNorm2d(out, eps))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.children():
            x = layer(x)
        return torch.relu(x) if self.relu else x


class Separable(nn.Module):
    """Depthwise, then 1 x 1: either ReLU in front, or behind both."""

    def __init__(
        self, name: str, width: int, out: int, stride: int = 1, rate: int = 1, inside: bool = False, eps: float = 1e-3
    ) -> None:
        super().__init__()
        self.inside = inside
        self.add_module(
            f"{name}_depthwise", nn.Conv2d(width, width, 3, stride, rate, dilation=rate, groups=width, bias=False)
        )
        self.add_module(f"{name}_depthwise_bn", nn.BatchNorm2d(width, eps))
        self.pointwise = Conv(f"{name}_pointwise", width, out, 1, 1, inside, eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        depthwise, norm, pointwise = self.children()
        x = norm(depthwise(x if self.inside else torch.relu(x)))
        return pointwise(torch.relu(x) if self.inside else x)


class Block(nn.Module):
    """Three separable convolutions and a shortcut; keeps the second one's output."""

    def __init__(self, name: str, width: int, widths: list[int], stride: int, rate: int, project: bool) -> None:
        super().__init__()
        ins = [width, *widths[:2]]
        self.parts = nn.ModuleList(
            Separable(f"{name}_sep{i + 1}", ins[i], widths[i], stride if i == 2 else 1, rate) for i in range(3)
        )
        self.shortcut = Conv(f"{name}_shortcut", width, widths[2], 1, stride, False, 1e-3) if project else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.second = self.parts[1](self.parts[0](x))
        return self.parts[2](self.second) + self.shortcut(x)


class DeepLabV3Plus(nn.Module):
    def __init__(self, classes: int, filters: int, divisor: int, middle: int, output_stride: int) -> None:
        super().__init__()

        def wide(*widths: int) -> list[int]:
            return [width // divisor for width in widths]

        stride, middle_rate, exit_rates = {16: (2, 1, (1, 2)), 8: (1, 2, (2, 4))}[output_stride]
        rates = (6, 12, 18) if output_stride == 16 else (12, 24, 36)
        a, b, c, d, e, f, g, h = wide(32, 64, 128, 256, 728, 1024, 1536, 2048)
        self.stem = nn.Sequential(
            Conv("stem_conv1", 3, a, 3, 2, True, 1e-3), Conv("stem_conv2", a, b, 3, 1, True, 1e-3)
        )
        self.entry1 = Block("entry1", b, [c] * 3, 2, 1, True)
        self.entry2 = Block("entry2", c, [d] * 3, 2, 1, True)
        self.entry3 = Block("entry3", d, [e] * 3, stride, 1, True)
        self.middle = nn.Sequential(
            *(Block(f"middle{i}", e, [e] * 3, 1, middle_rate, False) for i in range(1, middle + 1))
        )
        self.exit1 = Block("exit1", e, [e, f, f], 1, exit_rates[0], True)
        self.exit2 = nn.Sequential(
            *(
                Separable(f"exit2_sep{i}", width, out, 1, exit_rates[1], True)
                for i, (width, out) in enumerate([(f, g), (g, g), (g, h)], start=1)
            )
        )
        head = {"stride": 1, "relu": True, "eps": 1e-5}
        self.pool = Conv("aspp_pool", h, filters, 1, **head)
        self.branches = nn.ModuleList(
            [
                Conv("aspp_conv", h, filters, 1, **head),
                *(Separable(f"aspp_sep{i}", h, filters, 1, rate, True, 1e-5) for i, rate in enumerate(rates, start=1)),
            ]
        )
        self.project = Conv("aspp_project", 5 * filters, filters, 1, **head)
        self.low = Conv("decoder_low", d, 48, 1, **head)
        self.decoder = nn.Sequential(
            Separable("decoder_sep1", filters + 48, filters, 1, 1, True, 1e-5),
            Separable("decoder_sep2", filters, filters, 1, 1, True, 1e-5),
        )
        self.predictions = nn.Conv2d(filters, classes, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.entry2(self.entry1(self.stem(image)))
        low = self.entry2.second
        x = self.exit2(self.exit1(self.middle(self.entry3(x))))
        mean = self.pool(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        x = self.project(torch.cat([mean, *(branch(x) for branch in self.branches)], dim=1))
        x = self.decoder(torch.cat([resize(x, low), self.low(low)], dim=1))
        return resize(self.predictions(x), image)


SMALL = {"filters": 8, "width_multiplier": 0.125, "middle_blocks": 2}
CASES = {
    # name: (builder, its arguments, image size, PyTorch's version)
    f"deeplab_stride{stride}": (
        "deeplab_v3_plus",
        {**SMALL, "output_stride": stride},
        (32, 48, 3),
        lambda stride=stride: DeepLabV3Plus(10, 8, 8, 2, stride),
    )
    for stride in (16, 8)
}
"""Every case has ten classes and logits as its output."""
