"""Patterns and lists of words as rule files write them, spelled out for the two engines.

A pattern is a regular expression that Hyperscan and RE2 both know, matched without regard to case, with these abbreviations: a
space stands for white space of any length, `{gap}` for a few words in between, `{near}` for the rest of a sentence, `{far}` for
more, and `{name}` for one of the `words` that the file lists under that name, parted by `|`.

A list of words is parted by `|`: `forget | ignor* | set aside | *anweisung*`. A `*` stands for any beginning or ending, `~` for up
to two other words, `( | )` for a choice inside an entry, `?` for what may be left out.

Both see the folded reading; letters with diacritics in them are folded here, so that speech is written as it is spelled. What both
engines match byte by byte is put so that they agree: bytes of other scripts have no case.

What may match is told by the atoms of an expression: simpler expressions, each of which matches wherever it does. A list of words
is its own atom; a pattern has one for each stretch that it cannot do without, for what counts, repeats or leaves out makes both
engines slow. What the atoms propose, the exact form confirms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import re2

from services.guard.views import fold

MAX_PATTERN_CHARACTERS = 4_000

GAP = r"\s(?:[^.!?\n]{0,40}\s)?"
"""White space with at most forty characters in between, all in one sentence."""
NEAR = r"[^.!?\n]{0,120}"
"""The rest of a sentence, to a limit."""
FAR = r".{0,300}"
"""Anything, to a limit."""
_ABBREVIATIONS = {"gap": GAP, "near": NEAR, "far": FAR}

_NAME = re.compile(r"(?<!\\x)\{([a-z][a-z_]*)\}")
_COUNTED = re.compile(r"\{(\d+),\d+\}")
# An escape, a class, a counted repeat, or any other single character.
_TOKEN = re.compile(r"\\x\{[^}]*\}|\\.|\[\^?\]?(?:\\x\{[^}]*\}|\\.|[^\]\\])*\]|\{\d+,\d+\}|.", re.DOTALL)
_QUANTIFIER = re.compile(r"(?:[*+?]|\{\d+(?:,\d*)?\})\??")
_LEAST_ATOM = 3
"""Letters and signs that an atom must have in any case; with fewer it proposes everything."""
_BETWEEN = re.compile(r"\s*\|\s*")
_ENTRY = re.compile(r"[^\\\[\]{}+^$.]+")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_NOT_ASCII_QUANTIFIED = re.compile(r"([^\x00-\x7f])(?=\?)")
# Before and after a word of another script: the ends of the text, or an ASCII character that is no part of a word.
_BEFORE = r"(?:^|[\x00-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f])"
_AFTER = r"(?:\z|[\x00-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f])"
_MAX_MEMORY = 16 * 1024 * 1024


class ExpressionError(ValueError):
    """A pattern or a list of words cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Atom:
    """What the engines look for."""

    wide: str
    """In the syntax of Hyperscan."""
    code_points: bool
    """Whether it means something else when its UTF-8 is matched byte by byte."""

    @property
    def least(self) -> int:
        """Letters and signs that it matches at least: what has more of them is rarer."""
        return least(self.wide)


@dataclass(frozen=True, slots=True)
class Expression:
    """A pattern or a list of words, spelled out."""

    atoms: tuple[Atom, ...]
    """Each matches wherever `exact` does."""
    exact: Any = field(repr=False, compare=False)
    """What is meant: a compiled pattern of RE2 over UTF-8 bytes."""
    source: str = field(repr=False, compare=False)
    """The exact form, as it is written for Hyperscan."""


def folded(written: str) -> str:
    """`written` with its non-ASCII letters folded and the syntax around them as it was."""
    return _NOT_ASCII.sub(lambda run: fold(run[0]), written)


def options(*, code_points: bool) -> re2.Options:
    """How RE2 reads an expression here."""
    found = re2.Options()
    found.encoding = re2.Options.Encoding.UTF8 if code_points else re2.Options.Encoding.LATIN1
    found.case_sensitive = False
    found.dot_nl = True
    found.never_capture = True
    found.log_errors = False
    found.max_mem = _MAX_MEMORY
    return found


def for_re2(expression: str, *, code_points: bool) -> bytes:
    """`expression` for RE2: in Latin-1 it would hold two bytes of other scripts for one letter in two cases."""
    return (expression if code_points else _NOT_ASCII.sub(lambda run: f"(?-i:{run[0]})", expression)).encode()


def _made(source: str, wide: Sequence[str]) -> Expression:
    if len(source) > MAX_PATTERN_CHARACTERS:
        raise ExpressionError(f"{len(source)} characters spelled out, at most {MAX_PATTERN_CHARACTERS} are allowed")
    points = needs_code_points(source)
    try:
        exact = re2.compile(for_re2(source, code_points=points), options(code_points=points))
    except re2.error as error:
        raise ExpressionError(f"not a regular expression: {_reason(error)}") from None
    if exact.match(b""):
        raise ExpressionError("matches the empty text")
    return Expression(tuple(Atom(_ended(item), needs_code_points(item)) for item in wide), exact, source)


def _ended(expression: str) -> str:
    """`expression` with the end of the text written so that both engines take it for the same: to Hyperscan `$` may stand before a
    last line feed.
    """
    return _TOKEN.sub(lambda part: r"\z" if part[0] == "$" else part[0], expression)


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)


def pattern(written: str, words: Mapping[str, str]) -> Expression:
    """A pattern with its abbreviations written out.

    Raises:
        ExpressionError: it is no regular expression, names words that are not listed, is too long, or matches the empty text.
    """

    def spell(match: re.Match[str]) -> str:
        name = match[1]
        if name in _ABBREVIATIONS:
            return _ABBREVIATIONS[name]
        if name not in words:
            raise ExpressionError(f"no words are listed under {name}")
        return f"(?:{_BETWEEN.sub('|', words[name].strip())})"

    source = _NAME.sub(spell, folded(written).replace(" {gap}", "{gap}").replace("{gap} ", "{gap}"))
    source = source.replace(" ?", r"\s*").replace(" ", r"\s+")
    return _made(source, required(source))


def word_list(written: str) -> Expression:
    """A list of words as one expression.

    Raises:
        ExpressionError: an entry is empty or holds what only a pattern may, or the list is too long.
    """
    spelled = "|".join(_entry(entry) for entry in _entries(written))
    return _made(spelled, (spelled,))


def _entries(written: str) -> list[str]:
    """What the bars outside parentheses part."""
    entries = [""]
    depth = 0
    for character in written:
        depth += (character == "(") - (character == ")")
        if character == "|" and depth == 0:
            entries.append("")
        else:
            entries[-1] += character
        if depth < 0:
            break
    if depth != 0:
        raise ExpressionError(f"parentheses do not match: {entries[-1].strip()!r}")
    return entries


def _entry(entry: str) -> str:
    text = folded(entry.strip())
    bare = text.strip("*")
    letters = [character for character in bare if character.isalnum()]
    if not letters or not _ENTRY.fullmatch(text):
        raise ExpressionError(f"not a word or words: {entry.strip()!r}")
    middle = re.sub(r"\s*\|\s*", "|", bare).replace("(", "(?:")
    middle = _NOT_ASCII_QUANTIFIED.sub(r"(?:\1)", middle.replace("*", r"\S*"))
    middle = re.sub(r"\s+", r"\\s+", re.sub(r"\s+~\s+", " " + r"(?:\\S+ )?" * 2, middle))
    if "~" in middle:
        raise ExpressionError(f"~ stands between two words: {entry.strip()!r}")
    before = "" if text.startswith(("*", "(*")) or (not bare[0].isalnum() and bare[0] != "(") else _edge(letters[0], _BEFORE)
    after = "" if text.endswith(("*", "*)")) or (not bare[-1].isalnum() and bare[-1] not in ")?") else _edge(letters[-1], _AFTER)
    return f"{before}{middle}{after}"


def _edge(letter: str, other_script: str) -> str:
    return r"\b" if letter.isascii() else other_script


def required(expression: str) -> tuple[str, ...]:
    """Expressions each of which matches wherever `expression` does: the stretches of it that nothing repeats or leaves out.

    One that is a choice, or has no stretch of some letters, is widened as a whole.
    """
    stretches: list[list[str]] = [[]]
    for element, quantifier in _elements(expression):
        if element == "|":
            return (widened(expression),)
        if element == r"\s" and quantifier in ("*", "+"):
            stretches[-1].append(element + quantifier)
        elif quantifier == "" or (quantifier == "?" and element.isalnum()):
            stretches[-1].append(widened(element) + quantifier)
        else:
            stretches.append([])
    kept = tuple(dict.fromkeys(map(_bare, stretches)))
    found = tuple(item for item in kept if least(item) >= _LEAST_ATOM)
    return found or (widened(expression),)


def _bare(parts: Sequence[str]) -> str:
    """A stretch without the white space and what may be left out at its ends: they tell nothing."""
    needed = [place for place, part in enumerate(parts) if not part.startswith(r"\s") and (part[-1] != "?" or part == r"\?")]
    return "".join(parts[needed[0] : needed[-1] + 1]) if needed else ""


def _elements(expression: str) -> Iterator[tuple[str, str]]:
    """What `expression` is put together of, each with its quantifier."""
    place = 0
    while place < len(expression):
        end = _end_of_element(expression, place)
        quantifier = _QUANTIFIER.match(expression, end)
        after = quantifier.end() if quantifier else end
        yield expression[place:end], expression[end:after]
        place = after


def _end_of_element(expression: str, place: int) -> int:
    depth = 0
    for part in _TOKEN.finditer(expression, place):
        depth += (part[0] == "(") - (part[0] == ")")
        if depth <= 0:
            return part.end()
    return len(expression)


@lru_cache(maxsize=8192)
def least(expression: str) -> int:
    """Letters and signs that a match of `expression` holds at least, those of classes not counted."""
    choices = [0]
    for element, quantifier in _elements(expression):
        if element == "|":
            choices.append(0)
        elif quantifier in ("", "+") or quantifier.startswith(("{1", "{2", "{3")):
            choices[-1] += _least_of(element)
    return min(choices)


def _least_of(element: str) -> int:
    if element.startswith("(?:"):
        return least(element[3:-1])
    if element.startswith("(?i:"):
        return least(element[4:-1])
    if element.startswith(("(", "[")) or element in "^$.":
        return 0
    return int(len(element) == 1 or not element[1].isalnum())


def widened(expression: str) -> str:
    """A form of `expression` that matches wherever it does and holds no counted repeats.

    A repeated group becomes `.*`, a repeated character or class loses its upper bound.
    """
    out: list[str] = []
    opened: list[int] = []
    closed = 0
    for part in _TOKEN.findall(expression):
        counted = _COUNTED.fullmatch(part)
        if part == "(":
            opened.append(len(out))
            out.append(part)
        elif counted is None:
            out.append(part)
            if part == ")" and opened:
                closed = opened.pop()
        elif not out:
            return expression  # nothing to repeat: no regular expression
        elif out[-1] == ")":
            del out[closed:]
            out.append(".*")
        else:
            least = int(counted[1])
            out.append("*" if least == 0 else "+" if least == 1 else f"{{{least},}}")
    return "".join(out)


@lru_cache(maxsize=8192)
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
