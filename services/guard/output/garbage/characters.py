"""One character, or a group of them, over and over; and no word at all."""

from __future__ import annotations

import re

from services.guard.output.garbage.found import RULED, Garbage

_LETTER_RUN = re.compile(r"([^\W\d_])\1{4,}")
_ROMAN = re.compile(r"[IVXLCM]{1,8}")
_GROUP_RUN = re.compile(r"([^\W\d_]\w{1,4}?)\1{4,}")
_SIGN_RUN = re.compile(r"([^\w\s])\1{5,}")


def _same_in_a_row(text: str) -> bool:
    """Whether some character may stand five times in a row: no false No."""
    data = text.encode("utf-32-le", "surrogatepass")
    moved = int.from_bytes(data, "little") ^ int.from_bytes(data[4:], "little")
    # What equals its neighbour leaves four zero bytes; the last one has no neighbour.
    return moved.to_bytes(len(data), "little").find(bytes(16), 0, len(data) - 4) >= 0


def _groups_in_a_row(text: str) -> bool:
    """Whether some group of word characters stands five times in a row."""
    return any(len(token) >= 10 and _GROUP_RUN.search(token) for token in text.split())


def characters(text: str, running: str) -> Garbage | None:
    in_a_row = _same_in_a_row(running)
    for pattern in (_LETTER_RUN, _GROUP_RUN):
        if not (in_a_row if pattern is _LETTER_RUN else _groups_in_a_row(running)):
            continue
        runs = [match for match in pattern.finditer(running) if not _ROMAN.fullmatch(match.group())]
        length = sum(len(match.group()) for match in runs)
        # "Aaaaah!" is somebody's cry; a third of the text, or a dozen letters, is nobody's.
        if runs and (length >= 12 or length >= 0.34 * max(1, len(running.strip()))):
            return Garbage("garbage.characters", runs[0].start(), runs[0].end(), length / 12 + 0.34)
    if not in_a_row:
        return None
    runs = list(_SIGN_RUN.finditer(running))
    length = sum(len(match.group()) for match in runs)
    ruled = all(match.group(1) in RULED for match in runs)
    if runs and length >= (0.6 if ruled else 0.2) * len(running.strip()):
        return Garbage("garbage.characters", runs[0].start(), runs[0].end(), 1 + length / len(running))
    return None


def sentence(text: str, running: str) -> Garbage | None:
    shown = text.strip()
    if not shown:
        return Garbage("garbage.sentence", 0, len(text), 1.0)
    if any(map(str.isalnum, shown)):
        return None
    # A rule stands between paragraphs, a few closing marks end a quotation or a program.
    ruled = all(character in RULED or character in "|: " for character in shown)
    return None if ruled or (len(shown) <= 4 and len(shown.split()) == 1) else Garbage("garbage.sentence", 0, len(text), 1.0)
