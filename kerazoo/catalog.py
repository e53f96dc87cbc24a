"""The catalogue: which models there are, what their cards say, and how to build one by name.

Listing, reading cards and checking arguments import no Keras: the cards are plain data in
`kerazoo/*/cards.py`, and argument names are read from the builders' source. A builder's module is imported
when the builder is called.
"""

from __future__ import annotations

import fnmatch
import functools
import importlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, overload

from kerazoo import _source
from kerazoo._words import nearest
from kerazoo.card import ModelCard

if TYPE_CHECKING:
    import keras

P = ParamSpec("P")
Builder = Callable[P, "keras.Model"]

_builders: dict[str, Callable[..., Any]] = {}
_foreign_cards: dict[str, ModelCard] = {}


@functools.cache
def _own_cards() -> dict[str, ModelCard]:
    """Reads the `CARDS` of every folder below `kerazoo/` that has a `cards.py`."""
    cards: dict[str, ModelCard] = {}
    for path in sorted(Path(__file__).parent.glob("*/cards.py")):
        for card in importlib.import_module(f"kerazoo.{path.parent.name}.cards").CARDS:
            if card.name in cards:
                raise ValueError(f"two cards have the name {card.name!r}: {cards[card.name].module}, {card.module}")
            cards[card.name] = card
    return cards


def _cards() -> dict[str, ModelCard]:
    return {**_own_cards(), **_foreign_cards}


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Sort key that puts resnet18 before resnet101."""
    return [(part.isdigit(), int(part or 0) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def list_models(
    pattern: str = "*", *, kind: str | None = None, family: str | None = None, task: str | None = None
) -> list[str]:
    """Lists the names of the catalogue's models, in natural order, without importing Keras.

    Args:
        pattern: Shell-style wildcard, e.g. `"res*"`. Defaults to all.
        kind: Only this kind of builder, e.g. `"image_classifier"`.
        family: Only this family, e.g. `"resnet"`.
        task: Only this task, e.g. `"semantic-segmentation"`.

    Returns:
        A list of names; empty when nothing matches.

    Example:
        >>> kerazoo.list_models("resnet?8")
        ['resnet18']
    """
    wanted = {"kind": kind, "family": family, "task": task}
    return sorted(
        (
            name
            for name, card in _cards().items()
            if fnmatch.fnmatchcase(name, pattern)
            and all(value is None or getattr(card, key) == value for key, value in wanted.items())
        ),
        key=_natural,
    )


def model_card(name: str) -> ModelCard:
    """Returns the card of a model, without importing Keras.

    Args:
        name: A name from `list_models()`.

    Returns:
        Its `ModelCard`.

    Raises:
        ValueError: If there is no such model; the message names the nearest one.

    Example:
        >>> kerazoo.model_card("resnet50").params
        25610152
    """
    cards = _cards()
    if name not in cards:
        raise ValueError(f"there is no model {name!r}.{nearest(name, cards, plenty='kerazoo.list_models() lists all')}")
    return cards[name]


def builder(name: str) -> Callable[..., keras.Model]:
    """Returns the builder function of a model; this imports its module, and so Keras."""
    card = model_card(name)
    if name not in _builders:
        importlib.import_module(card.module)
    if name not in _builders:
        raise ValueError(f"{card.module} holds no builder decorated with @register_model for the card {name!r}")
    return _builders[name]


def create_model(name: str, /, *args: Any, **options: Any) -> keras.Model:
    """Builds a model by name.

    Args:
        name: A name from `list_models()`.
        *args: Positional arguments of the builder: the input shape and the number of classes or outputs.
        **options: Its keyword arguments; `name=` among them is the name of the model.

    Returns:
        A `keras.Model` with random weights unless `weights=` says otherwise.

    Raises:
        ValueError: If there is no such model, or an argument has a value that cannot work.
        TypeError: If the builder has no such argument; the message names the nearest one.

    Example:
        >>> model = kerazoo.create_model("resnet20", (32, 32, 1), 10)
    """
    return builder(name)(*args, **options)


def builder_parameters(name: str) -> dict[str, Any]:
    """Reads a builder's argument names and defaults from its source, without importing Keras.

    Args:
        name: A name from `list_models()`.

    Returns:
        Argument name -> default value, in the order of the signature.

    Example:
        >>> kerazoo.catalog.builder_parameters("resnet50")["pooling"] is None
        True
    """
    card = model_card(name)
    if name in _builders:
        parameters = inspect.signature(_builders[name]).parameters
        return {key: parameter.default for key, parameter in parameters.items()}
    return _source.function_parameters(card.module, name)


@overload
def register_model(function: Builder[P], /) -> Builder[P]: ...
@overload
def register_model(
    *, card: ModelCard | None = None, family: Callable[..., Any] | None = None
) -> Callable[[Builder[P]], Builder[P]]: ...
def register_model(
    function: Builder[P] | None = None,
    /,
    *,
    card: ModelCard | None = None,
    family: Callable[..., Any] | None = None,
) -> Any:
    """Decorator that puts a builder function under the contract of the catalogue.

    It rejects unknown arguments with the nearest name, applies the `dtype` policy, loads `weights`, names the
    model, and completes signature and docstring. Builders therefore declare `weights` and `dtype` but do not
    touch them.

    Args:
        function: The builder, when used as plain `@register_model`; its card is found by its name.
        card: The card of a model that does not live in kerazoo itself.
        family: The private builder of the family, for a variant that takes `**options`: the family's keyword
            arguments become the variant's, and its `Args` complete the variant's docstring.

    Returns:
        The builder, or a decorator for it.

    Raises:
        ValueError: If the name is taken or has no card.

    Example:
        >>> @kerazoo.register_model(card=my_card)
        ... def my_net(input_shape=(32, 32, 3), num_classes=10, *, weights=None, dtype=None, name="my_net"):
        ...     ...
    """
    from kerazoo import _contract

    def decorate(builder: Builder[P]) -> Builder[P]:
        name = builder.__name__
        known = _builders.get(name)
        if known is not None and known.__module__ != builder.__module__:
            raise ValueError(f"the name {name!r} is taken by {known.__module__}. Received: {builder.__module__}.{name}")
        if card is not None:
            if name in _own_cards() or card.name != name:
                raise ValueError(
                    "a new model needs a name of its own, equal to its card's. "
                    f"Received: function {name!r}, card {card.name!r}"
                )
            _foreign_cards[name] = card
        wrapped = _contract.under_contract(builder, model_card(name), family)
        _builders[name] = wrapped
        return wrapped

    return decorate if function is None else decorate(function)
