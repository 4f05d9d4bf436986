"""The rules as they are written: YAML files read into checked records, with the file, the line and the reason where one is wrong.

A rule has patterns, or parts: lists of words that stand near each other, in any order, such as a verb and what it is done to, with
words of context that make it surer. Knows nothing of matching and scoring.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.detection import expressions
from services.guard.detection.expressions import Expression, ExpressionError

MAX_FILE_BYTES = 256 * 1024
MAX_RULES = 2_000

_NAME = re.compile(r"[a-z][a-z_]*")
_LINE = "__line__"
_CATEGORIES = frozenset(pb.Category.keys()) - {"CATEGORY_UNSPECIFIED"}
T = TypeVar("T")
_Words = Annotated[str, Field(min_length=1, max_length=4_000)]


class RuleError(ValueError):
    """A rule file cannot be used; the message says `file:line: reason`."""


class Target(Enum):
    """What a rule is aimed at."""

    INPUT = "input"
    DOCUMENT = "document"
    OUTPUT = "output"


class SeverityName(Enum):
    """Severity as a rule file spells it."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    def to_proto(self) -> pb.Severity.ValueType:
        """The value of the contract."""
        return _SEVERITIES[self]


_SEVERITIES = {name: pb.Severity.Value(f"SEVERITY_{name.name}") for name in SeverityName}


class Rule(BaseModel):
    """One rule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z_]+\.[a-z0-9_]+$", max_length=128)]
    """`<file>.<what it sees>`; findings carry it."""
    severity: SeverityName
    score: Annotated[float, Field(gt=0, le=10)]
    """What it adds to its category's sum, once a text."""
    languages: Annotated[list[Annotated[str, Field(pattern=r"^([a-z]{2}|any)$")]], Field(min_length=1, max_length=16)]
    """Languages whose speech it matches; `any` for what is no language."""
    patterns: Annotated[list[Annotated[str, Field(min_length=3, max_length=800)]], Field(max_length=32)] = []
    """Regular expressions; it matches where one of them does."""
    parts: Annotated[list[_Words], Field(max_length=4)] = []
    """Lists of words, by name or written out; it matches where one word of each stands within `within` characters."""
    context: Annotated[list[_Words], Field(max_length=8)] = []
    """Lists of words of which one, so near, makes the parts meant."""
    alone: Annotated[float, Field(ge=0, le=10)] = 0.0
    """What the parts add without context; 0: they do not match without."""
    unless: Annotated[list[_Words], Field(max_length=4)] = []
    """Lists of words of which one, so near, makes the parts harmless."""
    within: Annotated[int, Field(ge=8, le=400)] = 80
    """Characters in which all parts must stand."""
    ordered: bool = False
    """Whether the parts must stand in the order given."""
    category: str = ""
    """Unlike the file's, if given."""
    applies_to: list[Target] = []
    """Unlike the file's, if given."""
    example: Annotated[str, Field(min_length=1, max_length=1_000)]
    """A text that it matches."""
    counter_example: Annotated[str, Field(min_length=1, max_length=1_000)]
    """An honest text close to it that it does not match."""

    @model_validator(mode="after")
    def _matches_something(self) -> Self:
        if not self.patterns and not self.parts:
            raise ValueError("needs patterns or parts")
        if not self.parts and (self.context or self.alone or self.unless):
            raise ValueError("context, alone and unless belong to parts")
        return self


@dataclass(frozen=True, slots=True)
class Parts:
    """What must stand near each other, spelled out."""

    words: tuple[Expression, ...]
    context: tuple[Expression, ...]
    unless: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class LoadedRule:
    """A rule with what its file says for all rules in it."""

    rule: Rule
    category: pb.Category.ValueType
    targets: frozenset[Target]
    quotable: bool
    """Whether its words may be spoken about without being meant; see `mention.py`."""
    code: bool
    """Whether what it sees is code, which a question may be about."""
    expressions: tuple[Expression, ...]
    """Its patterns, spelled out."""
    parts: Parts
    where: str
    """`file:line`."""


class _RuleFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    category: str
    applies_to: Annotated[list[Target], Field(min_length=1)]
    quotable: bool = True
    code: bool = False
    words: dict[Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")], _Words] = {}
    rules: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MAX_RULES)]


# The parser in C takes a tenth of the time, which is a good part of the guard's start.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A safe loader that refuses a key given twice and remembers where each mapping begins."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [str(key.value) for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.MarkedYAMLError(problem=f"{twice} is given twice", problem_mark=node.start_mark)
        return {**super().construct_mapping(node, deep=deep), _LINE: node.start_mark.line + 1}


def _reasons(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}" for item in error.errors())


def without_lines(value: Any) -> Any:
    """`value` as it is written, without the lines."""
    if isinstance(value, dict):
        return {key: without_lines(item) for key, item in value.items() if key != _LINE}
    return value


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a file, each mapping inside it with the line where it begins under `__line__`.

    Raises:
        RuleError: it is too long, no UTF-8, no YAML, or no mapping.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise RuleError(f"{path}:1: more than {MAX_FILE_BYTES} bytes")
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a subclass of SafeLoader
    except OSError as error:
        raise RuleError(f"{path}:1: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise RuleError(f"{path}:1: not UTF-8 (byte {error.start})") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RuleError(f"{path}:{line}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise RuleError(f"{path}:1: {error}") from None
    if not isinstance(content, dict):
        raise RuleError(f"{path}:1: not a mapping")
    return content


def checked(path: Path, make: Callable[[], T], line: int = 1) -> T:
    """What `make` makes.

    Raises:
        RuleError: what it makes something of is not as it should be.
    """
    try:
        return make()
    except ValidationError as error:
        raise RuleError(f"{path}:{line}: {_reasons(error)}") from None
    except ExpressionError as error:
        raise RuleError(f"{path}:{line}: {error}") from None


def _category(name: str, where: str) -> pb.Category.ValueType:
    full = f"CATEGORY_{name.upper()}"
    if full not in _CATEGORIES:
        raise RuleError(f"{where}: {name} is no category")
    return pb.Category.Value(full)


def _list(named: str, words: Mapping[str, str]) -> Expression:
    if named in words:
        return expressions.word_list(words[named])
    if _NAME.fullmatch(named):
        raise ExpressionError(f"no words are listed under {named}")
    return expressions.word_list(named)


def _loaded(entry: dict[str, Any], file: _RuleFile, where: str) -> LoadedRule:
    rule = Rule.model_validate(without_lines(entry))
    parts = Parts(*(tuple(_list(name, file.words) for name in names) for names in (rule.parts, rule.context, rule.unless)))
    return LoadedRule(
        rule,
        _category(rule.category or file.category, where),
        frozenset(rule.applies_to or file.applies_to),
        file.quotable,
        file.code,
        tuple(expressions.pattern(written, file.words) for written in rule.patterns),
        parts,
        where,
    )


def load_file(path: Path) -> list[LoadedRule]:
    """The rules of one file.

    Raises:
        RuleError: something in it is wrong.
    """
    content = read_yaml(path)
    bare = {key: value if key == "rules" else without_lines(value) for key, value in content.items() if key != _LINE}
    file = checked(path, lambda: _RuleFile.model_validate(bare))
    _category(file.category, f"{path}:1")
    return [_loaded_at(path, entry, file) for entry in file.rules]


def _loaded_at(path: Path, entry: dict[str, Any], file: _RuleFile) -> LoadedRule:
    line = entry.get(_LINE, 1)
    return checked(path, lambda: _loaded(entry, file, f"{path}:{line}"), line)


def load_rules(folder: Path) -> list[LoadedRule]:
    """All rules in `folder` (`*.yaml`), in the order of file names.

    Raises:
        RuleError: there is none, there are too many, a file is wrong, or an id is used twice.
    """
    found = [rule for path in sorted(folder.glob("*.yaml")) for rule in load_file(path)]
    if not 1 <= len(found) <= MAX_RULES:
        raise RuleError(f"{folder}: needs 1 to {MAX_RULES} rules, has {len(found)}")
    where: dict[str, str] = {}
    for item in found:
        if item.rule.id in where:
            raise RuleError(f"{item.where}: {item.rule.id} is also at {where[item.rule.id]}")
        where[item.rule.id] = item.where
    return found
