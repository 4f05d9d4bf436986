"""Frequent words of instructions, and what they look like when a text is written backwards, by ROT13 or run together."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from pathlib import Path

import yaml

from services.guard.views.folding import fold

_FILE = Path(__file__).with_name("words.yaml")
_FUNCTION_WORDS = _FILE.parents[1] / "understanding" / "function_words.yaml"
_LEAST_SIGN = 4
"""A shorter word, turned or rotated, is a word of some language too often to be a sign."""
_SHORT = frozenset({"the", "and", "you", "all"})
"""Words so frequent that they are signs all the same."""
_LONGEST = 16
_MIN_COVERED = 0.75
"""Part of a run of letters that must be known words for it to be taken for words run together."""
_MIN_MEAN = 3.0
"""Letters that these words must have on average: of the shortest ones of many languages, any long word can be made."""


@cache
def _spelled() -> frozenset[str]:
    lists: dict[str, str] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return frozenset(word for line in lists.values() for word in line.split())


@cache
def _common() -> frozenset[str]:
    """Those, and what no sentence is without, whatever it orders."""
    lists: dict[str, str] = yaml.safe_load(_FUNCTION_WORDS.read_text(encoding="utf-8"))
    return _spelled() | {word for line in lists.values() for word in line.split()}


@cache
def words() -> frozenset[str]:
    """The words, folded."""
    return frozenset(map(fold, _spelled()))


def _signs(change: Callable[[str], str], of: Iterable[str]) -> set[str]:
    return {change(word) for word in of if len(word) >= _LEAST_SIGN or word in _SHORT} - set(map(fold, _common()))


def _alternation(signs: Iterable[str]) -> str:
    return "|".join(map(re.escape, sorted(signs)))


def _rotated(word: str) -> str:
    # Before folding: ROT13 leaves letters with diacritics as they are.
    return fold(codecs.encode(word, "rot13"))


@cache
def reversed_signs() -> str:
    """An alternation of the words written backwards, those left out that are words forwards."""
    rotated = _signs(_rotated, _common())
    return _alternation(_signs(lambda word: word[::-1], map(fold, _common())) | {word[::-1] for word in rotated} - words())


@cache
def rotated_signs() -> str:
    """The same for ROT13, which leaves words of other scripts as they are."""
    return _alternation(_signs(_rotated, _common()))


@cache
def _lengths() -> dict[str, tuple[int, ...]]:
    """Lengths of the words by their last two letters, longest first."""
    found: dict[str, set[int]] = {}
    for word in words():
        if 1 < len(word) <= _LONGEST:
            found.setdefault(word[-2:], set()).add(len(word))
    return {ending: tuple(sorted(lengths, reverse=True)) for ending, lengths in found.items()}


def count(text: str) -> int:
    """Known words in a folded `text`."""
    return sum(word in words() for word in text.split())


@lru_cache(maxsize=64)
def parted(run: str) -> str | None:
    """A run of lower-case letters with spaces between the known words in it, or None where it is not mostly made of such.

    The parting that leaves fewest letters over wins, and of those the one with fewest words. The last ones are remembered: several
    readings of a text hold the same run.
    """
    known, lengths = words(), _lengths()
    # For each prefix: letters left over, words, where the last part begins.
    best: list[tuple[int, int, int]] = [(0, 0, 0)]
    for end in range(1, len(run) + 1):
        over, count, _ = best[end - 1]
        # A word of one letter is worth no more than a letter left over.
        choice = (over + 1, count, end - 1)
        for length in lengths.get(run[max(0, end - 2) : end], ()):
            start = end - length
            if start >= 0 and run[start:end] in known:
                over, count, _ = best[start]
                choice = min(choice, (over, count + 1, start))
        best.append(choice)
    over, count, _ = best[-1]
    if over > (1 - _MIN_COVERED) * len(run) or len(run) - over < _MIN_MEAN * count:
        return None
    parts: list[str] = []
    end = len(run)
    unknown = end
    while end:
        start = best[end][2]
        if run[start:end] in known and end - start > 1:
            if unknown > end:
                parts.append(run[end:unknown])
            parts.append(run[start:end])
            unknown = start
        end = start
    if unknown:
        parts.append(run[:unknown])
    return " ".join(reversed(parts))
