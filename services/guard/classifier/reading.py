"""What the classifier reads of a text: without what looks like an attack by its letters alone, and without repetition.

The random letters of an address, and dots and dashes, look like an optimised suffix; what they hide is read decoded. What is said
for the twentieth time would count twenty times.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from services.guard.classifier.features import Kind

_LONG_ADDRESS = re.compile(r"(\b\w{1,12}://\S{40})\S+")
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")
_MORSE = re.compile(r"(?:[.\-]{1,7}[ /]+){8,}[.\-]{0,7}")
_LONGEST = 8
"""Words of what is taken for one thing said again."""
_LEAST_WORDS = 12


def read(text: str, kind: Kind) -> str:
    """`text` as the classifier is to judge it; the same object where nothing is to be left out.

    A document keeps its repetitions: rows of tables have them, and its lines are sentences of their own.
    """
    own = _LONG_ADDRESS.sub(r"\1", text) if "://" in text else text
    if kind == "document":
        return own
    if "@" in own:
        own = _MAIL.sub("mail", own)
    return _once(_MORSE.sub(" ", own))


def _once(text: str) -> str:
    """`text`, where up to eight words that are said more than twice in a row are said twice."""
    words = text.split()
    if len(words) < _LEAST_WORDS or not _may_repeat(words):
        return text
    told, said = words, _numbers(words)
    for length in range(1, _LONGEST + 1):
        if _repeats(said, length):
            told = _said_twice(told, length)
            said = _numbers(told)
    return text if told is words else " ".join(told)


def _may_repeat(words: list[str]) -> bool:
    """A quick look that most short texts end with: whether two words in a row were said shortly before."""
    last: dict[str, int] = {}
    before = False
    for place, word in enumerate(words):
        again = place - last.get(word, -_LONGEST - 1) <= _LONGEST
        if again and before:
            return True
        last[word], before = place, again
    return False


def _numbers(words: list[str]) -> NDArray[np.int64]:
    return np.fromiter(map(hash, words), dtype=np.int64, count=len(words))


def _repeats(said: NDArray[np.int64], length: int) -> bool:
    """Whether `length` words stand three times in a row."""
    same = np.cumsum(np.concatenate(([0], said[length:] == said[:-length])))
    return bool(np.any(same[2 * length :] - same[: -2 * length] == 2 * length))


def _said_twice(words: list[str], length: int) -> list[str]:
    kept: list[str] = []
    for word in words:
        kept.append(word)
        if len(kept) >= 3 * length and kept[-length:] == kept[-2 * length : -length] == kept[-3 * length : -2 * length]:
            del kept[-length:]
    return kept
