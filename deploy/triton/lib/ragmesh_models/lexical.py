"""Words as the lexical features see them: a fast light stemmer, stop words, and a background table of document frequencies.

This module does not know questions, passages or any network.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_VOWEL = re.compile(r"[aeiouyà-öø-ÿ]")
MAX_IDF = 12.0

STOP_WORDS = frozenset(
    """a about above after again against all also am an and any are as at be because been before being below between both but by can
    cannot could d did do does doing down during each few for from further had has have having he her here hers herself him himself
    his how i if in into is it its itself just ll m me more most my myself no nor not now of off on once only or other our ours
    ourselves out over own re s same she should so some such t than that the their theirs them themselves then there these they this
    those through to too under until up ve very was we were what when where which while who whom whose why will with would you your
    yours yourself yourselves many much please tell explain describe define name list give know does's what's who's where's when's
    how's it's i'm don't can't isn't aren't shall may might must upon within called""".split()  # noqa: SIM905 - a word list reads better as prose
)


@lru_cache(maxsize=200_000)
def stem(word: str) -> str:
    """Folds the regular endings of English; leaves short words and other scripts alone."""
    word = word.replace("’", "'")
    if word.endswith("'s"):
        word = word[:-2]
    if len(word) < 4 or not word[-1].isalpha():
        return word
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


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one text, as parallel lists."""

    surface: list[str]
    stems: list[str]
    stops: list[bool]
    starts: list[int]  # character offsets
    ends: list[int]


def words_of(text: str) -> Words:
    surface: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for match in _WORD.finditer(text):
        surface.append(match.group())
        starts.append(match.start())
        ends.append(match.end())
    lowered = [word.lower() for word in surface]
    return Words(surface, [stem(word) for word in lowered], [word in STOP_WORDS for word in lowered], starts, ends)


class IdfTable:
    """Background inverse document frequencies of stems; an unknown stem is as rare as anything in the table."""

    def __init__(self, weights: dict[str, float]) -> None:
        self._weights = weights
        self._unknown = max(weights.values(), default=MAX_IDF)

    def __len__(self) -> int:
        return len(self._weights)

    def __call__(self, stemmed: str) -> float:
        return self._weights.get(stemmed, self._unknown)

    def dump(self, path: Path) -> None:
        """One byte a weight: a step of MAX_IDF / 255 is far below the noise of the counts."""
        stems = sorted(self._weights)
        codes = np.array([min(255, round(self._weights[s] / MAX_IDF * 255)) for s in stems], dtype=np.uint8)
        path.write_bytes(zlib.compress("\n".join(stems).encode() + b"\0" + codes.tobytes(), 9))

    @classmethod
    def load(cls, path: Path) -> IdfTable:
        stems, _, codes = zlib.decompress(path.read_bytes()).partition(b"\0")
        values = np.frombuffer(codes, dtype=np.uint8).astype(np.float64) * (MAX_IDF / 255)
        return cls(dict(zip(stems.decode().split("\n"), values.tolist(), strict=True)))
