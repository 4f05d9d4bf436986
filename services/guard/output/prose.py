"""Which lines of a text are running text, and which are made for the eye: tables, code, lists of addresses, formulas.

What holds for sentences does not hold for them: a table repeats its cells and its rules, code is full of signs. Knows lines; not
what is wrong with them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCE = re.compile(r"^\s{0,3}(?:```|~~~)")
_RULE = re.compile(r"^\s*[|+:]?(?:\s*[-=_*~+:.·•—–]\s*[|+]?){3,}\s*$")
_CODE = re.compile(
    r"^(?: {4,}|\t)\S|[;{}]\s*$|^\s*(?:[})\]]+[;,]?|//|/\*|#include|import |from \w+ import|def |class \w+[:(]|fn |let "
    r"|const |var |return\b|"
    r"\$ |> |>>> |@\w|<\w[^>]*/?>|<!--|--\w|select |insert |sudo |pip |npm |curl |git )|^\s*[\w.\[\]\"']+\s*(?:[-+*/"
    r"|&]?=|:=|->|=>)\s*\S|"
    r"^\s*\"?[\w-]+\"?\s*:\s*[\"\[{\d]|^\s*[-\w]+\s*:\s*\S+$|==|!=|&&|\|\||::|\\[a-z]+\{",
    re.IGNORECASE,
)
_CALL = re.compile(r"\w\(")
_INLINE_CODE = re.compile(r"`[^`\n]{1,400}`")
DISPLAYED = re.compile(r"\$\$.{1,2000}?\$\$|\\\[.{1,2000}?\\\]", re.S)
# What was to be filled stands there as code does, and is none.
_PLACE_AT_END = re.compile(r"(?<=[a-z] )(?:\{\{[^{}\n]{0,80}\}\}|\$?\{[\w. ]{1,40}\})\s*$")
_FORMULA = re.compile(r"\$[^$\n]{1,400}\$|\\\([^\n]{1,400}?\\\)")


@dataclass(frozen=True, slots=True)
class Prose:
    """A text with what is no running text taken out."""

    text: str
    """The running text, lines joined as they were."""
    made: int
    """Characters that were taken out."""


def _called(line: str) -> bool:
    """Whether a line ends with a call of something: `f(...)`, and `;`, `:` or `{` right behind. A search would begin at each
    bracket."""
    end = line[:-1].rstrip() if line[-1:] in (";", ":", "{") else line.rstrip()
    return end.endswith(")") and _CALL.search(end, 0, len(end) - 1) is not None


def _for_the_eye(line: str) -> bool:
    if (
        line.count(" | ") + line.startswith("|") + line.rstrip().endswith("|") >= 2
        or line.count("\t") >= 2
        or line.count(";") >= 4
        or _RULE.match(line)
    ):
        return True
    if _called(line):
        return True
    words = line.split()
    if len(words) >= 6 and sum(word[:1].isdigit() for word in words) >= 0.4 * len(words):
        return True
    return _CODE.search(_PLACE_AT_END.sub("x", line) if line.rstrip().endswith("}") else line) is not None


def prose(text: str) -> Prose:
    """The running text of `text`. Inline code and formulas leave one letter in their place."""
    if "\n" not in text and not any(mark in text for mark in "`|\t={};$\\<()[:"):
        return Prose(text, 0)
    kept: list[str] = []
    fenced = False
    shown = DISPLAYED.sub("x", text) if "$$" in text or "\\[" in text else text
    for line in shown.split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and not _for_the_eye(line):
            kept.append(line)
    joined = "\n".join(kept)
    if "`" in joined:
        joined = _INLINE_CODE.sub("x", joined)
    if "$" in joined or "\\" in joined:
        joined = _FORMULA.sub("x", joined)
    return Prose(joined, len(text) - len(joined))
