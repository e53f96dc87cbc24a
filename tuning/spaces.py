"""Search spaces: read, checked against an application, counted, and turned into the options of one trial.

A space is a mapping from dotted options to ranges (`applications.core.search_space`). In YAML and on the command line a
range is written `log(1e-4, 1e-1)`, `real(0, 0.5)`, `int(2, 6)` or `int(16, 128, 16)`, or as a list of values; a choice
whose values bring ranges of their own is a mapping:

    learning_rate: log(1e-4, 1e-1)
    batch_size: [16, 32, 64]
    model:
      resnet20: {}
      cnn:
        model_options.dropout_rate: real(0, 0.5)
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from applications.core.config import describe, from_dict, merge, read_yaml
from applications.core.errors import UserError
from applications.core.search_space import Choice, Integer, Real, Space

if TYPE_CHECKING:
    from applications.core.application import Application

SearchSpace = Mapping[str, Space]
# They belong to the search as a whole: all trials share the data, and the search has a seed and a place of its own.
FIXED = (
    "data",
    "data_dir",
    "data_options",
    "channels",
    "split",
    "seed",
    "out",
    "name",
    "k_folds",
    "max_time",
    "epochs",
)
_CALL = re.compile(r"^\s*(log|real|int)\s*\((.*)\)\s*$")


@dataclass(frozen=True)
class Dimension:
    """One range of a space and where it counts.

    Attributes:
        path: Dotted option.
        range: Its range.
        condition: Pairs of a parent's path and the label of the value it must have.
    """

    path: str
    range: Space
    condition: tuple[tuple[str, str], ...] = ()

    def active(self, values: Mapping[str, Any]) -> bool:
        """Whether this range counts beside the values of its parents."""
        return all(values.get(parent) == wanted for parent, wanted in self.condition)


def label(value: Any) -> str:
    """Returns the text that stands for a value of a choice in tables and files."""
    return value if isinstance(value, str) else json.dumps(value)


def below(range_: Choice, value: Any) -> SearchSpace:
    """Returns the space that belongs to one value of a choice."""
    return {label(known): nested for known, nested in range_.children.items()}.get(label(value), {})


def dimensions(space: SearchSpace, condition: tuple[tuple[str, str], ...] = ()) -> list[Dimension]:
    """Returns all ranges of a space, parents before their children."""
    found = []
    for path, range_ in space.items():
        found.append(Dimension(path, range_, condition))
        if isinstance(range_, Choice):
            for value, children in range_.children.items():
                found += dimensions(children, (*condition, (path, label(value))))
    return found


# Values -------------------------------------------------------------------------------------------------------------


def points(range_: Space) -> list[Any]:
    """Returns the values a grid search tries: labels of a choice, numbers otherwise."""
    if isinstance(range_, Choice):
        return [label(value) for value in range_.values]
    if isinstance(range_, Integer):
        return list(range(range_.low, range_.high + 1, range_.step))
    return [from_unit(range_, k / max(range_.points - 1, 1)) for k in range(range_.points)]


def from_unit(range_: Space, unit: float) -> Any:
    """Returns the value at `unit` in [0, 1] of a range."""
    if isinstance(range_, Real):
        low, high = (math.log(range_.low), math.log(range_.high)) if range_.log else (range_.low, range_.high)
        value = low + unit * (high - low)
        return min(max(math.exp(value) if range_.log else value, range_.low), range_.high)
    count = number_of_points(range_)
    index = min(int(unit * count), count - 1)
    return label(range_.values[index]) if isinstance(range_, Choice) else range_.low + index * range_.step


def to_unit(range_: Space, value: Any) -> float:
    """Returns where a value lies in its range, in [0, 1]: the inverse of `from_unit`."""
    if isinstance(range_, Real):
        if range_.log:
            return math.log(value / range_.low) / math.log(range_.high / range_.low)
        return (value - range_.low) / (range_.high - range_.low)
    index = points(range_).index(value) if isinstance(range_, Choice) else (value - range_.low) // range_.step
    return (index + 0.5) / number_of_points(range_)


def number_of_points(range_: Space) -> int:
    """Returns how many values a grid search tries of a range."""
    if isinstance(range_, Choice):
        return len(range_.values)
    return range_.points if isinstance(range_, Real) else (range_.high - range_.low) // range_.step + 1


def size(space: SearchSpace) -> int:
    """Returns the number of points of the whole grid."""
    total = 1
    for range_ in space.values():
        if isinstance(range_, Choice):
            total *= sum(size(below(range_, value)) for value in range_.values)
        else:
            total *= number_of_points(range_)
    return total


def finite(space: SearchSpace) -> bool:
    """Whether the space has no real numbers, so that its grid is all of it."""
    return not any(isinstance(dimension.range, Real) for dimension in dimensions(space))


def grid(ranges: list[Dimension], values: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
    """Yields every point of the grid once; the last range changes fastest."""
    values = values or {}
    if not ranges:
        yield values
        return
    first, rest = ranges[0], ranges[1:]
    if not first.active(values):
        yield from grid(rest, values)
        return
    for value in points(first.range):
        yield from grid(rest, {**values, first.path: value})


def options(space: SearchSpace, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of a trial as nested options of the application."""
    found: dict[str, Any] = {}
    for dimension in dimensions(space):
        if dimension.path not in values or not dimension.active(values):
            continue
        value = values[dimension.path]
        if isinstance(dimension.range, Choice):
            value = next(known for known in dimension.range.values if label(known) == value)
        *groups, name = dimension.path.split(".")
        place = found
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = value
    return found


# Reading and writing ------------------------------------------------------------------------------------------------


def parse(path: str, content: Any) -> Space:
    """Reads one range from YAML or from the command line.

    Args:
        path: The option it belongs to, for messages.
        content: Text such as `log(1e-4, 1e-1)` or `16, 32, 64`, a list of values, or a mapping from values to their
            children.

    Raises:
        UserError: The text is no range, or the range is empty, inverted, or logarithmic and not above zero.
    """
    if isinstance(content, Real | Integer | Choice):
        return _checked(path, content)
    if isinstance(content, Mapping):
        children = {value: read_plain(nested or {}, f"{path}={label(value)}: ") for value, nested in content.items()}
        return _checked(
            path, Choice(*children, children={value: nested for value, nested in children.items() if nested})
        )
    if isinstance(content, list | tuple):
        return _checked(path, Choice(*content))
    call = _CALL.match(str(content))
    if call is None:
        return _checked(path, Choice(*_literals(str(content))))
    kind, numbers = call[1], _numbers(path, str(content), call[2])
    if len(numbers) not in (2, 3):
        raise UserError(
            f"{path}: expected {kind}(low, high) or {kind}(low, high, {_third(kind)}), received {content!r}."
        )
    if kind == "int":
        if any(number != int(number) for number in numbers):
            raise UserError(f"{path}: int(...) takes whole numbers, received {content!r}; use real(...).")
        return _checked(path, Integer(*map(int, numbers)))
    return _checked(path, Real(numbers[0], numbers[1], kind == "log", *map(int, numbers[2:])))


def _third(kind: str) -> str:
    return "step" if kind == "int" else "points of a grid"


def _numbers(path: str, text: str, inside: str) -> list[float]:
    try:
        return [float(number) for number in inside.split(",")]
    except ValueError:
        raise UserError(f"{path}: expected numbers between the brackets, received {text!r}.") from None


def _literals(text: str) -> list[Any]:
    import yaml

    try:
        values = yaml.safe_load(text if text.lstrip().startswith("[") else f"[{text}]")
    except yaml.YAMLError:
        values = [part.strip() for part in text.split(",")]
    return values if isinstance(values, list) else [values]


def _checked(path: str, range_: Space) -> Space:
    if isinstance(range_, Choice):
        labels = [label(value) for value in range_.values]
        if not labels:
            raise UserError(f"{path}: the range is empty; give at least one value.")
        if len(set(labels)) < len(labels):
            raise UserError(f"{path}: the values must differ, received {', '.join(labels)}.")
        return range_
    if not range_.low < range_.high:
        what = "empty" if range_.low == range_.high else "inverted"
        raise UserError(
            f"{path}: the range from {range_.low:g} to {range_.high:g} is {what}; the first must be smaller."
        )
    if isinstance(range_, Real) and not (math.isfinite(range_.low) and math.isfinite(range_.high)):
        raise UserError(f"{path}: the range must end at finite numbers, received {range_.low:g} to {range_.high:g}.")
    if isinstance(range_, Real) and range_.log and range_.low <= 0:
        raise UserError(f"{path}: a logarithmic range must begin above zero, received {range_.low:g}.")
    if isinstance(range_, Real) and range_.points < 2:
        raise UserError(f"{path}: a grid needs at least 2 points of the range, received {range_.points}.")
    if isinstance(range_, Integer) and range_.step < 1:
        raise UserError(f"{path}: the step must be at least 1, received {range_.step}.")
    return range_


def read_plain(content: Mapping[str, Any], where: str = "") -> dict[str, Space]:
    """Reads a space from plain data."""
    if not isinstance(content, Mapping):
        raise UserError(f"{where}expected a mapping from options to ranges, received {content!r}.")
    return {_path(name): parse(where + str(name), range_) for name, range_ in content.items()}


def read_file(file: str | Path) -> dict[str, Space]:
    """Reads a space from a YAML file."""
    return read_plain(read_yaml(file), f"'{file}': ")


def read_setting(text: str) -> tuple[str, Space]:
    """Reads `learning_rate=log(1e-4, 1e-1)`, the argument of `--set`."""
    name, equals, range_ = text.partition("=")
    if not equals or not name.strip() or not range_.strip():
        raise UserError(f"--set: expected option=range such as learning_rate=log(1e-4,1e-1), received {text!r}.")
    return _path(name), parse(_path(name), range_)


def _path(name: Any) -> str:
    return str(name).strip().replace("-", "_")


def plain(space: SearchSpace) -> dict[str, Any]:
    """Returns a space as plain data, as `read_plain` takes it."""
    found: dict[str, Any] = {}
    for path, range_ in space.items():
        if isinstance(range_, Integer):
            step = f", {range_.step}" if range_.step != 1 else ""
            found[path] = f"int({range_.low}, {range_.high}{step})"
        elif isinstance(range_, Real):
            grid_points = f", {range_.points}" if range_.points != Real.points else ""
            ends = ", ".join(repr(float(end)).removesuffix(".0") for end in (range_.low, range_.high))
            found[path] = f"{'log' if range_.log else 'real'}({ends}{grid_points})"
        elif range_.children:
            found[path] = {value: plain(below(range_, value)) for value in range_.values}
        else:
            found[path] = list(range_.values)
    return found


def lines(space: SearchSpace, indent: str = "  ") -> list[str]:
    """Returns a space as lines for a reader, children indented below the value they belong to."""
    found = []
    for path, range_ in space.items():
        written = plain({path: range_})[path]
        if isinstance(range_, Choice):
            written = ", ".join(map(label, range_.values))
        found.append(f"{indent}{path}: {written}")
        if isinstance(range_, Choice):
            for value, children in range_.children.items():
                found += lines(children, f"{indent}  with {label(value)}: ")
    return found


# An application's space ---------------------------------------------------------------------------------------------


def without(space: SearchSpace, path: str, value: Any) -> dict[str, Space]:
    """Returns the space with an option fixed: its range is gone, the children of its value count always."""
    rest: dict[str, Space] = {}
    for name, range_ in space.items():
        if name == path:
            if isinstance(range_, Choice):
                rest |= below(range_, value)
        elif isinstance(range_, Choice) and range_.children:
            children = {known: without(nested, path, value) for known, nested in range_.children.items()}
            rest[name] = Choice(*range_.values, children=children)
        else:
            rest[name] = range_
    return rest


def space_of(
    application: Application, *, given: SearchSpace | None = None, settings: SearchSpace | None = None, fixed: Any = ()
) -> dict[str, Space]:
    """Returns the space to search and checks it against the application.

    Args:
        application: The configuration the trials start from.
        given: A whole space; None takes the application's own, less what `fixed` names.
        settings: Ranges that replace or complete single ones.
        fixed: Dotted options the user has given a value.

    Raises:
        UserError: An unknown option (with the nearest name) or a value the application does not take.
    """
    space = dict(application.search_space() if given is None else given)
    if given is None:
        for path in fixed:
            if path not in (settings or {}):
                space = without(space, path, _value(application, path))
    for path, range_ in (settings or {}).items():
        space = {**without(space, path, None), path: range_}
    space = {path: parse(path, range_) for path, range_ in space.items()}
    if not space:
        raise UserError("The search space is empty: give ranges with --set option=range or --space FILE.")
    check(application, space)
    return space


def _value(application: Any, path: str) -> Any:
    value = application
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
    return value


def check(application: Application, space: SearchSpace) -> None:
    """Lets the application check the ends of every range, beside the other values it would stand with."""
    cls = type(application)
    kinds = {option.path: option.type for option in describe(cls)}
    ranges = dimensions(space)
    models = {d.condition: d.range.values for d in ranges if d.path == "model" and isinstance(d.range, Choice)}
    for dimension in ranges:
        top = dimension.path.split(".")[0]
        if top in FIXED:
            raise UserError(f"{dimension.path} belongs to the search as a whole and cannot differ between trials.")
        kind = kinds.get(dimension.path)
        allowed = get_args(kind) or (kind,)
        if int in allowed and float not in allowed and isinstance(dimension.range, Real):
            raise UserError(f"{dimension.path} is a whole number: use int(low, high) or a list of values.")
        known = points(dimension.range)
        for value in known if isinstance(dimension.range, Choice) else (known[0], known[-1]):
            beside = {dimension.path: value, **dict(dimension.condition)}
            for model in _models_beside(dimension, models, beside):
                _try(application, space, {**beside, **model})


def _models_beside(dimension: Dimension, models: Mapping[Any, Any], beside: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the models an option of the model must fit: the chosen one, or each that can be chosen."""
    if "model" in beside or not dimension.path.startswith("model_options.") or () not in models:
        return [{}]
    return [{"model": label(value)} for value in models[()]]


def _try(application: Application, space: SearchSpace, values: Mapping[str, Any]) -> None:
    from applications.core.config import to_dict

    try:
        from_dict(type(application), merge(to_dict(application), options(space, values))).check()
    except UserError as error:
        raise UserError(f"search space, {', '.join(f'{k}={v}' for k, v in values.items())}: {error}") from None
