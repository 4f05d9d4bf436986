"""Other names of what a question names: "CBD (cannabidiol)" asks about both words as about one.

Who searches knows which acronym stands for what in a collection, and writes the other form in brackets behind the one that was
asked with. What a passage calls by the other form is then read as if it said the question's own. Knows no feature.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ragmesh_models.lexical import stem, words_of

MOST = 4  # of one question
_MAX_LETTERS = 10  # of a short form
_IN_BRACKETS = re.compile(r" ?\(([^()\n]{2,80})\)")


@dataclass(frozen=True, slots=True)
class OtherName:
    """One thing by two names, each as stems."""

    asked: tuple[str, ...]
    surface: str
    """The last word of `asked`, as it is written."""
    other: tuple[str, ...]

    def places(self, stems: Sequence[str]) -> list[int]:
        """Where the other name begins."""
        first, length = self.other[0], len(self.other)
        if length == 1:
            return [at for at, found in enumerate(stems) if found == first]
        return [at for at, found in enumerate(stems) if found == first and tuple(stems[at : at + length]) == self.other]


def stands_for(short: str, long: Sequence[str]) -> bool:
    """Whether `short` may be an acronym of the words `long`: its letters stand there in order, the first at the beginning.

    After Schwartz and Hearst, "A Simple Algorithm for Identifying Abbreviation Definitions in Biomedical Text" (PSB 2003).
    """
    letters = [letter for letter in short.casefold() if letter.isalnum()]
    text = "\n".join(long).casefold()
    if not 2 <= len(letters) <= _MAX_LETTERS or len(long) > min(len(letters) + 5, 2 * len(letters)) or len(text) < len(short) + 2:
        return False
    if not text.startswith(letters[0]):
        return False
    at = 0
    for letter in letters[1:]:
        at = text.find(letter, at + 1)
        if at < 0:
            return False
    return True


def part(text: str) -> tuple[str, tuple[OtherName, ...]]:
    """A question without the other names that stand in brackets, and those names."""
    found: list[OtherName] = []
    kept: list[str] = []
    at = 0
    for match in _IN_BRACKETS.finditer(text):
        name = _other_name(text[at : match.start()], match.group(1)) if len(found) < MOST else None
        if name is not None:
            found.append(name)
            kept.append(text[at : match.start()])
            at = match.end()
    return ("".join([*kept, text[at:]]) if found else text), tuple(found)


def _other_name(before: str, inside: str) -> OtherName | None:
    asked, other = words_of(before).surface, words_of(inside).surface
    if not asked or not other:
        return None
    if stands_for(asked[-1], other):
        return _named(asked[-1:], other)
    if len(other) == 1:
        for count in range(1, min(len(asked), 2 * len(inside)) + 1):
            if stands_for(other[0], asked[-count:]):
                return _named(asked[-count:], other)
    return None


def _named(asked: Sequence[str], other: Sequence[str]) -> OtherName:
    return OtherName(tuple(stem(w.lower()) for w in asked), asked[-1], tuple(stem(w.lower()) for w in other))


def renamed(stems: list[str], surface: list[str], names: Sequence[OtherName]) -> tuple[list[str], list[str]] | None:
    """Both with the question's own names in place of the others, as long as before; None where there is none.

    Of a name of several words the last takes the place; its other words are dropped where they do not fit.
    """
    changed: tuple[list[str], list[str]] | None = None
    for name in names:
        for at in name.places(stems):
            changed = changed or (list(stems), list(surface))
            for back, own in enumerate(reversed(name.asked[-len(name.other) :])):
                changed[0][at + len(name.other) - 1 - back] = own
            changed[1][at + len(name.other) - 1] = name.surface
    return changed


def entitled(title: set[str] | frozenset[str], names: Sequence[OtherName]) -> set[str]:
    """The content stems of a title, with the question's own names beside the others."""
    whole = set(title)
    for name in names:
        if whole.issuperset(name.other):
            whole = (whole - set(name.other)) | set(name.asked)
    return whole
