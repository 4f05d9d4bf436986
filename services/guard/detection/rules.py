"""The rules as they are written: YAML files read into checked records, with the file, the line and the reason where one is wrong.

A pattern is a regular expression of Python, matched without regard to case, with these abbreviations: a space stands for white
space of any length, `{gap}` for a few words in between, `{near}` for the rest of a sentence, `{far}` for more, and `{name}` for one
of the `words` that the file lists under that name, parted by `|`. Patterns see the folded reading, so speech is written without
diacritics. For Hyperscan each pattern also exists in a wider form without counted repeats, which compile slowly or not at all: what
the wide form proposes, the exact form confirms. Knows nothing of matching and scoring.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ragmesh.guard.v1 import guard_service_pb2 as pb

MAX_FILE_BYTES = 256 * 1024
MAX_RULES = 1_000
MAX_PATTERN_CHARACTERS = 4_000

GAP = r"\s(?:[^.!?\n]{0,40}\s)?"
"""White space with at most forty characters in between, all in one sentence."""
NEAR = r"[^.!?\n]{0,120}"
"""The rest of a sentence, to a limit."""
FAR = r".{0,300}"
"""Anything, to a limit."""
_ABBREVIATIONS = {"gap": GAP, "near": NEAR, "far": FAR}

_NAME = re.compile(r"(?<!\\x)\{([a-z][a-z_]*)\}")
_CODE_POINT = re.compile(r"\\x\{([0-9a-fA-F]+)\}")
_COUNTED = re.compile(r"\{(\d+),\d+\}")
# An escape, a class, a counted repeat, or any other single character.
_TOKEN = re.compile(r"\\x\{[^}]*\}|\\.|\[\^?\]?(?:\\x\{[^}]*\}|\\.|[^\]\\])*\]|\{\d+,\d+\}|.", re.DOTALL)
_BETWEEN = re.compile(r"\s*\|\s*")
_LINE = "__line__"
_CATEGORIES = frozenset(pb.Category.keys()) - {"CATEGORY_UNSPECIFIED"}


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
        return pb.Severity.Value(f"SEVERITY_{self.name}")


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
    patterns: Annotated[list[Annotated[str, Field(min_length=3, max_length=800)]], Field(min_length=1, max_length=32)]
    example: Annotated[str, Field(min_length=1, max_length=1_000)]
    """A text that it matches."""
    counter_example: Annotated[str, Field(min_length=1, max_length=1_000)]
    """An honest text close to it that it does not match."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A pattern with its abbreviations written out."""

    exact: re.Pattern[str]
    """What is meant."""
    wide: str
    """Matches wherever `exact` does, in the syntax of Hyperscan."""


@dataclass(frozen=True, slots=True)
class LoadedRule:
    """A rule with what its file says for all rules in it."""

    rule: Rule
    category: pb.Category.ValueType
    targets: frozenset[Target]
    quotable: bool
    """Whether its words may be spoken about without being meant; see `mention.py`."""
    expressions: tuple[Expression, ...]
    where: str
    """`file:line`."""


class _RuleFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    category: str
    applies_to: Annotated[list[Target], Field(min_length=1)]
    quotable: bool = True
    words: dict[Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")], Annotated[str, Field(min_length=1, max_length=4_000)]] = {}
    rules: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MAX_RULES)]


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice and remembers where each mapping begins."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [str(key.value) for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.MarkedYAMLError(problem=f"{twice} is given twice", problem_mark=node.start_mark)
        return {**super().construct_mapping(node, deep=deep), _LINE: node.start_mark.line + 1}


def _reasons(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}" for item in error.errors())


def _without_lines(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_lines(item) for key, item in value.items() if key != _LINE}
    return value


def widened(expression: str) -> str:
    """A form of `expression` that matches wherever it does and holds no counted repeats.

    A repeated group becomes `.*`, a repeated character or class loses its upper bound.
    """
    out: list[str] = []
    opened: list[int] = []
    for part in _TOKEN.findall(expression):
        counted = _COUNTED.fullmatch(part)
        if part == "(":
            opened.append(len(out))
            out.append(part)
        elif counted is None:
            out.append(part)
            if part == ")":
                closed = opened.pop()
        elif out[-1] == ")":
            del out[closed:]
            out.append(".*")
        else:
            least = int(counted[1])
            out.append("*" if least == 0 else "+" if least == 1 else f"{{{least},}}")
    return "".join(out)


def needs_code_points(expression: str) -> bool:
    """Whether `expression` means something else when its UTF-8 is matched byte by byte."""
    before = ""
    for part in _TOKEN.findall(expression):
        if part.startswith("\\x{") or (part.startswith("[") and (not part.isascii() or "\\x{" in part)):
            return True
        if not before.isascii() and part[0] in "?*+{":
            return True
        before = part
    return False


def _expression(pattern: str, words: Mapping[str, str], where: str) -> Expression:
    def spell(match: re.Match[str]) -> str:
        name = match[1]
        if name in _ABBREVIATIONS:
            return _ABBREVIATIONS[name]
        if name not in words:
            raise RuleError(f"{where}: no words are listed under {name}")
        return f"(?:{_BETWEEN.sub('|', words[name].strip())})"

    written = _NAME.sub(spell, pattern.replace(" {gap}", "{gap}").replace("{gap} ", "{gap}"))
    written = written.replace(" ?", r"\s*").replace(" ", r"\s+")
    if len(written) > MAX_PATTERN_CHARACTERS:
        raise RuleError(f"{where}: a pattern has {len(written)} characters, at most {MAX_PATTERN_CHARACTERS} are allowed")
    try:
        # ASCII classes, as Hyperscan has them.
        exact = re.compile(_CODE_POINT.sub(_python_code_point, written), re.ASCII | re.IGNORECASE | re.DOTALL)
    except re.error as error:
        raise RuleError(f"{where}: not a regular expression: {pattern}: {error}") from None
    if exact.match(""):
        raise RuleError(f"{where}: a pattern matches the empty text: {pattern}")
    return Expression(exact, widened(written))


def _python_code_point(match: re.Match[str]) -> str:
    return f"\\U{int(match[1], 16):08x}"


def _read(path: Path) -> _RuleFile:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise RuleError(f"{path}:1: more than {MAX_FILE_BYTES} bytes")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a subclass of SafeLoader
    except UnicodeDecodeError as error:
        raise RuleError(f"{path}:1: not UTF-8 (byte {error.start})") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RuleError(f"{path}:{line}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise RuleError(f"{path}:1: {error}") from None
    if not isinstance(content, dict):
        raise RuleError(f"{path}:1: not a mapping")
    bare = {key: value if key == "rules" else _without_lines(value) for key, value in content.items() if key != _LINE}
    try:
        return _RuleFile.model_validate(bare)
    except ValidationError as error:
        raise RuleError(f"{path}:1: {_reasons(error)}") from None


def load_file(path: Path) -> list[LoadedRule]:
    """The rules of one file.

    Raises:
        RuleError: something in it is wrong.
    """
    file = _read(path)
    name = f"CATEGORY_{file.category.upper()}"
    if name not in _CATEGORIES:
        raise RuleError(f"{path}:1: {file.category} is no category")
    loaded = []
    for entry in file.rules:
        where = f"{path}:{entry.get(_LINE, 1)}"
        try:
            rule = Rule.model_validate(_without_lines(entry))
        except ValidationError as error:
            raise RuleError(f"{where}: {_reasons(error)}") from None
        expressions = tuple(_expression(pattern, file.words, where) for pattern in rule.patterns)
        loaded.append(LoadedRule(rule, pb.Category.Value(name), frozenset(file.applies_to), file.quotable, expressions, where))
    return loaded


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
