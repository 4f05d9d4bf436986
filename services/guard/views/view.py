"""One reading of a text, and where each part of it stands in the text as it was given.

Knows how a reading was rewritten from another one; not why.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

ORIGINAL = "original"
FOLDED = "folded"

_CONTEXT = 160
"""Characters kept of what stands unchanged on either side of something decoded; a view needs no more of a long text."""
_CUT = "\n"

Where = Callable[[int, int], tuple[int, int]]
"""Takes a half-open range of a reading to the range of the reading it was made from."""


@dataclass(frozen=True, slots=True)
class View:
    """One reading of a text."""

    name: str
    """`original`, `folded`, or the encodings that were undone, outermost first: `base64`, `base64.hex`."""
    text: str
    parent: View | None = None
    """What it was made from; None for the original."""
    where: Where | None = field(default=None, repr=False, compare=False)
    """Ranges of this reading as ranges of `parent`; None where they are the same."""

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The smallest half-open range of the original, in characters, that [start, end) of this reading was made from."""
        view: View | None = self
        while view is not None and view.parent is not None:
            if view.where is not None:
                start, end = view.where(start, end)
            view = view.parent
        return start, end


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of a parent reading and what it became."""

    start: int
    """Half-open, in the parent."""
    end: int
    text: str
    even: bool = False
    """Whether each character stands for the one at the same place."""


class Rewriting:
    """A text with some ranges rewritten; the rest stands as it was, but for the middle of long stretches.

    Args:
        parent: the text.
        pieces: what changes, in order, without overlap.
        limit: characters at most; what is beyond is left out.
    """

    def __init__(self, parent: str, pieces: Iterable[Piece], limit: int) -> None:
        self._pieces: list[Piece] = []
        self._starts: list[int] = []
        length = 0
        for piece in _with_context(parent, pieces):
            if length >= limit:
                break
            kept = piece if length + len(piece.text) <= limit else Piece(piece.start, piece.end, piece.text[: limit - length])
            self._pieces.append(kept)
            self._starts.append(length)
            length += len(kept.text)
        self.text = "".join(piece.text for piece in self._pieces)

    def where(self, start: int, end: int) -> tuple[int, int]:
        """The range of the parent that [start, end) of the new text comes from."""
        if not self._pieces:
            return 0, 0
        return self._at(start)[0], self._at(max(start, end - 1))[1]

    def _at(self, offset: int) -> tuple[int, int]:
        number = max(0, bisect_right(self._starts, offset) - 1)
        piece = self._pieces[number]
        if not piece.even:
            return piece.start, piece.end
        place = min(piece.start + offset - self._starts[number], piece.end - 1)
        return place, place + 1


def _with_context(parent: str, pieces: Iterable[Piece]) -> Iterator[Piece]:
    before = 0
    for piece in pieces:
        yield from _unchanged(parent, before, piece.start)
        yield piece
        before = piece.end
    yield from _unchanged(parent, before, len(parent))


def _unchanged(parent: str, start: int, end: int) -> Iterator[Piece]:
    if end - start <= 2 * _CONTEXT + len(_CUT):
        if start < end:
            yield Piece(start, end, parent[start:end], even=True)
        return
    if start > 0:
        yield Piece(start, start + _CONTEXT, parent[start : start + _CONTEXT], even=True)
        yield Piece(start + _CONTEXT, end - _CONTEXT, _CUT)
    if end < len(parent):
        yield Piece(end - _CONTEXT, end, parent[end - _CONTEXT : end], even=True)
