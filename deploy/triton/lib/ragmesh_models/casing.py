"""Case markers: a reversible lower-casing, so that "The" and "the" share their tokens.

A capitalised word is written as a marker, then its lower-case form; the marker stands before the space that precedes the word, so
that " hello" is one token in every case. Mixed forms ("iPhone") stay as they are. `fold` also says which character of the text each
character of the folded text stands for; markers are zero wide. This module does not know the vocabulary.
"""

from __future__ import annotations

import re

TITLE = "\ue000"  # the next word has a capital first letter
UPPER = "\ue001"  # the next word is in capitals
ESCAPE = "\ue002"  # the next character is itself one of these three
MARKERS = TITLE + UPPER + ESCAPE

_CASED = re.compile(rf" ?[^\W\d_]+|[{MARKERS}]")
_MARKED = re.compile(rf"{ESCAPE}([{MARKERS}])|([{TITLE}{UPPER}])( ?)([^\W\d_]+)", re.DOTALL)


def _capital(lowered: str) -> str:
    return lowered[0].upper() + lowered[1:]


def fold(text: str) -> tuple[str, list[int], list[int]]:
    """The folded text and, for each of its characters, where in `text` what it stands for starts and ends."""
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    done = 0
    for match in _CASED.finditer(text):
        piece, start = match.group(), match.start()
        marker = ""
        folded = piece
        if piece in MARKERS:
            marker = ESCAPE
        else:
            word = piece.lstrip(" ")
            lowered = word.lower()
            # Only spellings that come back exactly are folded ("İ" and "ẞ" do not).
            if lowered != word and len(lowered) == len(word):
                if _capital(lowered) == word:
                    marker = TITLE
                elif lowered.upper() == word:
                    marker = UPPER
                if marker:
                    folded = piece[: len(piece) - len(word)] + lowered
        if not marker:
            continue
        parts.append(text[done:start])
        parts.append(marker + folded)
        starts.extend(range(done, start))
        starts.append(start)
        starts.extend(range(start, match.end()))
        ends.extend(range(done + 1, start + 1))
        ends.append(start)
        ends.extend(range(start + 1, match.end() + 1))
        done = match.end()
    parts.append(text[done:])
    starts.extend(range(done, len(text)))
    ends.extend(range(done + 1, len(text) + 1))
    return "".join(parts), starts, ends


def _restore(match: re.Match[str]) -> str:
    literal, marker, space, word = match.groups()
    if literal is not None:
        return str(literal)
    return f"{space}{_capital(word) if marker == TITLE else word.upper()}"


def unfold(folded: str) -> str:
    """The text that `fold` was given."""
    return _MARKED.sub(_restore, folded)
