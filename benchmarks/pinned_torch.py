"""The pinned networks once more in PyTorch, as its users write them: the peer of the benchmark of training."""

from __future__ import annotations

import itertools
import math
import os
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks.pinned import BATCH, Pinned


def _normed(before: int, after: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def lenet5() -> nn.Module:
    convolutions = (nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2))
    head = (nn.Flatten(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10))
    return nn.Sequential(*convolutions, nn.Conv2d(16, 120, 5), nn.Tanh(), *head)


class Residual(nn.Module):
    """Two convolutions and a shortcut without weights: every second pixel, zeros for the new maps."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.first, self.second = _normed(before, after, stride=stride), _normed(after, after)
        self.stride, self.missing = stride, after - before

    def forward(self, x: Any) -> Any:
        y = self.second(functional.relu(self.first(x)))
        skip = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.missing))
        return functional.relu(y + skip)


def resnet20() -> nn.Module:
    widths = [16] * 4 + [32] * 3 + [64] * 3
    blocks = [Residual(a, b, 1 if a == b else 2) for a, b in itertools.pairwise(widths)]
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    return nn.Sequential(_normed(3, 16), nn.ReLU(), *blocks, *head)


def mobilenet() -> nn.Module:
    layers: list[nn.Module] = [_normed(3, 32, stride=2), nn.ReLU6()]
    before = 32
    for after, stride in [
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *[(512, 1)] * 5,
        (1024, 2),
        (1024, 1),
    ]:
        layers += [_normed(before, before, stride=stride, groups=before), nn.ReLU6()]
        layers += [_normed(before, after, kernel=1), nn.ReLU6()]
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.001), nn.Linear(1024, 10))


class Dense(nn.Module):
    """A layer of a dense block: its maps are put behind those it has seen."""

    def __init__(self, before: int, growth: int):
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(before), nn.Conv2d(before, growth, 3, padding=1, bias=False)

    def forward(self, x: Any) -> Any:
        return torch.cat([x, self.conv(functional.relu(self.norm(x)))], 1)


def densenet40() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1, bias=False)]
    maps = 16
    for block in range(3):
        for _ in range(12):
            layers.append(Dense(maps, 12))
            maps += 12
        layers += [nn.BatchNorm2d(maps), nn.ReLU()]
        if block < 2:
            layers += [nn.Conv2d(maps, maps, 1, bias=False), nn.AvgPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(maps, 10))


def _two(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.Conv2d(after, after, 3, padding=1), nn.ReLU()
    )


class UNet(nn.Module):
    """Three halvings, 16 filters in the first level."""

    def __init__(self) -> None:
        super().__init__()
        widths = (16, 32, 64, 128)
        self.down = nn.ModuleList([_two(a, b) for a, b in zip((1, *widths), widths, strict=False)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(2 * w, w, 2, 2) for w in widths[-2::-1]])
        self.joined = nn.ModuleList([_two(2 * w, w) for w in widths[-2::-1]])
        self.head = nn.Conv2d(16, 2, 1)

    def forward(self, x: Any) -> Any:
        skips = []
        for number, level in enumerate(self.down):
            x = level(x if not number else functional.max_pool2d(x, 2))
            skips.append(x)
        for up, joined, skip in zip(self.up, self.joined, skips[-2::-1], strict=True):
            x = joined(torch.cat([up(x), skip], 1))
        return self.head(x)


class Recurrent(nn.Module):
    """The last state of a recurrent layer, classified."""

    def __init__(self, layer: type[nn.Module]):
        super().__init__()
        self.layer, self.head = layer(16, 64, batch_first=True), nn.Linear(64, 10)

    def forward(self, x: Any) -> Any:
        return self.head(self.layer(x)[0][:, -1])


class Transformer(nn.Module):
    """Two blocks with the normalisation behind, mean over the sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(64, 64)
        block = nn.TransformerEncoderLayer(64, 4, 256, dropout=0.1, batch_first=True)
        self.blocks = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, 10)
        rates = torch.exp(torch.arange(0, 64, 2) * (-math.log(10000.0) / 64))
        angles = torch.arange(64)[:, None] * rates
        self.register_buffer("positions", torch.cat([angles.sin(), angles.cos()], 1))

    def forward(self, x: Any) -> Any:
        return self.head(self.blocks(functional.dropout(self.embedding(x) + self.positions, 0.1)).mean(1))


class VAE(nn.Module):
    """500 hidden units and 20 numbers of code; gives the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.code = nn.Linear(784, 500), nn.Linear(500, 40)
        self.decoder = nn.Sequential(nn.Linear(20, 500), nn.Tanh(), nn.Linear(500, 784))

    def forward(self, x: Any) -> Any:
        mean, log_variance = self.code(torch.tanh(self.hidden(x))).chunk(2, 1)
        code = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        likelihood = functional.binary_cross_entropy_with_logits(self.decoder(code), x, reduction="sum")
        divergence = -0.5 * torch.sum(1 + log_variance - mean**2 - log_variance.exp())
        return (likelihood + divergence) / len(x)


MAKERS: dict[str, Callable[[], nn.Module]] = {
    "mlp": mlp,
    "lenet5": lenet5,
    "resnet20": resnet20,
    "mobilenet": mobilenet,
    "densenet40": densenet40,
    "unet": UNet,
    "lstm": lambda: Recurrent(nn.LSTM),
    "gru": lambda: Recurrent(nn.GRU),
    "transformer": Transformer,
    "vae": VAE,
}


def trainer(name: str, network: Pinned) -> Callable[[], float]:
    """Returns what trains for one epoch, eagerly, on data that lie in memory already, and gives the seconds it took.

    Raises:
        AssertionError: The network has another number of weights than Keras' (which keeps one bias less in an LSTM, and
            none in the projections of the Transformer).
    """
    torch.manual_seed(0)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = MAKERS[name]()
    count = sum(weight.numel() for weight in model.parameters())
    ours = sum(math.prod(weight.shape) for weight in network.build().trainable_weights)
    more = {"lstm": 4 * 64, "transformer": 2 * 4 * 64}.get(name, 0)
    assert count == ours + more, f"{name} has {count} weights in PyTorch and {ours} + {more} in Keras"
    optimizer = torch.optim.Adam(model.parameters(), eps=1e-7)
    arrays = [torch.from_numpy(array) for array in network.data()]
    inputs = arrays[0].movedim(-1, 1).contiguous() if arrays[0].ndim == 4 else arrays[0]
    targets = arrays[1].long() if network.outputs else inputs
    if torch.cuda.is_available():
        model, inputs, targets = model.cuda(), inputs.cuda(), targets.cuda()

    def train() -> float:
        began = time.perf_counter()
        for rows in torch.randperm(len(inputs)).split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            outputs = model(inputs[rows])
            loss = functional.cross_entropy(outputs, targets[rows]) if network.outputs else outputs
            loss.backward()
            optimizer.step()
        loss.item()
        return time.perf_counter() - began

    return train
