"""What `@register_model` does around a builder: arguments, dtype policy, weights, signature, docstring."""

from __future__ import annotations

import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from kerazoo import checks
from kerazoo._words import nearest
from kerazoo.card import ModelCard
from kerazoo.weights import imagenet, transplant
from kerazoo.weights.files import check_weights, load_weights

# Said once for all builders; an entry in a builder's own `Args` section takes precedence.
SPINE = {
    "input_shape": (
        "Shape of one input without the batch axis, channels last, e.g. `(224, 224, 3)`. Any number "
        "of channels; `None` for a height and width left open, where the card says `dynamic_size`."
    ),
    "num_classes": "Number of classes, at least 1.",
    "num_outputs": "Number of output units, at least 1.",
    "num_channels": "Number of output channels, at least 1.",
    "include_top": ("Whether to end in the classification head (`avg_pool`, `head_dropout`, `predictions`)."),
    "pooling": ('With `include_top=False`: `None` returns the feature map, `"avg"` or `"max"` its global pooling.'),
    "classifier_activation": ('Activation of the last layer; `None` returns logits. Defaults to `"softmax"`.'),
    "output_activation": "Activation of the last layer; `None` leaves it linear.",
    "dropout_rate": "Fraction of units dropped, in [0, 1).",
    "include_preprocessing": (
        "`False`: the input has the card's `input_range`. `True`: the input is in [0, 255] and a "
        "`Rescaling` layer named `preprocess` brings it to [-1, 1], or to what the weights were trained with for "
        '`weights="imagenet"`. A pair `(scale, offset)`, each one number or one per channel: `x * scale + offset`.'
    ),
    "weights": (
        "`None` for random initial weights, or the path of a `.weights.h5`, `.h5` or `.keras` file that fits, of "
        'kerazoo or keras.applications; `"imagenet"` where the card lists it: the files of keras.applications are '
        "downloaded once, and take RGB. With another number of classes everything but `predictions` is loaded."
    ),
    "dtype": ('Precision policy, e.g. `"mixed_bfloat16"`; `None` for the global one. Heads compute in float32 always.'),
    "name": "Name of the model. Defaults to the name of the builder.",
}
_SECTIONS = ("Args", "Returns", "Raises", "Example", "References")
_RETURNS = "A flat functional `keras.Model`."
_RAISES = (
    "TypeError: If an argument is unknown; the message names the nearest one.\n"
    "ValueError: If an argument has a value that cannot work."
)


def under_contract(
    builder: Callable[..., keras.Model], card: ModelCard, family: Callable[..., Any] | None
) -> Callable[..., keras.Model]:
    """Wraps a builder; see `kerazoo.register_model`."""
    signature = _signature(builder, family)

    @functools.wraps(builder)
    def build(*args: Any, **options: Any) -> keras.Model:
        given = {key: _plain(value) for key, value in _bind(card.name, signature, args, options).items()}
        if keras.config.image_data_format() != "channels_last":
            raise ValueError(
                "kerazoo needs keras.config.set_image_data_format('channels_last'). "
                f"Received: {keras.config.image_data_format()!r}"
            )
        check_weights(given.get("weights"), card)
        second = list(signature.parameters)[1]
        for word in ("classifier_activation", "output_activation"):
            checks.several_for_softmax(word, given.get(word), second, given[second])
        pretrained = given.get("weights") == "imagenet"
        if pretrained:
            row = transplant.imagenet_row(card.name, given)
            if given["include_preprocessing"] is True:
                given["include_preprocessing"] = imagenet.SCALES[row.scaling]
        with _dtype_policy(given.get("dtype")):
            model = builder(**given)
        if pretrained:
            transplant.load_imagenet(model, card.name, given)
        elif given.get("weights") is not None:
            load_weights(model, given["weights"], builder=card.name)
        return model

    build.__signature__ = signature  # type: ignore[attr-defined]
    build.__doc__ = _docstring(builder, family, signature)
    return build


def _plain(value: Any) -> Any:
    """Turns a number of NumPy into Python's: several layers of Keras take no other."""
    return value.item() if isinstance(value, np.generic) else value


def _signature(builder: Callable[..., Any], family: Callable[..., Any] | None) -> inspect.Signature:
    own = inspect.signature(builder)
    if family is None:
        return own
    kinds = inspect.Parameter
    mine = {p.name: p for p in own.parameters.values() if p.kind is not kinds.VAR_KEYWORD}
    theirs = {p.name: p for p in inspect.signature(family).parameters.values() if p.kind is kinds.KEYWORD_ONLY}
    theirs["name"] = theirs["name"].replace(default=builder.__name__)
    positional = {n: p for n, p in mine.items() if p.kind is not kinds.KEYWORD_ONLY}
    words = {n: p for n, p in mine.items() if p.kind is kinds.KEYWORD_ONLY}
    # Words that only the variant has stand in front of the family's, so that the spine stays the end.
    merged = {**positional, **{n: p for n, p in words.items() if n not in theirs}, **theirs, **words}
    return own.replace(parameters=list(merged.values()))


def _bind(name: str, signature: inspect.Signature, args: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    for option in options:
        if option not in signature.parameters:
            raise TypeError(f"{name}() has no argument {option!r}.{nearest(option, signature.parameters)}")
    try:
        bound = signature.bind(*args, **options)
    except TypeError as error:
        positional = [p.name for p in signature.parameters.values() if p.kind is not inspect.Parameter.KEYWORD_ONLY]
        raise TypeError(
            f"{name}() takes {', '.join(positional)} by position and everything else by keyword: {error}"
        ) from None
    bound.apply_defaults()
    return dict(bound.arguments)


@contextmanager
def _dtype_policy(dtype: Any) -> Iterator[None]:
    """Sets the global dtype policy for one build; layers remember theirs, so nothing is passed on."""
    if dtype is None:
        yield
        return
    try:
        policy = keras.dtype_policies.get(dtype)
    except (ValueError, TypeError):
        policy = None
    # Whole numbers cannot be trained, and a network is quantised after its training, not built so.
    if policy is None or policy.quantization_mode or not _is_floating(policy):
        raise ValueError(
            "dtype must be a floating-point policy such as 'float32', 'mixed_float16' or 'mixed_bfloat16'. "
            f"Received: dtype={dtype!r}"
        )
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _is_floating(policy: keras.DTypePolicy) -> bool:
    return all("float" in str(dtype) for dtype in (policy.compute_dtype, policy.variable_dtype))


def _sections(doc: str | None) -> dict[str, str]:
    """Splits a Google-style docstring into its head (under "") and its sections."""
    parts = re.split(rf"^({'|'.join(_SECTIONS)}):\n", inspect.cleandoc(doc or ""), flags=re.M)
    return {
        "": parts[0].rstrip(),
        **{n: body.rstrip() for n, body in zip(parts[1::2], parts[2::2], strict=True)},
    }


def _entries(args: str) -> dict[str, str]:
    """Splits an `Args` body into its entries."""
    parts = re.split(r"^ {4}(\w+): ", args, flags=re.M)
    return dict(zip(parts[1::2], (body.rstrip() for body in parts[2::2]), strict=True))


def _wrapped(name: str, text: str) -> str:
    if "\n" in text:
        return f"    {name}: {text}"  # its author has wrapped it
    return textwrap.fill(f"{name}: {text}", 116, initial_indent=" " * 4, subsequent_indent=" " * 8)


def _docstring(builder: Callable[..., Any], family: Callable[..., Any] | None, signature: inspect.Signature) -> str:
    own, inherited = _sections(builder.__doc__), _sections(family.__doc__ if family else None)
    entries = {**SPINE, **_entries(inherited.get("Args", "")), **_entries(own.get("Args", ""))}
    written = "\n".join(_wrapped(name, entries[name]) for name in signature.parameters if name in entries)
    indented = {"Returns": f"    {_RETURNS}", "Raises": "    " + _RAISES.replace("\n", "\n    ")}
    sections = {**indented, **inherited, **own, "Args": written}
    return own[""] + "".join(f"\n\n{name}:\n{sections[name]}" for name in _SECTIONS if name in sections)
