"""How the tensors of a file become weights of a model: one rule per weight, one layout per family."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

Convert = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Rule:
    """Where one weight comes from.

    Attributes:
        variable: The weight.
        name: Name of the tensor, as `Layout.own_name` gives it.
        shape: Its shape in the file; `None` for an axis of any size.
        convert: Turns the tensor into the weight.
    """

    variable: keras.Variable
    name: str
    shape: tuple[int | None, ...]
    convert: Convert = np.asarray


@dataclass(frozen=True)
class Layout:
    """How the files of one family name their tensors.

    Attributes:
        rules: Model -> a rule for every weight of it. Several rules may share a tensor.
        prefixes: What may stand in front of a name, e.g. `"bert."`.
        renamed: Regular expression -> replacement, one after the other, from other generations of names to the one the
            rules speak of.
        ignored: Regular expression of names, without prefix, that hold no weights: buffers.
        tied: Copy -> original, for tensors that some files hold twice and some under the other name only.
        heads: Beginnings of names that belong to the head for one task. What a file has beyond the model's heads is
            left in it; a head that is wholly absent from the file keeps its initial values, with a warning.
    """

    rules: Callable[[keras.Model], Iterator[Rule]]
    prefixes: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    ignored: str = r"(?!)"
    tied: Mapping[str, str] = field(default_factory=dict)
    heads: tuple[str, ...] = ()

    def own_name(self, name: str) -> str | None:
        """Returns the rules' name of a tensor; `None` if it is ignored."""
        prefix = next((prefix for prefix in self.prefixes if name.startswith(prefix)), "")
        name = name.removeprefix(prefix)
        if re.fullmatch(self.ignored, name):
            return None
        for pattern, replacement in self.renamed.items():
            name = re.sub(pattern, replacement, name)
        return name

    def head(self, name: str) -> str | None:
        """Returns the head a tensor belongs to, `None` for the body."""
        return next((head for head in self.heads if name == head or name.startswith(f"{head}.")), None)


def same(variable: keras.Variable, name: str) -> Rule:
    """A tensor that lies in the file as it is in Keras: tables, biases, scalars."""
    return Rule(variable, name, tuple(variable.shape))


def dense(layer: Any, name: str, transposed: bool = True) -> Iterator[Rule]:
    """Kernel and, where there is one, bias of `layers.Dense`.

    PyTorch's linear layers lie transposed in the file, (outputs, inputs).
    """
    shape = tuple(layer.kernel.shape)
    yield Rule(
        layer.kernel, f"{name}.weight", shape[::-1] if transposed else shape, np.transpose if transposed else np.asarray
    )
    if layer.bias is not None:
        yield same(layer.bias, f"{name}.bias")


def norm(layer: Any, name: str) -> Iterator[Rule]:
    """Gain and bias of a layer normalisation."""
    yield same(layer.gamma, f"{name}.weight")
    yield same(layer.beta, f"{name}.bias")


def conv2d(layer: Any, name: str) -> Iterator[Rule]:
    """Kernel and, where there is one, bias of `layers.Conv2D`: (out, in, height, width) in the file."""
    height, width, channels, filters = layer.kernel.shape
    shape = (filters, channels, height, width)
    yield Rule(layer.kernel, f"{name}.weight", shape, lambda kernel: np.transpose(kernel, (2, 3, 1, 0)))
    if layer.bias is not None:
        yield same(layer.bias, f"{name}.bias")


def attention(layer: Any, names: Sequence[str]) -> Iterator[Rule]:
    """Query, key, value and output of `layers.MultiHeadAttention`, each a linear layer of its own in the file."""
    parts = (layer.query_dense, layer.key_dense, layer.value_dense, layer.output_dense)
    for part, name in zip(parts, names, strict=True):
        yield from _projection(part, name, heads_last=part is not layer.output_dense)


def fused_attention(layer: Any, fused: str, output: str, transposed: bool = True) -> Iterator[Rule]:
    """The same where query, key and value lie behind each other in one tensor, as in PyTorch and GPT-2.

    Args:
        layer: A `layers.MultiHeadAttention`.
        fused: Name of the three; each may end in `.weight` or `.bias`.
        output: Name of the output projection.
        transposed: Whether the tensors are (outputs, inputs), as everywhere but in GPT-2.
    """
    axis = 0 if transposed else 1
    for index, part in enumerate((layer.query_dense, layer.key_dense, layer.value_dense)):
        for rule in _projection(part, fused, heads_last=True, transposed=transposed):
            cut = 0 if len(rule.shape) == 1 else axis
            shape = tuple(3 * size if at == cut else size for at, size in enumerate(rule.shape) if size is not None)
            yield Rule(rule.variable, rule.name, shape, _third(index, cut, rule.convert))
    yield from _projection(layer.output_dense, output, heads_last=False, transposed=transposed)


def _third(index: int, axis: int, convert: Convert) -> Convert:
    return lambda tensor: convert(np.split(tensor, 3, axis=axis)[index])


def _projection(part: Any, name: str, *, heads_last: bool, transposed: bool = True) -> Iterator[Rule]:
    """Kernel and bias of one projection: (in, heads, depth), of the output one (heads, depth, out)."""
    kernel = tuple(part.kernel.shape)
    inputs, outputs = (kernel[0], kernel[1] * kernel[2]) if heads_last else (kernel[0] * kernel[1], kernel[2])
    shape = (outputs, inputs) if transposed else (inputs, outputs)
    yield Rule(
        part.kernel, f"{name}.weight", shape, lambda tensor: (tensor.T if transposed else tensor).reshape(kernel)
    )
    if part.bias is not None:
        bias = tuple(part.bias.shape)
        yield Rule(part.bias, f"{name}.bias", (outputs,), lambda tensor: tensor.reshape(bias))
