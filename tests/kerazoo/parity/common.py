"""What the PyTorch versions share: seeded weights under the names of the Keras layers, and outputs channels last.

A module `torch_<group>.py` beside this one holds networks and `CASES`: name -> (builder, its arguments, image shape,
function that makes the PyTorch version). Sub-modules carry the names of the Keras layers; a block of several layers has
an attribute `name`, which stands in front of theirs; one whose weights are cut otherwise has a method `seed(name)`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
import seeded


def _array(layer: nn.Module, path: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Draws the weight in the layout of Keras and turns it into PyTorch's."""
    if not path.endswith("kernel"):
        return torch.from_numpy(seeded.array(path, shape))
    if isinstance(layer, nn.Linear):
        return torch.from_numpy(seeded.array(path, shape[::-1])).T
    # Both kinds of convolution: (spatial axes, axis 1, axis 0), a depthwise one: (spatial axes, channels, 1).
    depthwise = getattr(layer, "groups", 1) == shape[0] > 1
    first, second = (0, 1) if depthwise else (1, 0)
    kernel = torch.from_numpy(seeded.array(path, (*shape[2:], shape[first], shape[second])))
    return torch.movedim(kernel, (-2, -1), (first, second))


_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_NAMES = {nn.BatchNorm2d: _NORM, nn.BatchNorm3d: _NORM, nn.PReLU: {"weight": "alpha"}}


def fill(model: nn.Module) -> nn.Module:
    """Sets every parameter and statistic to what `seeded.fill` gives the Keras model."""
    prefixes = {name: module.name for name, module in model.named_modules() if hasattr(module, "name")}
    with torch.no_grad():
        for name, layer in model.named_modules():
            parent, _, own = name.rpartition(".")
            layer_name = f"{prefixes[parent]}_{own}" if parent in prefixes else own
            if hasattr(layer, "seed"):
                layer.seed(layer_name)
            words = _NAMES.get(type(layer), {"weight": "kernel", "bias": "bias"})
            for key, tensor in [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]:
                if key in words:
                    tensor.copy_(_array(layer, f"{layer_name}/{words[key]}", tuple(tensor.shape)))
    return model.eval()


def torch_output(name: str, case: tuple) -> np.ndarray | dict[str, np.ndarray]:
    """Returns the output of a case from PyTorch, channels last; one per name where there are several."""
    _, _, shape, make = case
    with torch.no_grad():
        x = torch.from_numpy(seeded.image(name, (2, *shape))).movedim(-1, 1)
        y = fill(make())(x)
    return {key: _last(part) for key, part in y.items()} if isinstance(y, dict) else _last(y)


def _last(y: torch.Tensor) -> np.ndarray:
    return y.movedim(1, -1).contiguous().numpy()
