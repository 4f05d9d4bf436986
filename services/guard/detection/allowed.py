"""What an operator lets pass: words that a rule takes for an attack and that are none here, such as the name of a product.

    allow:
      - rules: [override.*, de.override_orders]
        words: forget-me-not | rule 42
        example: Where does the forget-me-not grow?

A match that lies inside such words is dropped. Knows the file; not what a match means.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from services.guard.detection import expressions
from services.guard.detection.expressions import Expression
from services.guard.detection.rules import RuleError, checked, read_yaml, without_lines

if TYPE_CHECKING:
    from services.guard.detection.matcher import Match

MAX_ENTRIES = 1_000


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: Annotated[
        list[Annotated[str, Field(pattern=r"^([a-z_]+\.([a-z0-9_]+|\*)|\*)$", max_length=128)]], Field(min_length=1, max_length=64)
    ] = ["*"]
    words: Annotated[str, Field(min_length=2, max_length=4_000)]
    example: Annotated[str, Field(min_length=1, max_length=1_000)]


class _AllowFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    allow: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MAX_ENTRIES)]


@dataclass(frozen=True, slots=True)
class Allowed:
    """Words inside which some rules do not count."""

    rules: frozenset[str]
    """Ids; `*` for all, `file.*` for all of a file."""
    words: Expression
    where: str
    """`file:line`."""

    def lets_pass(self, match: Match, data: bytes) -> bool:
        """Whether `match`, in bytes of `data`, lies inside these words."""
        name = match.rule.rule.id
        if not self.rules & {"*", name, f"{name.partition('.')[0]}.*"}:
            return False
        # White space and a sign beside a word of another script belong to the expression, not to the word.
        return any(found.start() <= match.start and match.end <= found.end() for found in self.words.exact.finditer(data))


def load_allowed(path: Path) -> list[Allowed]:
    """The allow-list in a file.

    Raises:
        RuleError: something in it is wrong, or an example does not hold its words.
    """
    content = read_yaml(path)
    entries = content.get("allow")
    lines = [entry.get("__line__", 1) if isinstance(entry, dict) else 1 for entry in entries] if isinstance(entries, list) else []
    file = checked(path, lambda: _AllowFile.model_validate(without_lines(content)))
    return [_allowed(path, entry, line) for entry, line in zip(file.allow, lines, strict=True)]


def _allowed(path: Path, content: dict[str, Any], line: int) -> Allowed:
    entry = checked(path, lambda: _Entry.model_validate(without_lines(content)), line)
    words = checked(path, lambda: expressions.word_list(entry.words), line)
    if not words.exact.search(expressions.folded(entry.example).encode("utf-8", "replace")):
        raise RuleError(f"{path}:{line}: the example holds none of the words")
    return Allowed(frozenset(entry.rules), words, f"{path}:{line}")
