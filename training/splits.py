"""Who is held out, and what must never be trained on.

An article is held out by the hash of its title, in every file alike, so that no row of a held-out article is trained on through
another file; an article that an evaluation file asks about is not trained on either. Beside titles stands the text itself: every
recipe drops what shares 13 words in a row with evaluation text (`clean`), and stops when any is left (`refuse_contamination`).
This module does not know what is trained; `evaluation.py` reads the evaluation text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from training.sources import DataFolder

HELD_OUT_PERCENT = 16
GRAM = 13
# A text that is shorter than a gram counts as a whole (a question is), unless it is so short that it is anybody's.
SHORTEST = 6
_WORDS = re.compile(r"[^\W_]+")
_BRACKETS = re.compile(r"-[lr][rsc]b-")
_KNOWN_WORDS = 500_000
_POWERS = np.array([pow(0x9E3779B97F4A7C15, GRAM - 1 - i, 2**64) for i in range(GRAM)], dtype=np.uint64)

Row = TypeVar("Row")
_hashes: dict[str, int] = {}


class ContaminationError(RuntimeError):
    """Training data shares text with evaluation data."""


def title_key(title: str) -> str:
    return " ".join(_WORDS.findall(title.casefold()))


def held_out(title: str) -> bool:
    """Whether this article belongs to the held-out part, in whatever file it stands."""
    digest = hashlib.sha256(f"ragmesh-split-1 {title_key(title)}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % 100 < HELD_OUT_PERCENT


def trainable(title: str, evaluated: frozenset[str]) -> bool:
    """Whether an article may be trained on: neither held out nor among the titles (keys) that evaluation files ask about."""
    return not held_out(title) and title_key(title) not in evaluated


def _word_hash(word: str) -> int:
    found = _hashes.get(word)
    if found is None:
        if len(_hashes) >= _KNOWN_WORDS:
            _hashes.clear()
        found = _hashes[word] = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
    return found


def grams(text: str) -> NDArray[np.uint64]:
    """(n,) 64-bit hashes of the text's 13-grams of words, in order; of the whole text where it has 6 to 12 words.

    Case, punctuation and Penn Treebank brackets do not count. The hashes are the same in every process: a polynomial over the
    words' BLAKE2b, modulo 2^64.
    """
    folded = text.casefold()
    if "b-" in folded:
        folded = _BRACKETS.sub(" ", folded)
    words = _WORDS.findall(folded)
    if len(words) < SHORTEST:
        return np.zeros(0, dtype=np.uint64)
    if len(words) < GRAM:
        return np.array([_word_hash("\0".join(words))], dtype=np.uint64)
    hashed = np.fromiter(map(_word_hash, words), dtype=np.uint64, count=len(words))
    n = len(words) - GRAM + 1
    found = np.zeros(n, dtype=np.uint64)
    for i in range(GRAM):
        found += hashed[i : i + n] * _POWERS[i]
    return found


@dataclass(frozen=True)
class Grams:
    """A set of gram hashes: 8 bytes each, where a set of Python integers takes about 100."""

    values: NDArray[np.uint64]
    """(n,), sorted, each once."""

    @classmethod
    def of(cls, parts: Iterable[NDArray[np.uint64]]) -> Grams:
        found = [part for part in parts if len(part)]
        return cls(np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.uint64))

    def __len__(self) -> int:
        return len(self.values)

    def __contains__(self, gram: object) -> bool:
        return isinstance(gram, (int, np.integer)) and self.any(np.array([gram], dtype=np.uint64))

    def __or__(self, other: Grams) -> Grams:
        return Grams(np.union1d(self.values, other.values))

    def any(self, found: NDArray[np.uint64]) -> bool:
        """Whether one of these hashes is in the set."""
        if not len(found) or not len(self.values):
            return False
        at = np.minimum(np.searchsorted(self.values, found), len(self.values) - 1)
        return bool((self.values[at] == found).any())


def gram_set(texts: Iterable[str]) -> Grams:
    return Grams.of(grams(text) for text in texts)


def shares(text: str, known: Grams) -> bool:
    return known.any(grams(text))


def _texts(found: str | Iterable[str]) -> Iterator[str]:
    yield from (found,) if isinstance(found, str) else found


def clean(rows: Iterable[Row], text_of: Callable[[Row], str | Iterable[str]], known: Grams) -> list[Row]:
    """The rows none of whose texts shares a gram with `known`, in their order.

    `text_of` gives everything of a row that is trained on, as one text or several (question and passage: each counts by itself).
    A text that stands in several rows is read once.
    """
    seen: dict[str, bool] = {}

    def dirty(text: str) -> bool:
        if text not in seen:
            seen[text] = shares(text, known)
        return seen[text]

    return [row for row in rows if not any(dirty(text) for text in _texts(text_of(row)))]


def refuse_contamination(texts: Iterable[str], known: Grams, where: str) -> None:
    """Stops the run when a training text shares a gram with evaluation text; every recipe calls it last, over all it trains on."""
    if not len(known):
        raise ContaminationError(f"{where}: there is no evaluation text to check against")
    for text in texts:
        if shares(text, known):
            raise ContaminationError(f"{where}: this training text shares {GRAM} words with evaluation data: {text[:160]!r}")


def evaluation_grams(data: DataFolder, root: Path) -> Grams:
    """The grams of every evaluation text: `goldens/*.jsonl` under `root`, the manifest's `evaluate` files, and passages and
    questions of every held-out article of the reading sets. Kept under training/runs by the digests of what it is made from."""
    from training import evaluation

    return evaluation.grams_of(data.apart(), root)


def evaluation_titles(data: DataFolder) -> frozenset[str]:
    """Title keys of the articles that evaluation files ask about (NQ-oracle, QED): `trainable` refuses them."""
    from training import evaluation

    return evaluation.titles_of(data.apart())
