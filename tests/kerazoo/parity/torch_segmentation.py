"""The networks that label pixels, written a second time in PyTorch from their authors' definitions."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

VGG16 = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))


class Named(nn.Module):
    """A network whose layers are added and called by name; `dims` is 2 for images and 3 for volumes."""

    dims = 2

    def conv(
        self, name: str, width: int, out: int, kernel: int | tuple[int, int], norm: bool = False, **options
    ) -> int:
        self.add_module(name, (nn.Conv2d if self.dims == 2 else nn.Conv3d)(width, out, kernel, **options))
        if norm:
            self.norm(name.replace("conv", "bn") if "conv" in name else f"{name}_bn", out)
        return out

    def norm(self, name: str, width: int, **options) -> None:
        self.add_module(name, (nn.BatchNorm2d if self.dims == 2 else nn.BatchNorm3d)(width, **options))

    def run(self, name: str, x: torch.Tensor, relu: bool = True) -> torch.Tensor:
        x = getattr(self, name)(x)
        norm = name.replace("conv", "bn") if "conv" in name and "deconv" not in name else f"{name}_bn"
        if norm != name and hasattr(self, norm):
            x = getattr(self, norm)(x)
        return torch.relu(x) if relu else x

    def stack(self, prefix: str, width: int, widths: list[int], norm: bool, padding: int = 1) -> int:
        for index, out in enumerate(widths, start=1):
            width = self.conv(f"{prefix}_conv{index}", width, out, 3, norm, padding=padding)
        return width

    def run_stack(self, prefix: str, x: torch.Tensor) -> torch.Tensor:
        index = 1
        while hasattr(self, f"{prefix}_conv{index}"):
            x = self.run(f"{prefix}_conv{index}", x)
            index += 1
        return x


def crop(x: torch.Tensor, like: torch.Tensor, offset: int = 0) -> torch.Tensor:
    return x[:, :, offset : offset + like.shape[2], offset : offset + like.shape[3]]


class FCN8s(Named):
    """voc-fcn8s: the image padded by 100, poolings that round up, crops at 5, 9 and 31."""

    def __init__(self, channels: int, classes: int, filters: int, bottleneck: int) -> None:
        super().__init__()
        width = channels
        for stage, (multiple, count) in enumerate(VGG16, start=1):
            width = self.stack(f"stage{stage}", width, [filters * multiple] * count, False)
        self.stage1_conv1.padding = (100, 100)
        self.conv("fc6", width, bottleneck, 7)
        self.conv("fc7", bottleneck, bottleneck, 1)
        self.conv("score_fr", bottleneck, classes, 1)
        self.conv("score_pool4", filters * 8, classes, 1)
        self.conv("score_pool3", filters * 4, classes, 1)
        for name, factor in (("up4", 2), ("up3", 2), ("predictions", 8)):
            self.add_module(name, nn.ConvTranspose2d(classes, classes, 2 * factor, factor, bias=False))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        pools, x = {}, image
        for stage in range(1, 6):
            x = pools[stage] = functional.max_pool2d(self.run_stack(f"stage{stage}", x), 2, ceil_mode=True)
        x = self.score_fr(self.run("fc7", self.run("fc6", x)))
        x = self.up4(x)
        x = self.up3(x + crop(self.score_pool4(pools[4]), x, 5))
        x = self.predictions(x + crop(self.score_pool3(pools[3]), x, 9))
        return crop(x, image, 31)


class SegNet(Named):
    """The CamVid network: 13 + 13 convolutions around poolings with indices, which round up."""

    def __init__(self, channels: int, classes: int, filters: int) -> None:
        super().__init__()
        width = channels
        for stage, (multiple, count) in enumerate(VGG16, start=1):
            width = self.stack(f"stage{stage}", width, [filters * multiple] * count, True)
        for stage in range(5, 0, -1):
            multiple, count = VGG16[stage - 1]
            widths = [filters * multiple] * (count - 1) + ([filters * VGG16[stage - 2][0]] if stage > 1 else [])
            width = self.stack(f"decoder{stage}", width, widths, True)
        self.conv("predictions", width, classes, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        indices, sizes = {}, {}
        for stage in range(1, 6):
            x = self.run_stack(f"stage{stage}", x)
            sizes[stage] = x.shape[2:]
            x, indices[stage] = functional.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
        for stage in range(5, 0, -1):
            x = functional.max_unpool2d(x, indices[stage], 2, output_size=sizes[stage])
            x = self.run_stack(f"decoder{stage}", x)
        return self.predictions(x)


class DeconvNet(Named):
    """The released network, with batch normalisation behind every convolution but the last."""

    def __init__(self, channels: int, classes: int, filters: int, bottleneck: int, window: tuple[int, int]) -> None:
        super().__init__()
        width = channels
        for stage, (multiple, count) in enumerate(VGG16, start=1):
            width = self.stack(f"stage{stage}", width, [filters * multiple] * count, True)
        self.conv("fc6", width, bottleneck, window, True)
        self.conv("fc7", bottleneck, bottleneck, 1, True)
        self._deconv("fc6_deconv", bottleneck, width, window, 0)
        for stage in range(5, 0, -1):
            multiple, count = VGG16[stage - 1]
            last = filters * VGG16[max(stage - 2, 0)][0]
            for index, out in enumerate([filters * multiple] * (count - 1) + [last], start=1):
                width = self._deconv(f"deconv{stage}_{index}", width, out, 3, 1)
        self.conv("predictions", width, classes, 1)

    def _deconv(self, name: str, width: int, out: int, kernel: int | tuple[int, int], padding: int) -> int:
        self.add_module(name, nn.ConvTranspose2d(width, out, kernel, 1, padding))
        self.norm(f"{name}_bn", out)
        return out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        indices = {}
        for stage in range(1, 6):
            x, indices[stage] = functional.max_pool2d(self.run_stack(f"stage{stage}", x), 2, return_indices=True)
        for name in ("fc6", "fc7", "fc6_deconv"):
            x = self.run(name, x)
        for stage in range(5, 0, -1):
            x = functional.max_unpool2d(x, indices[stage], 2)
            for index in range(1, VGG16[stage - 1][1] + 1):
                x = self.run(f"deconv{stage}_{index}", x)
        return self.predictions(x)


class AttentionUNet(Named):
    """The two-dimensional form: nearest up-sampling and convolution, a gate of 1 x 1 convolutions at every level."""

    def __init__(self, channels: int, classes: int, filters: int, depth: int) -> None:
        super().__init__()
        self.depth, width = depth, channels
        for level in range(1, depth + 2):
            width = self.stack(f"stage{level}", width, [filters * 2 ** (level - 1)] * 2, True)
        for level in range(depth, 0, -1):
            prefix, out = f"decoder{level}", filters * 2 ** (level - 1)
            self.stack(f"{prefix}_up", width, [out], True)
            for letter in "xg":
                self.conv(f"{prefix}_gate_{letter}", out, out // 2, 1, True)
            self.conv(f"{prefix}_gate_psi", out // 2, 1, 1, True)
            width = self.stack(prefix, 2 * out, [out, out], True)
        self.conv("predictions", width, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for level in range(1, self.depth + 1):
            skips.append(self.run_stack(f"stage{level}", x))
            x = functional.max_pool2d(skips[-1], 2)
        x = self.run_stack(f"stage{self.depth + 1}", x)
        for level in range(self.depth, 0, -1):
            gate, skip = f"decoder{level}_gate", skips.pop()
            x = self.run_stack(f"decoder{level}_up", functional.interpolate(x, scale_factor=2))
            query = torch.relu(self.run(f"{gate}_x", skip, False) + self.run(f"{gate}_g", x, False))
            skip = skip * torch.sigmoid(self.run(f"{gate}_psi", query, False))
            x = self.run_stack(f"decoder{level}", torch.cat([skip, x], dim=1))
        return self.predictions(x)


class UNetPlusPlus(Named):
    """The authors' node: two convolutions (dropout does nothing here); the up-sampled node comes first."""

    def __init__(self, channels: int, classes: int, filters: int, depth: int, norm: bool) -> None:
        super().__init__()
        self.depth, width = depth, channels
        for level in range(depth + 1):
            width = self._unit(f"stage{level + 1}", width, filters * 2**level, norm)
        for column in range(1, depth + 1):
            for level in range(depth + 1 - column):
                out, name = filters * 2**level, f"node{level}_{column}"
                self.add_module(f"{name}_up", nn.ConvTranspose2d(2 * out, out, 2, 2))
                self._unit(name, out * (column + 1), out, norm)
        self.conv("predictions", filters, classes, 1)

    def _unit(self, name: str, width: int, out: int, norm: bool) -> int:
        self.stack(f"{name}_1", width, [out], norm)
        return self.stack(f"{name}_2", out, [out], norm)

    def _run_unit(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return self.run_stack(f"{name}_2", self.run_stack(f"{name}_1", x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        nodes = {}
        for level in range(self.depth + 1):
            nodes[level, 0] = self._run_unit(f"stage{level + 1}", x)
            x = functional.max_pool2d(nodes[level, 0], 2) if level < self.depth else x
        for column in range(1, self.depth + 1):
            for level in range(self.depth + 1 - column):
                name = f"node{level}_{column}"
                up = getattr(self, f"{name}_up")(nodes[level + 1, column - 1])
                joined = torch.cat([up, *(nodes[level, earlier] for earlier in range(column))], dim=1)
                nodes[level, column] = self._run_unit(name, joined)
        return self.predictions(nodes[0, self.depth])


class ResUNet(Named):
    """Pre-activated units with projections, strides for poolings, nearest up-sampling."""

    def __init__(self, channels: int, classes: int, filters: int, depth: int) -> None:
        super().__init__()
        self.depth, width = depth, channels
        for level in range(1, depth + 2):
            width = self._unit(f"stage{level}", width, filters * 2 ** (level - 1), 1 if level == 1 else 2)
        for level in range(depth, 0, -1):
            out = filters * 2 ** (level - 1)
            width = self._unit(f"decoder{level}", width + out, out, 1)
        self.conv("predictions", width, classes, 1)

    def _unit(self, name: str, width: int, out: int, stride: int) -> int:
        if name != "stage1":
            self.norm(f"{name}_1_bn", width)
        self.conv(f"{name}_conv1", width, out, 3, stride=stride, padding=1)
        self.norm(f"{name}_2_bn", out)
        self.conv(f"{name}_conv2", out, out, 3, padding=1)
        return self.conv(f"{name}_shortcut_conv", width, out, 1, True, stride=stride)

    def _run_unit(self, name: str, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(getattr(self, f"{name}_1_bn")(x)) if name != "stage1" else x
        y = torch.relu(getattr(self, f"{name}_2_bn")(getattr(self, f"{name}_conv1")(y)))
        return getattr(self, f"{name}_conv2")(y) + self.run(f"{name}_shortcut_conv", x, False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for level in range(1, self.depth + 2):
            x = self._run_unit(f"stage{level}", x)
            skips.append(x)
        for level in range(self.depth, 0, -1):
            x = torch.cat([skips[level - 1], functional.interpolate(x, scale_factor=2)], dim=1)
            x = self._run_unit(f"decoder{level}", x)
        return self.predictions(x)


class UNet3D(Named):
    """The paper's figure 2, with cropped skips where nothing is padded."""

    dims = 3

    def __init__(self, channels: int, classes: int, filters: int, depth: int, padding: int) -> None:
        super().__init__()
        self.depth, width = depth, channels
        for level in range(1, depth + 2):
            out = filters * 2 ** (level - 1)
            width = self.stack(f"stage{level}", width, [out, 2 * out], True, padding)
        for level in range(depth, 0, -1):
            out = filters * 2**level
            self.add_module(f"decoder{level}_up", nn.ConvTranspose3d(width, width, 2, 2, bias=False))
            width = self.stack(f"decoder{level}", width + out, [out, out], True, padding)
        self.conv("predictions", width, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for level in range(1, self.depth + 1):
            skips.append(self.run_stack(f"stage{level}", x))
            x = functional.max_pool3d(skips[-1], 2)
        x = self.run_stack(f"stage{self.depth + 1}", x)
        for level in range(self.depth, 0, -1):
            x, skip = getattr(self, f"decoder{level}_up")(x), skips.pop()
            cuts = [(a - b) // 2 for a, b in zip(skip.shape[2:], x.shape[2:], strict=True)]
            for axis, cut in enumerate(cuts, start=2):
                skip = skip.narrow(axis, cut, x.shape[axis])
            x = self.run_stack(f"decoder{level}", torch.cat([skip, x], dim=1))
        return self.predictions(x)


class HED(Named):
    """VGG-16 without its last pooling, a score at the end of every stage, the fusion of all."""

    def __init__(self, channels: int, classes: int, filters: int) -> None:
        super().__init__()
        width = channels
        for stage, (multiple, count) in enumerate(VGG16, start=1):
            width = self.stack(f"stage{stage}", width, [filters * multiple] * count, False)
            self.conv(f"side{stage}_score", width, classes, 1)
        self.conv("predictions", 5 * classes, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sides, size = [], x.shape[2:]
        for stage in range(1, 6):
            x = self.run_stack(f"stage{stage}", functional.max_pool2d(x, 2) if stage > 1 else x)
            score = getattr(self, f"side{stage}_score")(x)
            sides.append(functional.interpolate(score, size=size, mode="bilinear", align_corners=False))
        return self.predictions(torch.cat(sides, dim=1))


class ResHedNet(Named):
    """AtomAI's network: the sum of a block takes its 1 x 1 convolution's output, not its input."""

    def __init__(self, channels: int, classes: int, filters: int) -> None:
        super().__init__()
        width = channels
        for stage, repeats in enumerate((3, 4, 5), start=1):
            out = filters * 2 ** (stage - 1)
            for index in range(1, repeats + 1):
                name = f"stage{stage}_block{index}"
                self.conv(f"{name}_conv0", width, out, 1)
                width = self.stack(name, out, [out, out], True)
            self.conv(f"side{stage}_score", width, classes, 1)
            self.norm(f"side{stage}_bn", classes)
        self.conv("predictions", 3 * classes, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sides, size = [], x.shape[2:]
        for stage, repeats in enumerate((3, 4, 5), start=1):
            x = functional.max_pool2d(x, 2) if stage > 1 else x
            for index in range(1, repeats + 1):
                name = f"stage{stage}_block{index}"
                x = getattr(self, f"{name}_conv0")(x)
                y = functional.leaky_relu(self.run(f"{name}_conv1", x, False), 0.01)
                x = functional.leaky_relu(self.run(f"{name}_conv2", y, False) + x, 0.01)
            score = getattr(self, f"side{stage}_bn")(getattr(self, f"side{stage}_score")(x))
            sides.append(functional.interpolate(score, size=size, mode="bilinear", align_corners=False))
        return self.predictions(torch.cat(sides, dim=1))


FCN = {"filters": 4, "bottleneck_filters": 16}
CASES = {
    # name: (builder, its arguments, image size, PyTorch's version)
    "fcn8s_paper_padding": ("fcn8s", {**FCN, "paper_padding": True}, (21, 34, 3), lambda: FCN8s(3, 10, 4, 16)),
    "segnet_odd": ("segnet", {"filters": 4}, (21, 30, 3), lambda: SegNet(3, 10, 4)),
    "deconvnet": ("deconvnet", FCN, (64, 32, 3), lambda: DeconvNet(3, 10, 4, 16, (2, 1))),
    "attention_unet": ("attention_unet", {"filters": 4}, (16, 32, 1), lambda: AttentionUNet(1, 10, 4, 4)),
    "unet_plus_plus": ("unet_plus_plus", {"filters": 4}, (16, 32, 1), lambda: UNetPlusPlus(1, 10, 4, 4, False)),
    "unet_plus_plus_batch": (
        "unet_plus_plus",
        {"filters": 4, "normalization": "batch"},
        (16, 32, 3),
        lambda: UNetPlusPlus(3, 10, 4, 4, True),
    ),
    "resunet": ("resunet", {"filters": 4}, (16, 32, 3), lambda: ResUNet(3, 10, 4, 3)),
    "unet3d_same": ("unet3d", {"filters": 2, "padding": "same"}, (8, 8, 8, 1), lambda: UNet3D(1, 10, 2, 3, 1)),
    "unet3d_valid": ("unet3d", {"filters": 2, "depth": 1}, (20, 22, 24, 2), lambda: UNet3D(2, 10, 2, 1, 0)),
    "hed": ("hed", {"filters": 4}, (16, 32, 3), lambda: HED(3, 10, 4)),
    "reshednet": ("reshednet", {"filters": 4}, (16, 20, 1), lambda: ResHedNet(1, 10, 4)),
}
"""Every case has ten classes and logits as its output."""
