"""Text that is no sentence of any language, by eight methods that know no language:

    characters   one character or group of characters over and over
    words        one word, or a run of words, over and over
    signs        hardly any letters, or digits without end
    encoding     bytes read in the wrong encoding, signs for what could not be read, scripts mixed inside words
    markup       tags, links and braces that are only half there
    sentence     no word at all
    template     places that were to be filled, marks of a model, text of a type specimen
    letters      letters in an order that no language has

Loops across the segments of a draft are found by whoever knows the segments before (`Repeats`). Tables, code, formulas and
addresses are not running text and pass, but for what is garbage anywhere (prose.py). Knows no verdict.
"""

from __future__ import annotations

from collections.abc import Callable

from services.guard.output.facts import compact
from services.guard.output.garbage.characters import characters, sentence
from services.guard.output.garbage.encoding import encoding
from services.guard.output.garbage.found import Garbage
from services.guard.output.garbage.markup import markup
from services.guard.output.garbage.signs import signs
from services.guard.output.garbage.template import template
from services.guard.output.garbage.words import words
from services.guard.output.plausibility import implausible
from services.guard.output.prose import prose

MAX_CHARACTERS = 16_384
_LEAST_LOOP = 20
"""Letters and digits that a segment has at least, to be a loop when it comes again: a short "Yes." may."""


def _letters(_: str, running: str) -> Garbage | None:
    beyond = implausible(running)
    return Garbage("garbage.letters", 0, len(running), beyond) if beyond >= 1 else None


_METHODS: tuple[Callable[[str, str], Garbage | None], ...] = (
    sentence,
    template,
    encoding,
    markup,
    characters,
    words,
    signs,
    _letters,
)


def garbage(text: str) -> list[Garbage]:
    """What makes `text` garbage, at most one finding a method; none where it is a text."""
    text = text[:MAX_CHARACTERS]
    running = prose(text).text
    return [found for method in _METHODS if (found := method(text, running)) is not None]


class Repeats:
    """The segments of a draft so far, for loops across them."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def add(self, text: str) -> int:
        """How often `text` came before, letters and digits only; 0 where it is too short to tell."""
        said = compact(text)
        if len(said) < _LEAST_LOOP:
            return 0
        before = self._seen.get(said, 0)
        self._seen[said] = before + 1
        return before


__all__ = ["MAX_CHARACTERS", "Garbage", "Repeats", "garbage"]
