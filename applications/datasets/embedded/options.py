"""Options of simulated data sets, as the command line gives them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from applications.core.errors import UserError, nearest


def changed_options(data_set: str, options: Mapping | None, own: Mapping[str, Any], parameters: Any) -> dict[str, Any]:
    """Returns the options that differ from their defaults, converted, in the order of their names.

    Args:
        data_set: its name, for messages.
        options: what the user gave. A range is a pair or one number (no variation).
        own: options of the data set and their defaults.
        parameters: dataclass, or one of its instances, whose fields are options, too.

    Raises:
        UserError: for an unknown option, or a value of the wrong kind.
    """
    defaults = {**own, **{field.name: getattr(parameters, field.name) for field in dataclasses.fields(parameters)}}
    for name in options or {}:
        if name not in defaults:
            raise UserError(
                f"Unknown option {name!r} of data set {data_set!r}.{nearest(name, defaults)} It has: "
                f"{', '.join(defaults)}."
            )
    values = {name: _convert(data_set, name, value, defaults[name]) for name, value in (options or {}).items()}
    return {name: value for name, value in sorted(values.items()) if value != defaults[name]}


def _convert(data_set: str, name: str, value: Any, default: Any) -> Any:
    """Returns `value` as the kind of `default`."""
    try:
        if isinstance(default, tuple):
            values = value if isinstance(value, (tuple, list)) else [value] * len(default)
            if len(values) != len(default):
                raise ValueError
            return tuple(type(default[0])(item) for item in values)
        if isinstance(default, bool):
            return {"true": True, "false": False}[str(value).lower()]
        if isinstance(default, int) and float(value) != int(value):
            raise ValueError
        return type(default)(value)
    except (TypeError, ValueError, KeyError):
        kind = f"{len(default)} numbers" if isinstance(default, tuple) else f"a {type(default).__name__}"
        raise UserError(f"Option {name!r} of data set {data_set!r} must be {kind}, received {value!r}.") from None
