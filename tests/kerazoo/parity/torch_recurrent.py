"""The recurrent layers of PyTorch under our weights, and temporal convolutions written a second time from the paper."""

from __future__ import annotations

from typing import Any

import seeded
import torch
from torch import nn
from torch.nn import functional


def _seeded(path: str, *shape: int) -> torch.Tensor:
    return torch.from_numpy(seeded.array(path, shape))


class Recurrent(nn.Module):
    """One layer of `nn.RNN`, `nn.LSTM` or `nn.GRU`, in one direction or both."""

    def __init__(self, kind: str, features: int, units: int, both: bool) -> None:
        super().__init__()
        self.cell = getattr(nn, kind)(features, units, batch_first=True, bidirectional=both)
        self.features, self.units, self.both = features, units, both
        self.word = {"RNN": "simple_rnn_cell", "LSTM": "lstm_cell", "GRU": "gru_cell"}[kind]
        self.gates = {"RNN": (0,), "LSTM": (0, 1, 2, 3), "GRU": (1, 0, 2)}[kind]  # Keras: z, r, h; PyTorch: r, z, n

    def seed(self, name: str) -> None:
        """Kernels are (inputs, gates) in Keras and (gates, inputs) in PyTorch, which has two biases."""
        for direction, suffix in (("forward", ""), ("backward", "_reverse"))[: 1 + self.both]:
            path = f"{name}/{direction}_{name}/{self.word}" if self.both else f"{name}/{self.word}"
            width = len(self.gates) * self.units
            two = self.word == "gru_cell"
            bias = _seeded(f"{path}/bias", 2, width) if two else _seeded(f"{path}/bias", width)
            self._set(f"weight_ih_l0{suffix}", _seeded(f"{path}/kernel", self.features, width))
            self._set(f"weight_hh_l0{suffix}", _seeded(f"{path}/recurrent_kernel", self.units, width))
            self._set(f"bias_ih_l0{suffix}", bias[0] if two else bias)
            self._set(f"bias_hh_l0{suffix}", bias[1] if two else torch.zeros_like(bias))

    def _set(self, name: str, value: torch.Tensor) -> None:
        parts = value.split(self.units, dim=-1)
        getattr(self.cell, name).copy_(torch.cat([parts[gate] for gate in self.gates], dim=-1).t())

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sequence, states = self.cell(x)
        hidden = states[0] if isinstance(states, tuple) else states
        return sequence, torch.cat(list(hidden), dim=-1)


class Stack(nn.Module):
    """Recurrent layers on top of each other and the head; images come and answers leave channels first."""

    def __init__(self, kind: str, units: int, count: int, both: bool, many: bool) -> None:
        super().__init__()
        prefix, width = {"RNN": "rnn", "LSTM": "lstm", "GRU": "gru"}[kind], 5
        self.many = many
        self.names = [f"{prefix}{index}" for index in range(1, count + 1)]
        for name in self.names:
            self.add_module(name, Recurrent(kind, width, units, both))
            width = units * (1 + both)
        self.predictions = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.movedim(1, -1)
        for name in self.names:
            x, last = getattr(self, name)(x)
        y = self.predictions(x if self.many else last)
        return y.movedim(-1, 1)


class NormedConv(nn.Module):
    """Causal convolution with the kernel g v / |v|."""

    def __init__(self, features: int, filters: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        self.shape, self.dilation = (kernel_size, features, filters), dilation

    def seed(self, name: str) -> None:
        v = _seeded(f"{name}/v", *self.shape).permute(2, 1, 0)
        g, self.bias = _seeded(f"{name}/g", self.shape[2]), _seeded(f"{name}/bias", self.shape[2])
        self.kernel = g[:, None, None] * v / v.flatten(1).norm(dim=1)[:, None, None]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padded = functional.pad(x, ((self.shape[0] - 1) * self.dilation, 0))
        return functional.conv1d(padded, self.kernel, self.bias, dilation=self.dilation)


class Temporal(nn.Module):
    """Levels of two convolutions each."""

    def __init__(self, filters: int, levels: int, kernel_size: int, many: bool) -> None:
        super().__init__()
        self.levels, self.many = levels, many
        for level in range(1, levels + 1):
            width = 5 if level == 1 else filters
            self.add_module(f"level{level}_conv1", NormedConv(width, filters, kernel_size, 2 ** (level - 1)))
            self.add_module(f"level{level}_conv2", NormedConv(filters, filters, kernel_size, 2 ** (level - 1)))
        self.level1_shortcut = nn.Conv1d(5, filters, 1)
        self.predictions = nn.Linear(filters, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for level in range(1, self.levels + 1):
            y = torch.relu(getattr(self, f"level{level}_conv1")(x))
            y = torch.relu(getattr(self, f"level{level}_conv2")(y))
            x = torch.relu(y + (self.level1_shortcut(x) if level == 1 else x))
        return self.predictions(x.movedim(1, -1) if self.many else x[:, :, -1]).movedim(-1, 1)


def _case(builder: str, kind: str, count: int, both: bool, many: bool) -> tuple[str, dict[str, Any], Any, Any]:
    options = {"units": 6, "num_layers": count, "bidirectional": both}
    options["mode"] = "many_to_many" if many else "many_to_one"
    return builder, options, (7, 5), lambda: Stack(kind, 6, count, both, many)


def _tcn(many: bool) -> tuple[str, dict[str, Any], Any, Any]:
    options = {"filters": 6, "num_levels": 3, "kernel_size": 3, "mode": "many_to_many" if many else "many_to_one"}
    return "tcn", options, (19, 5), lambda: Temporal(6, 3, 3, many)


CASES = {
    "simple_rnn": _case("simple_rnn", "RNN", 2, False, True),
    "simple_rnn_both": _case("simple_rnn", "RNN", 1, True, False),
    "lstm": _case("lstm", "LSTM", 2, False, True),
    "lstm_both": _case("lstm", "LSTM", 2, True, False),
    "gru": _case("gru", "GRU", 2, False, True),
    "gru_both": _case("gru", "GRU", 2, True, False),
    "tcn": _tcn(False),
    "tcn_every_step": _tcn(True),
}
