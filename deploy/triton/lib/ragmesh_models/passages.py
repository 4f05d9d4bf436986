"""One passage taken apart once, whatever is asked of it later: where each stem stands, its sentences, what they hold.

Taking apart is the dear half of ranking, so that `PassageReader` remembers what it read last. This module does not know questions.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ragmesh_models import sentences
from ragmesh_models.aspects import AspectTable
from ragmesh_models.lexical import stem, words_of
from ragmesh_models.other_names import OtherName, entitled
from ragmesh_models.sentences import SentenceKind

MAX_WORDS = 2_048  # of one passage; the rest is not read
MAX_REMEMBERED = 2_048  # passages, about 12 KB each
_PREFIX = 5  # letters that derived forms of a word share

CUES = ("number", "date", "reason", "defines", "unit")
_CUE_WORDS = {
    "number": """one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred thousand million
        billion half third quarter dozen twice once several""",
    "date": "january february march april may june july august september october november december century decade",
    "reason": "because due since therefore cause caused causes causing leads led owing reason reasons results resulted thus hence",
    "defines": "is are was were means refers called known defined describes denotes",
    "unit": "percent mg ml kg km mile metre meter feet year month day hour minute",
}
_BIT = {name: 1 << place for place, name in enumerate(CUES)}
_CUES_OF_STEM: dict[str, int] = {}
for _name, _words in _CUE_WORDS.items():
    for _word in _words.split():
        _CUES_OF_STEM[stem(_word)] = _CUES_OF_STEM.get(stem(_word), 0) | _BIT[_name]


@dataclass(frozen=True, slots=True)
class ReadPassage:
    """A passage and its title as ranking needs them."""

    stems: list[str]  # of the text, in order
    places: dict[str, list[int]]  # stem -> positions in `stems`
    capitals: frozenset[int]  # positions of capitalised words that do not open a sentence
    sentence_of: list[int]  # of each position
    cues: list[int]  # of each sentence: bits of CUES
    prefixes: frozenset[str]  # first letters of the longer stems
    title: frozenset[str]  # content stems of the title
    parts: tuple[frozenset[str], ...]  # content stems of each part of the title, the document's first
    prose: float  # share of sentences that are neither headings, bullets nor table rows
    commas: float  # commas a word
    aspects: NDArray[np.float32]  # (len(aspects.NAMES),) log-probabilities

    def calling(self, names: tuple[OtherName, ...]) -> ReadPassage:
        """The same passage with a question's own names for what it calls otherwise."""
        stems, places = list(self.stems), dict(self.places)
        for name in names:
            for at in name.places(self.stems) if name.other[0] in self.places else ():
                last = at + len(name.other) - 1
                stems[last] = name.asked[-1]
                for own in name.asked:
                    places[own] = sorted({*places.get(own, ()), last})
        parts = tuple(frozenset(entitled(part, names)) for part in self.parts)
        return replace(self, stems=stems, places=places, title=frozenset(s for part in parts for s in part), parts=parts)


def _cues(surface: str, stemmed: str) -> int:
    found = _CUES_OF_STEM.get(stemmed, 0)
    if surface[0].isdigit():
        found |= _BIT["number"]
        if len(surface) == 4 and surface.isdecimal() and "1000" <= surface <= "2099":
            found |= _BIT["date"]
    return found


def read_passage(title: str, text: str, table: AspectTable) -> ReadPassage:
    """Takes one passage apart."""
    words = words_of(text)
    stems, surfaces, starts = words.stems[:MAX_WORDS], words.surface, words.starts
    cuts = sentences.split(text)
    cues = [0] * max(1, len(cuts))
    places: dict[str, list[int]] = {}
    capitals: list[int] = []
    sentence_of: list[int] = []
    current, opened = 0, -1
    for position, stemmed in enumerate(stems):
        start = starts[position]
        while current + 1 < len(cuts) and start >= cuts[current + 1].start:
            current += 1
        sentence_of.append(current)
        found = places.get(stemmed)
        if found is None:
            places[stemmed] = [position]
        else:
            found.append(position)
        surface = surfaces[position]
        cues[current] |= _cues(surface, stemmed)
        if opened == current and not words.stops[position] and surface[0].isupper():
            capitals.append(position)
        opened = current
    named = map(words_of, title.split(" > "))
    parts = tuple(frozenset(s for s, stop in zip(part.stems, part.stops, strict=True) if not stop) for part in named)
    return ReadPassage(
        stems=stems,
        places=places,
        capitals=frozenset(capitals),
        sentence_of=sentence_of,
        cues=cues,
        prefixes=frozenset(s[:_PREFIX] for s in places if len(s) > _PREFIX),
        title=frozenset(s for part in parts for s in part),
        parts=parts,
        prose=sum(cut.kind is SentenceKind.PROSE for cut in cuts) / max(1, len(cuts)),
        commas=text.count(",") / max(1, len(stems)),
        aspects=table(places),
    )


def prefix_of(stemmed: str) -> str:
    """What derived forms of a longer stem share; empty for a short one."""
    return stemmed[:_PREFIX] if len(stemmed) > _PREFIX else ""


class PassageReader:
    """Reads passages, and remembers the last ones by the hash of their text. Not safe to use from several threads."""

    def __init__(self, table: AspectTable, remembered: int = MAX_REMEMBERED) -> None:
        self._table = table
        self._most = remembered
        self._read: OrderedDict[bytes, ReadPassage] = OrderedDict()

    def __len__(self) -> int:
        return len(self._read)

    def __call__(self, title: str, text: str) -> ReadPassage:
        key = hashlib.blake2b(f"{title}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
        found = self._read.get(key)
        if found is not None:
            self._read.move_to_end(key)
            return found
        found = self._read[key] = read_passage(title, text, self._table)
        if len(self._read) > self._most:
            self._read.popitem(last=False)
        return found
