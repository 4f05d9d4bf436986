"""Readings of a text: as it is, folded, and decoded. A rule that sees one of them sees what a model would see.

A view is built only when its trigger occurs, and decoding is capped in size, number and depth. Knows nothing of rules.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import re2

from services.guard.views import folding
from services.guard.views.decoding import DECODERS, TRIGGERS, looks_rotated
from services.guard.views.invisible import selector_runs
from services.guard.views.view import FOLDED, ORIGINAL, Rewriting, View, Where

MAX_DECODED_CHARACTERS = 8_192
"""A decoded view is cut there."""
MAX_VIEWS = 12
MAX_TOTAL_CHARACTERS = 24_576
"""Characters of all decoded views together."""
MAX_DEPTH = 3
"""How often a decoded view is looked at for more encodings."""
_FROM_RAW = frozenset({"selectors", "rot13"})
"""Folding takes away selectors, and marks that ROT13 has left on a letter."""
_UNDOES_ITSELF = frozenset({"reversed", "rot13"})
"""Twice in a row they give back what was read already."""
_MAX_TRIGGER_MEMORY = 64 * 1024 * 1024


@cache
def _triggers() -> tuple[re2.Set, tuple[str, ...]]:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.dot_nl = True
    options.max_mem = _MAX_TRIGGER_MEMORY
    found = re2.Set.SearchSet(options)
    for expression in TRIGGERS.values():
        found.Add(expression.encode())
    found.Compile()
    return found, tuple(TRIGGERS)


def _triggered(text: str) -> frozenset[str]:
    found, names = _triggers()
    return frozenset(names[number] for number in found.Match(text.encode("utf-8", "replace")) or ())


@dataclass(frozen=True, slots=True)
class _Reading:
    """A view in its three forms."""

    raw: View
    """As it was decoded."""
    folded: View
    plain: str
    """Folded, its case kept: what codes that know case are looked for in."""
    depth: int


def _reading(name: str, raw: View, depth: int) -> _Reading:
    plain = folding.plain(raw.text)
    if plain is raw.text:
        return _Reading(raw, raw, plain, depth)
    return _Reading(raw, View(name, plain.casefold(), raw, _where_folded(raw.text)), plain, depth)


def _where_folded(text: str) -> Where:
    """Ranges of the folded form of `text` as ranges of `text`; looked for when first asked."""
    places: list[int] = []

    def where(start: int, end: int) -> tuple[int, int]:
        if not places:
            places.extend(folding.where(text))
        last = len(places) - 1
        return places[min(start, last)], min(places[min(max(end - 1, start), last)] + 1, len(text))

    return where


def _decoded(reading: _Reading) -> Iterator[_Reading]:
    """What is encoded in `reading`, decoded."""
    triggered = _triggered(reading.plain)
    if looks_rotated(reading.plain):
        triggered |= {"rot13"}
    if not reading.raw.text.isascii() and selector_runs(reading.raw.text):
        triggered |= {"selectors"}
    if not triggered:
        return
    prefix = f"{reading.raw.name}." if reading.depth > 0 else ""
    last = reading.raw.name.rpartition(".")[2]
    for name, decode in DECODERS:
        if name not in triggered or (name == last and name in _UNDOES_ITSELF):
            continue
        sources = [] if name == "selectors" else [(reading.folded, reading.plain)]
        if name in _FROM_RAW and not reading.raw.text.isascii():
            sources.append((reading.raw, reading.raw.text))
        for parent, source in sources:
            pieces = list(decode(source))
            if pieces:
                made = Rewriting(source, pieces, MAX_DECODED_CHARACTERS)
                yield _reading(prefix + name, View(prefix + name, made.text, parent, made.where), reading.depth + 1)


def readings(text: str) -> list[View]:
    """The readings of `text`, the original first; at most `MAX_VIEWS`.

    ASCII text needs no folding: the rules match without regard to case.
    """
    return list(each_reading(text))


def each_reading(text: str) -> Iterator[View]:
    """The same, each built when it is asked for."""
    first = _reading(FOLDED, View(ORIGINAL, text), 0)
    found = [first.raw] if first.raw is first.folded else [first.raw, first.folded]
    yield from found
    seen = {view.text for view in found}
    count, total = len(found), 0
    # First what is encoded once, then what is encoded twice ...
    ahead = deque([first])
    while ahead:
        for made in _decoded(ahead.popleft()):
            if made.folded.text in seen:
                continue
            count += 1
            total += len(made.folded.text)
            if count > MAX_VIEWS or total > MAX_TOTAL_CHARACTERS:
                return
            seen.add(made.folded.text)
            yield made.folded
            if made.depth < MAX_DEPTH:
                ahead.append(made)
