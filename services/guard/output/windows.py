"""Evidence cut into windows of sentences, and which of them a claim is laid beside.

A short passage is one window; a long one is cut, neighbours sharing a sentence. A claim is laid beside the windows that hold most
of its weight in words, where a word weighs by how few windows have it. Knows text; not models.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from services.guard.output.claims import sentences

MAX_CHARACTERS = 1_000
"""Of one window, unless a sentence is longer."""
MAX_SENTENCE_CHARACTERS = 2_000
MAX_WINDOWS = 512
_WORD = re.compile(r"\w+")
_STEM = 6


def stems(text: str) -> set[str]:
    """The words of a text in lower case, cut to the letters that endings leave alone."""
    return {word[:_STEM] for word in _WORD.findall(text.lower())}


@dataclass(frozen=True, slots=True)
class Window:
    """Neighbouring sentences of a passage."""

    text: str
    stems: frozenset[str]


def _window(title: str, text: str) -> Window:
    return Window(f"{title}. {text}" if title else text, frozenset(stems(text)))


def windows(text: str, title: str = "") -> list[Window]:
    """The windows of a passage, in order; `title` goes before each, for it often names what "it" is."""
    if len(text) <= MAX_CHARACTERS:
        return [_window(title, text)] if text.strip() else []
    found: list[Window] = []
    ranges = list(sentences(text))
    first = 0
    while first < len(ranges) and len(found) < MAX_WINDOWS:
        last = first + 1
        while last < len(ranges) and ranges[last][1] - ranges[first][0] <= MAX_CHARACTERS:
            last += 1
        begin, end = ranges[first][0], ranges[last - 1][1]
        found.append(_window(title, text[begin : min(end, begin + MAX_SENTENCE_CHARACTERS)]))
        if last == len(ranges):
            break
        first = max(first + 1, last - 1)
    return found


class Windows:
    """All windows that claims are laid beside; made once a draft."""

    def __init__(self, found: Sequence[Window]) -> None:
        self._windows = list(found)[:MAX_WINDOWS]
        self._held = Counter(stem for window in self._windows for stem in window.stems)

    def nearest(self, claim: str, count: int) -> list[Window]:
        """Up to `count` windows, those that hold the largest share of the claim's weight first."""
        if len(self._windows) <= 1:
            return self._windows[:count]
        wanted = {stem: math.log(1 + len(self._windows) / (1 + self._held[stem])) for stem in stems(claim)}

        def held(window: Window) -> float:
            return sum(weight for stem, weight in wanted.items() if stem in window.stems)

        return sorted(self._windows, key=held, reverse=True)[:count]
