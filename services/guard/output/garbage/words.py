"""One word, or a run of words, over and over."""

from __future__ import annotations

import re
from operator import eq

from services.guard.output.garbage.found import ADDRESS, Garbage

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_REPEATED = re.compile(r"\b([^\W\d_]{2,})(?:[\s,.!?]+\1\b){3,}", re.I)
_MAX_PERIOD = 16
_BETWEEN = str.maketrans(",.!?", "    ")


def _loop(words: list[str]) -> tuple[int, int, int]:
    """The longest run that repeats what stood `period` words before: how many words repeat, the period, and where it ends."""
    best = (0, 0, 0)
    for period in range(1, min(_MAX_PERIOD, len(words) // 2) + 1):
        run = longest = end = 0
        for at, (one, other) in enumerate(zip(words, words[period:], strict=False), start=period + 1):
            run = run + 1 if one == other else 0
            if run > longest:
                longest, end = run, at
        if longest > best[0] and longest >= period:
            best = (longest, period, end)
    return best


def words(_: str, running: str) -> Garbage | None:
    said = running.casefold().translate(_BETWEEN).split()
    # A word that stands thrice in a row, or four times: a comparison costs less than the search.
    match = _REPEATED.search(running) if any(map(eq, said, said[1:])) else None
    if match:
        count = len(match.group().split())
        if count >= (5 if len(running) < 500 else 8):
            return Garbage("garbage.words", match.start(), match.end(), count / 4)
    words = _WORD.findall(ADDRESS.sub(" ", running).lower() if "/" in running else running.lower())
    if len(words) < 8 or len(set(words)) > 0.8 * len(words):
        return None
    repeats, period, end = _loop(words)
    again = words[end - period : end]
    lettered = any(len(word) > 1 and any(map(str.isalpha, word)) for word in again)
    # A number or a letter over and over is a row of a table, but not at the end of a sentence.
    stuck = period == 1 and repeats >= 6 and end == len(words) and again[0].strip("0") and len(set(words)) > 4
    if stuck and sum(map(str.isalpha, words[: end - repeats])) >= 4:
        return Garbage("garbage.words", 0, len(running), repeats / 6)
    # Said four times without a word between: nobody's sentence, however much stands before; a long text may quote a refrain.
    if lettered and repeats >= max(8, (3 if repeats + period >= 0.25 * len(words) else 5) * period):
        return Garbage("garbage.words", 0, len(running), repeats / 8)
    if len(set(words)) > 0.7 * len(words):
        return None
    if lettered and repeats >= max(6, 2 * period if period < 4 else 1.5 * period) and repeats + period >= 0.4 * len(words):
        return Garbage("garbage.words", 0, len(running), (repeats + period) / period / 2)
    threes = list(zip(words, words[1:], words[2:], strict=False))
    if len(words) >= 24 and len(set(threes)) < 0.5 * len(threes):
        return Garbage("garbage.words", 0, len(running), 0.5 * len(threes) / len(set(threes)))
    return None
