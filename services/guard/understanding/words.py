"""What words mean, as far as the project's own word vectors know: a text as a mean and a maximum of the vectors of its words.

The vectors are skip-gram vectors of English stems (`training/word_vectors.py`), centred, of length 1 and stored as int8
(`training/intent_classifier_words.py`). A word of another language has none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_VOWEL = re.compile(r"[aeiouy]")
_PLACE = re.compile(r"\d+(?:[.,:]\d+)*|['’](?:s|re|ve|ll|d|m|t)\b|[^\W_]+(?:['’](?!(?:s|re|ve|ll|d|m)\b)[^\W_]+)*|[^\w\s]|_+")
_MAX_WORDS = 96
DEFAULT = Path(__file__).parent / "weights" / "words.npz"


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """The stem under which the vectors were learnt: `ragmesh_models.reading_text.stem_of`, which a test compares it with."""
    word = word.lower()
    if word[0].isdigit():
        return word.replace(",", "")
    whole = word
    word = word.replace("’", "'").removesuffix("'s")
    if len(word) < 4 or not word[-1].isalpha():
        return word or whole
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "shes", "ches", "xes", "zes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for suffix in ("ing", "ed"):
        base = word[: -len(suffix)]
        if word.endswith(suffix) and len(base) >= 3 and _VOWEL.search(base):
            word = base[:-1] if base[-1] == base[-2] and base[-1] not in "lsz" else base
            break
    if word.endswith("ly") and len(word) > 5:
        word = word[:-2]
    if word.endswith("e") and len(word) > 3:
        word = word[:-1]
    if word.endswith("y") and len(word) > 3:
        word = word[:-1] + "i"
    return word


class WordVectors:
    """The vectors of stems, most frequent first.

    Args:
        stems: one a row.
        vectors: (n, width) int8, unit vectors times 254.
        background: (b, 2 * width) int8, the features of questions about anything times 127.
    """

    def __init__(self, stems: Sequence[str], vectors: NDArray[np.int8], background: NDArray[np.int8] | None = None) -> None:
        if len(stems) != len(vectors):
            raise ValueError(f"{len(stems)} stems and {len(vectors)} vectors")
        if background is None:
            background = np.zeros((0, 2 * vectors.shape[1]), dtype=np.int8)
        self._rows = {name: row for row, name in enumerate(stems)}
        self._vectors = vectors
        # A frequent word says less: its rank stands in for its frequency (Zipf).
        self._weights = np.log(np.arange(len(stems), dtype=np.float32) + 2)
        self.width = int(vectors.shape[1])
        self.background: NDArray[np.float32] = background.astype(np.float32) / np.float32(127)
        """(b, 2 * width) features of questions about anything: what no intent of an owner is."""

    @classmethod
    def load(cls, path: Path = DEFAULT) -> WordVectors:
        """Those that the project ships.

        Raises:
            ValueError: the file is not what it should be.
        """
        with np.load(path, allow_pickle=False) as file:
            return cls(file["stems"].item().split("\n"), file["vectors"], file["background"])

    def features(self, text: str) -> NDArray[np.float32]:
        """(2 * width,): the weighted mean of length 1, and the greatest value in each dimension; zeros where no word is known."""
        found = np.zeros(2 * self.width, dtype=np.float32)
        rows = [self._rows[name] for word in _PLACE.findall(text)[:_MAX_WORDS] if (name := stem(word)) in self._rows]
        if not rows:
            return found
        vectors = self._vectors[rows].astype(np.float32) / np.float32(254)
        mean = self._weights[rows] @ vectors
        found[: self.width] = mean / max(float(np.linalg.norm(mean)), 1e-6)
        found[self.width :] = vectors.max(axis=0)
        return found
