"""Near-duplicates: documents that say nearly the same, told by MinHash over stretches of five words; passages that repeat others.

A document is linked to those that it resembles, not refused: where they differ, each is found by what it alone says. Knows no
store.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

PERMUTATIONS = 128
BANDS = 16
"""Of 8 hashes each: two documents that share 9 of 10 stretches meet in a band in 9,999 of 10,000 cases (1 - (1 - .9^8)^16)."""
SIMILAR = 0.9
"""Jaccard similarity from which two documents are linked. The standard error of its estimate from 128 hashes is .027 there."""
_SHINGLE_WORDS = 5
_BATCH = 4096
MAX_SHINGLES = 200_000
REPEATED = 0.9
"""Share of words from which a passage repeats another."""


def _constants(name: str, count: int) -> NDArray[np.uint64]:
    """Odd numbers that are the same in every process and release, for signatures are stored."""
    drawn = (hashlib.blake2b(f"{name} {number}".encode(), digest_size=8).digest() for number in range(count))
    return np.array([int.from_bytes(digest, "big") | 1 for digest in drawn], dtype=np.uint64)


_MULTIPLIERS, _ADDENDS = _constants("multiply", PERMUTATIONS), _constants("add", PERMUTATIONS)
_ORDER = _constants("order", _SHINGLE_WORDS)
_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")


def signature(text: str) -> str:
    """MinHash of a text: 128 big-endian uint32 as hex; empty for a text without words. The first 200,000 stretches count.

    Broder (1997), On the resemblance and containment of documents; the permutations are multiply-shift hashes of 64 bits
    (Dietzfelbinger et al., 1997). In numpy, because the library for it loads scipy, which takes longer than parsing a document.
    """
    words = _WORD.findall(text.casefold())[: MAX_SHINGLES + _SHINGLE_WORDS]
    if not words:
        return ""
    known = {word: int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big") for word in set(words)}
    codes = np.array([known[word] for word in words], dtype=np.uint64)
    width = min(_SHINGLE_WORDS, len(words))
    count = len(words) - width + 1
    shingles = np.zeros(count, dtype=np.uint64)
    for place in range(width):
        shingles += codes[place : place + count] * _ORDER[place]
    shingles = np.unique(shingles)
    smallest = np.full(PERMUTATIONS, np.iinfo(np.uint64).max, dtype=np.uint64)
    for first in range(0, len(shingles), _BATCH):
        hashed = _MULTIPLIERS[:, None] * shingles[None, first : first + _BATCH] + _ADDENDS[:, None]
        np.minimum(smallest, hashed.min(axis=1), out=smallest)
    return bytes((smallest >> np.uint64(32)).astype(">u4").tobytes()).hex()


def bands(signature_hex: str) -> list[bytes]:
    """The bands of a signature, in order. Documents that share one are worth comparing."""
    data = bytes.fromhex(signature_hex)
    size = len(data) // BANDS
    return [data[band * size : (band + 1) * size] for band in range(BANDS)] if data else []


def similarity(one: str, other: str) -> float:
    """Estimated Jaccard similarity of the texts behind two signatures, 0 to 1."""
    return float(np.mean(_values(one) == _values(other))) if one and len(one) == len(other) else 0.0


def _values(signature_hex: str) -> NDArray[np.uint32]:
    return np.frombuffer(bytes.fromhex(signature_hex), dtype=">u4").astype(np.uint32)


def without_repeats(
    found: Iterable[T], cluster_of: Callable[[T], int], document_of: Callable[[T], int], text_of: Callable[[T], str]
) -> list[T]:
    """Passages, best first, without those that repeat a better one of another document of the same cluster.

    Args:
        cluster_of: number that linked documents share; 0 for one that is linked to none.
    """
    kept: list[T] = []
    seen: dict[int, list[tuple[int, frozenset[str], Sequence[str]]]] = {}
    for one in found:
        cluster = cluster_of(one)
        if cluster:
            mine = (document_of(one), *_marks(text_of(one)))
            others = seen.setdefault(cluster, [])
            if any(_repeats(mine, other) for other in others):
                continue
            others.append(mine)
        kept.append(one)
    return kept


def _marks(text: str) -> tuple[frozenset[str], Sequence[str]]:
    return frozenset(_WORD.findall(text.casefold())), sorted(_NUMBER.findall(text))


def _repeats(mine: tuple[int, frozenset[str], Sequence[str]], other: tuple[int, frozenset[str], Sequence[str]]) -> bool:
    """Nearly the same words of another document, and no other number: `5 mg` does not repeat `50 mg`."""
    if mine[0] == other[0] or mine[2] != other[2]:
        return False
    return len(mine[1] & other[1]) >= REPEATED * len(mine[1] | other[1])
