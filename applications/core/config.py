"""Configuration: a frozen dataclass, a YAML file and the command line are three spellings of the same thing.

A configuration class is a (possibly nested) dataclass whose fields carry their help text in `option(...)`. Values come
from the class's defaults, then the YAML file, then the command line; every key and every value is checked, and a
misspelt one is refused with the nearest name.
"""

import dataclasses
import math
import types
import typing
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, Union

from applications.core.errors import UserError, nearest

T = TypeVar("T")


def option(default: Any, help: str, **metadata: Any) -> Any:
    """Returns a dataclass field with a default, a help text and, optionally, `minimum=`, `above=` and `maximum=`."""
    metadata["help"] = help
    if isinstance(default, dict | list):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def group(cls: type, help: str) -> Any:
    """Returns a dataclass field that holds the nested configuration `cls` with its defaults."""
    return dataclasses.field(default_factory=cls, metadata={"help": help})


class Option(NamedTuple):
    """One configurable value: its dotted path, type, default and help text."""

    path: str
    type: Any
    default: Any
    help: str
    field: dataclasses.Field


def _default(field: dataclasses.Field) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def describe(cls: type, prefix: str = "", usual: Any = None) -> tuple[Option, ...]:
    """Lists every option of a configuration class, nested groups included, in the order they are declared.

    Args:
        cls: A configuration dataclass.
        prefix: Dotted path of it within the whole configuration.
        usual: An instance with the defaults, where they are not those of the class: a task may have its own of a group.
    """
    hints = typing.get_type_hints(cls)
    found: list[Option] = []
    for field in dataclasses.fields(cls):
        default = _default(field) if usual is None else getattr(usual, field.name)
        if dataclasses.is_dataclass(default):
            found += describe(type(default), f"{prefix}{field.name}.", default)
        else:
            path = prefix + field.name
            found.append(Option(path, hints[field.name], default, field.metadata.get("help", ""), field))
    return tuple(found)


def type_name(kind: Any) -> str:
    """Returns a reader's name for a type: "int", "float or none", "single, mirrored or tpu"."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is types.NoneType:
        return "none"
    if origin is Literal:
        return _enumerate([str(value) for value in arguments])
    if origin in (Union, types.UnionType):
        return _enumerate([type_name(argument) for argument in arguments])
    if origin is tuple:
        return f"{type_name(arguments[0])} values, comma-separated"
    if origin is dict or kind is dict:
        return "mapping"
    return {str: "text", bool: "true or false"}.get(kind, getattr(kind, "__name__", str(kind)))


def _enumerate(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _convert(value: Any, kind: Any, path: str) -> Any:
    """Returns `value` (from YAML or text) as `kind`; raises UserError naming `path` otherwise."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    refuse = UserError(f"{path}: expected {type_name(kind)}, received {value!r}.")
    if origin in (Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() in ("none", "null")):
            if types.NoneType in arguments:
                return None
            raise refuse
        for argument in arguments:
            if argument is not types.NoneType:
                try:
                    return _convert(value, argument, path)
                except UserError:
                    continue
        raise refuse
    if origin is Literal:
        if value is None and "none" in arguments:
            return "none"
        for choice in arguments:  # the type counts, since True == 1; words of the command line are text
            if type(value) in (type(choice), str) and str(value) == str(choice):
                return choice
        hint = nearest(str(value), [str(choice) for choice in arguments])
        raise UserError(f"{path}: expected {type_name(kind)}, received {value!r}.{hint}")
    if origin is tuple:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            raise refuse
        return tuple(_convert(item, arguments[0], path) for item in items)
    if origin is dict or kind is dict:
        if not isinstance(value, dict):
            raise refuse
        return {str(key): item for key, item in value.items()}
    return _convert_scalar(value, kind, refuse)


def _convert_scalar(value: Any, kind: Any, refuse: UserError) -> Any:
    if kind is Any:
        return value
    if kind is bool:
        if isinstance(value, bool):
            return value
        truth = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if str(value).lower() not in truth:
            raise refuse
        return truth[str(value).lower()]
    if kind is str:
        if isinstance(value, dict | list | bool) or value is None:
            raise refuse
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise refuse
    try:
        number = float(value)
        if not math.isfinite(number):
            raise refuse
        if kind is int:
            if number != int(number):
                raise refuse
            return int(number)
        return number
    except (ValueError, OverflowError):
        raise refuse from None


def _check_range(value: Any, field: dataclasses.Field, path: str) -> None:
    low, high, above = (field.metadata.get(name) for name in ("minimum", "maximum", "above"))
    for number in value if isinstance(value, tuple) else (value,):
        if not isinstance(number, int | float) or isinstance(number, bool):
            continue
        if above is not None and number <= above:
            raise UserError(f"{path}: expected a value above {above}, received {number!r}.")
        if (low is not None and number < low) or (high is not None and number > high):
            bounds = (
                f"between {low} and {high}"
                if high is not None and low is not None
                else (f"of at least {low}" if high is None else f"of at most {high}")
            )
            raise UserError(f"{path}: expected a value {bounds}, received {number!r}.")


def from_dict(cls: type[T], values: dict[str, Any], prefix: str = "", usual: T | None = None) -> T:
    """Builds the configuration `cls` from nested plain data.

    Args:
        cls: A configuration dataclass.
        values: Nested dict as read from YAML; missing keys take their defaults.
        prefix: Dotted path of `values` within the whole configuration, for messages.
        usual: What missing keys are taken from, instead of the defaults of the class.

    Returns:
        An instance of `cls`.

    Raises:
        UserError: An unknown key (with the nearest one) or a value of the wrong type or range.
    """
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, cls))}
    arguments: dict[str, Any] = {}
    for name, value in _by_name(values, prefix).items():
        if name not in fields:
            raise UserError(f"Unknown option {prefix + name!r}.{nearest(name, fields)}")
        path, kind = prefix + name, hints[name]
        if dataclasses.is_dataclass(kind):
            if not isinstance(value, dict):
                names = ", ".join(f.name for f in dataclasses.fields(kind))
                raise UserError(f"{path}: expected a group of options ({names}), received {value!r}.")
            default = _default(fields[name]) if usual is None else getattr(usual, name)
            arguments[name] = from_dict(type(default), value, f"{path}.", default)
        else:
            arguments[name] = _convert(value, kind, path)
            _check_range(arguments[name], fields[name], path)
    return cls(**arguments) if usual is None else dataclasses.replace(typing.cast(Any, usual), **arguments)


def _by_name(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns values by the names of fields (`batch_size` for `batch-size`); refuses a name that is there twice."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = str(key).replace("-", "_")
        if name in found:
            dashed = name.replace("_", "-")
            raise UserError(f"{prefix}{name} is given twice, as {name!r} and as {dashed!r}; keep one of them.")
        found[name] = value
    return found


def to_dict(config: Any) -> dict[str, Any]:
    """Returns a configuration as nested plain data (the inverse of `from_dict`)."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return list(value) if isinstance(value, tuple) else value

    return plain(config)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Reads a YAML file that holds a mapping; raises UserError in one sentence otherwise."""
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"The configuration file {str(path)!r} does not exist.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The configuration file {str(path)!r} cannot be read: {error}.") from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" (line {where.line + 1})" if where else ""
        raise UserError(f"{str(path)!r} is not valid YAML{line}: {getattr(error, 'problem', error)}.") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{str(path)!r} must hold `option: value` lines, received {type(content).__name__}.")
    return content


def to_yaml(config: Any) -> str:
    """Returns the whole configuration as YAML text."""
    import yaml

    return yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True)


def parse_arguments(cls: type, arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Turns `--augment.rotation 15 --deterministic` into nested plain data.

    Args:
        cls: The configuration dataclass that says which options exist.
        arguments: Words of the command line. Booleans need no value (`--deterministic`, `--no-deterministic`);
            keys of mapping options follow a dot (`--model-options.depth 3`).

    Returns:
        The nested values, and the words that are not options.
    """
    options = {entry.path: entry for entry in describe(cls)}
    values: dict[str, Any] = {}
    rest: list[str] = []
    words = iter(range(len(arguments)))
    for position in words:
        word = arguments[position]
        if not word.startswith("--") or word == "--":
            rest.append(word)
            continue
        name, equals, text = word[2:].partition("=")
        path = name.replace("-", "_")
        following = arguments[position + 1] if position + 1 < len(arguments) else None
        parent, _, key = path.partition(".")
        if path in options and _is_bool(options[path].type):
            if not equals and following is not None and following.lower() in ("true", "false"):
                text = arguments[next(words)]
            _put(values, path, text or "true")
        elif path.removeprefix("no_") in options and _is_bool(options[path.removeprefix("no_")].type):
            _put(values, path.removeprefix("no_"), "false")
        elif path in options or (parent in options and options[parent].type == dict[str, Any] and key):
            if not equals:
                if following is None or (following.startswith("--") and len(following) > 2):
                    raise UserError(f"--{name}: a value is missing.")
                text = arguments[next(words)]
            is_mapping = path not in options or options[path].type == dict[str, Any]
            _put(values, path, _literal(text) if is_mapping else text)
        else:
            hint = nearest(path, options).replace("_", "-")
            raise UserError(f"Unknown option '--{name}'.{hint.replace(chr(39), chr(39) + '--', 1)}")
    return values, rest


def _is_bool(kind: Any) -> bool:
    return kind is bool


def _literal(text: str) -> Any:
    """Reads a value whose type nothing declares (builder arguments) as YAML: 3, 0.5, true, [64, 32], relu."""
    import yaml

    if text.lower() == "none":
        return None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _put(values: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            name = path.replace("_", "-")
            raise UserError(
                f"--{name}: {parent} is already given as {values!r}, not as a mapping; give one of the two."
            )
    values[last] = value


def merge(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """Returns `base` with the values of `override` laid over it, group by group."""
    merged = _by_name(base)
    for key, value in _by_name(override).items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged
