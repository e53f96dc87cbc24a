"""Argument names and defaults of builders, read from their source so that Keras stays unimported."""

from __future__ import annotations

import ast
import functools
import importlib.util
from pathlib import Path
from typing import Any

Function = ast.FunctionDef


@functools.cache
def _functions(module: str) -> dict[str, Function]:
    """Returns the module's top-level functions without importing the module (its package is imported)."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"module {module!r} has no source to read")
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _own_parameters(function: Function) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns positional-or-keyword and keyword-only parameters with their defaults."""
    arguments = function.args
    together = [*arguments.posonlyargs, *arguments.args]
    values = [ast.literal_eval(default) for default in arguments.defaults]
    defaults = dict(zip([argument.arg for argument in together][-len(values) :], values, strict=True)) if values else {}
    positional = {argument.arg: defaults[argument.arg] for argument in arguments.args if argument.arg in defaults}
    keyword_only = {
        argument.arg: ast.literal_eval(default)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is not None
    }
    return positional, keyword_only


def _family(function: Function) -> str | None:
    """Returns the name given as `@register_model(family=...)`."""
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call):
            for keyword in decorator.keywords:
                if keyword.arg == "family" and isinstance(keyword.value, ast.Name):
                    return keyword.value.id
    return None


def function_parameters(module: str, name: str) -> dict[str, Any]:
    """Returns argument name -> default of the builder `name` in `module`, its family's arguments included."""
    functions = _functions(module)
    if name not in functions:
        raise ValueError(f"{module} holds no function {name!r}")
    positional, keyword_only = _own_parameters(functions[name])
    family = _family(functions[name])
    if family is not None:
        inherited = _own_parameters(functions[family])[1]
        words = {key: value for key, value in keyword_only.items() if key not in inherited}
        keyword_only = {**words, **inherited, **keyword_only, "name": name}
    return {**positional, **keyword_only}
