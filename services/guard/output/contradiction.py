"""Whether an answer contradicts what it said before: the same words turned round, or with another number.

Only sentences that share nearly all their words are compared, so that two facts about one thing are none. Reads every language that
words.yaml has negations for. Knows text; the verifier model compares what is put otherwise (segments.py).
"""

from __future__ import annotations

from functools import cache, cached_property

from services.guard.output import facts
from services.guard.output.claims import sentences
from services.guard.output.hallucination import denies
from services.guard.output.windows import stems

ALIKE = 0.8
"""Share of the words of the shorter sentence that the other one has."""
NEAR = 0.5
"""From this share on the verifier is asked."""
_LEAST_WORDS = 4
MAX_KEPT = 256
_MAX_DIFFERING = 2


class Said:
    """A sentence of the answer; what only a like one asks for is read then."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.stems = frozenset(stem for stem in stems(text) if not stem.isdigit()) - _negations()

    @cached_property
    def denied(self) -> bool:
        """Whether it turns round what it says."""
        return denies(self.text)

    @cached_property
    def values(self) -> frozenset[float]:
        """Its numbers."""
        return frozenset(value for number in facts.numbers(self.text) for value in number.values[:1])

    @cached_property
    def units(self) -> frozenset[str]:
        """What its numbers measure."""
        return frozenset(number.unit[0] for number in facts.numbers(self.text) if number.unit)


@cache
def _negations() -> frozenset[str]:
    return frozenset(stem for word in facts.words().negations for stem in stems(word))


def _alike(one: Said, other: Said) -> float:
    shorter = min(len(one.stems), len(other.stems))
    return len(one.stems & other.stems) / shorter if shorter >= _LEAST_WORDS else 0.0


class Answer:
    """What an answer has said so far."""

    def __init__(self) -> None:
        self._said: list[Said] = []
        self._read: tuple[str, list[Said]] = ("", [])
        """The sentences of the last text: what is judged is released next."""

    def _sentences(self, text: str) -> list[Said]:
        # A space that joins a text on begins no list, as a line end may.
        text = text.lstrip(" \t")
        if text != self._read[0]:
            self._read = (text, [Said(text[start:end]) for start, end in sentences(text)])
        return self._read[1]

    def contradicts(self, text: str) -> str | None:
        """The earlier sentence that `text` contradicts by its words alone; None where there is none."""
        for said in self._sentences(text):
            for other in self._said:
                if _alike(said, other) < ALIKE or len(said.stems ^ other.stems) > _MAX_DIFFERING:
                    continue
                if said.denied != other.denied:
                    return other.text
                alike = said.stems == other.stems and len(said.values) == len(other.values) == 1 and said.units == other.units
                dated = all(1000 <= value < 2100 for value in said.values | other.values)
                # A number without a unit may count what is listed: study 1, study 2.
                if alike and said.values != other.values and (said.units or dated):
                    return other.text
        return None

    def near(self, text: str, count: int) -> list[str]:
        """Up to `count` earlier sentences about the same thing, for the verifier."""
        said = Said(text)
        ranked = sorted(((_alike(said, other), other.text) for other in self._said), reverse=True)
        return [words for alike, words in ranked[:count] if alike >= NEAR]

    def add(self, text: str) -> None:
        """It was released."""
        self._said += self._sentences(text)[: MAX_KEPT - len(self._said)]
