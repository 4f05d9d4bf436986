"""Texts as the reader sees them: one position a word or punctuation mark, with its stem, its BPE pieces and what it looks like.

A word is the sum of a stem row and of piece rows, so that a passage is a third shorter than in BPE tokens, a span always begins and
ends at a word, and no word is unknown. Ranges are in characters. This module does not know the network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragmesh_models import sentences
from ragmesh_models.lexical import STOP_WORDS, stem
from ragmesh_models.sentences import SentenceKind
from ragmesh_models.tokens import TextTokenizer

PAD, SEPARATOR, UNKNOWN = 0, 1, 2
RESERVED = 3  # stem rows that stand for no stem
PIECES = 4  # of one word; a longer word keeps its first three and its last
MAX_QUESTION = 40  # positions
MAX_TITLE = 16
MAX_PASSAGE = 288

_POSITION = re.compile(r"\d+(?:[.,:]\d+)*|['’](?:s|re|ve|ll|d|m|t)\b|[^\W_]+(?:['’](?!(?:s|re|ve|ll|d|m)\b)[^\W_]+)*|[^\w\s]|_+")
_YEAR = re.compile(r"(?:1\d|20)\d\d$")
_MONTHS = frozenset(
    """january february march april may june july august september october november
    december""".split()  # noqa: SIM905 - a word list reads better as prose
)
_NUMBER_WORDS = frozenset(
    """one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
    twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion trillion half third quarter dozen first
    second fourth fifth sixth seventh eighth ninth tenth once twice""".split()  # noqa: SIM905 - a word list reads better as prose
)
STATIC = ("stop", "punctuation", "capital", "upper", "digit", "year", "month", "number_word", "opens_sentence", "prose")


def positions(text: str) -> list[tuple[int, int]]:
    """Character ranges of the words and punctuation marks of a text."""
    return [match.span() for match in _POSITION.finditer(text)]


@lru_cache(maxsize=100_000)
def stem_of(word: str) -> str:
    """The stem of one position's text; numbers lose their separators, so that 1,000 is 1000."""
    lowered = word.lower()
    return lowered.replace(",", "") if lowered[0].isdigit() else stem(lowered) or lowered


class Vocabulary:
    """Stem rows, and the pieces of a word."""

    def __init__(self, stems: list[str], tokenizer: TextTokenizer) -> None:
        self._rows = {s: RESERVED + row for row, s in enumerate(stems)}
        self._tokenizer = tokenizer
        self._pieces: dict[str, tuple[int, ...]] = {}

    @classmethod
    def load(cls, path: Path, tokenizer: TextTokenizer) -> Vocabulary:
        """One stem a line, most frequent first."""
        return cls(path.read_text(encoding="utf-8").split("\n"), tokenizer)

    def row(self, stemmed: str) -> int:
        return self._rows.get(stemmed, UNKNOWN)

    def pieces(self, word: str) -> tuple[int, ...]:
        """PIECES token ids of a lower-cased word, shifted by one: 0 is padding."""
        found = self._pieces.get(word)
        if found is None:
            # A word inside a text has a space before it, and the tokenizer learnt it so.
            ids = self._tokenizer.uncased_ids(f" {word}")
            if len(ids) > PIECES:
                ids = [*ids[: PIECES - 1], ids[-1]]
            found = tuple(i + 1 for i in ids) + (0,) * (PIECES - len(ids))
            if len(self._pieces) >= 200_000:
                self._pieces.clear()
            self._pieces[word] = found
        return found


@dataclass(frozen=True, slots=True)
class Reading:
    """A text taken apart once, whatever will be asked about it."""

    starts: NDArray[np.int32]  # (n,) characters
    ends: NDArray[np.int32]
    words: list[str]  # lower-cased
    stems: list[str]
    rows: NDArray[np.int32]  # (n,) stem rows
    pieces: NDArray[np.int32]  # (n, PIECES)
    static: NDArray[np.float32]  # (n, len(STATIC))
    sentence: NDArray[np.int32]  # (n,) index into `sentences`, -1 between them
    sentences: list[sentences.Sentence]

    def __len__(self) -> int:
        return len(self.words)


def _static(surface: str, word: str, opens: bool, prose: bool) -> tuple[float, ...]:
    letter = surface[0].isalpha()
    return (
        float(word in STOP_WORDS),
        float(not surface[0].isalnum()),
        float(letter and surface[0].isupper()),
        float(letter and len(surface) > 1 and surface.isupper()),
        float(any(c.isdigit() for c in surface)),
        float(_YEAR.match(word) is not None),
        float(word in _MONTHS),
        float(word in _NUMBER_WORDS),
        float(opens),
        float(prose),
    )


def read_text(text: str, vocabulary: Vocabulary, limit: int, whole: bool = False) -> Reading:
    """Takes a text apart. `whole`: as one sentence, for questions and titles."""
    cuts = [sentences.Sentence(0, len(text), SentenceKind.PROSE)] if whole else sentences.split(text)
    spans = positions(text)[:limit]
    words = [text[a:b].lower() for a, b in spans]
    stems = [stem_of(word) for word in words]
    sentence = np.full(len(spans), -1, dtype=np.int32)
    static: list[tuple[float, ...]] = []
    at = 0
    previous = -1
    for n, (a, b) in enumerate(spans):
        while at < len(cuts) and cuts[at].end <= a:
            at += 1
        inside = at if at < len(cuts) and cuts[at].start <= a else -1
        sentence[n] = inside
        static.append(_static(text[a:b], words[n], inside != previous, inside >= 0 and cuts[inside].kind is SentenceKind.PROSE))
        previous = inside
    return Reading(
        np.array([a for a, _ in spans], dtype=np.int32),
        np.array([b for _, b in spans], dtype=np.int32),
        words,
        stems,
        np.array([vocabulary.row(s) for s in stems], dtype=np.int32),
        np.array([vocabulary.pieces(word) for word in words], dtype=np.int32).reshape(-1, PIECES),
        np.array(static, dtype=np.float32).reshape(-1, len(STATIC)),
        sentence,
        cuts,
    )
