"""Fills typed values into a YAML file that a person can read. Knows nothing of Envoy.

`${name}` alone becomes the value with its type; a list item `"${*name}"` becomes the items of that list; inside longer text the
value is written out. Substitution happens after parsing, so that no value can change the structure of the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_ALONE = re.compile(r"^\$\{([a-z_]+)\}$")
_SPLICED = re.compile(r"^\$\{\*([a-z_]+)\}$")
_INSIDE = re.compile(r"\$\{([a-z_]+)\}")


class TemplateError(Exception):
    """A template asks for a value that was not given, or a value has the wrong shape for its place."""


def load(path: Path) -> Any:
    """The tree of a YAML file, with its `${...}` still in it."""
    return yaml.safe_load(path.read_text(encoding="utf8"))


def fill(tree: Any, values: Mapping[str, Any]) -> Any:
    """A copy of `tree` with `values` in place.

    Raises:
        TemplateError: where a value is missing, or a spliced one is no list.
    """
    if isinstance(tree, dict):
        return {key: fill(value, values) for key, value in tree.items()}
    if isinstance(tree, list):
        return [filled for item in tree for filled in _items(item, values)]
    if isinstance(tree, str):
        if found := _ALONE.match(tree):
            return _value(found[1], values)
        return _INSIDE.sub(lambda hit: str(_value(hit[1], values)), tree)
    return tree


def _items(item: Any, values: Mapping[str, Any]) -> list[Any]:
    if isinstance(item, str) and (found := _SPLICED.match(item)):
        spliced = _value(found[1], values)
        if not isinstance(spliced, list):
            raise TemplateError(f"${{*{found[1]}}} needs a list")
        return spliced
    return [fill(item, values)]


def _value(name: str, values: Mapping[str, Any]) -> Any:
    try:
        return values[name]
    except KeyError:
        raise TemplateError(f"no value for ${{{name}}}") from None
