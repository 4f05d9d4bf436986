"""Where sentences end, so that no chunk cuts through one. In doubt two sentences stay one: a chunk may be long, never torn.

Ranges are half-open, in UTF-8 bytes, trimmed of white space, in order. Knows neither tokens nor chunks.
"""

from __future__ import annotations

import re

from services.retriever.canonical import Block, BlockKind, CanonicalText

_END = re.compile(r"[.!?…]+[\"'”’)\]»]*(?=\s)|[。！？]+[」』”’）]*")
_LAST_WORD = re.compile(r"([^\s(\[\"“‘«]+)$")
_ABBREVIATION_LIST = """
    mr mrs ms dr prof st sr jr vs etc eg ie e.g i.e cf al fig figs no nos vol vols pp ed eds inc ltd co corp gen col lt sgt
    capt gov sen rep rev hon jan feb mar apr jun jul aug sep sept oct nov dec approx dept est min max ca resp viz art sec ch
    eq ref u.s u.k u.n d.c ph.d m.d b.c a.d a.m p.m bzw usw z.b d.h u.a vgl nr abs bspw ggf inkl т.е т.д т.п напр им ул рис
    стр
"""
_ABBREVIATIONS = frozenset(_ABBREVIATION_LIST.split())
_WHOLE_LINE_BYTES = 800
MAX_SENTENCE_CHARS = 4_096
"""A "sentence" beyond this is longer than any chunk and is cut at white space before anybody counts its tokens."""


def sentences(document: CanonicalText, block: Block) -> list[tuple[int, int]]:
    """Byte ranges, in the canonical text, of the sentences of `block`; a short line counts as one."""
    text = document.slice(block.start, block.end)
    if block.kind is not BlockKind.LINE:
        return _spans(text, block.start)
    if block.end - block.start <= _WHOLE_LINE_BYTES:
        return [(block.start, block.end)]
    found: list[tuple[int, int]] = []
    at = block.start
    for line in text.split("\n"):
        found.extend(_spans(line, at))
        at += len(line.encode()) + 1
    return found


def text_sentences(text: str) -> list[tuple[int, int]]:
    """Byte ranges of the sentences of a passage; none goes over the end of a line."""
    found: list[tuple[int, int]] = []
    at = 0
    for line in text.split("\n"):
        found.extend(_spans(line, at))
        at += len(line.encode()) + 1
    return found


def _spans(text: str, offset: int) -> list[tuple[int, int]]:
    cuts: list[int] = []
    begin = 0

    def cut_at(end: int) -> None:
        nonlocal begin
        while end - begin > MAX_SENTENCE_CHARS:
            space = text.rfind(" ", begin + MAX_SENTENCE_CHARS // 2, begin + MAX_SENTENCE_CHARS)
            begin = space + 1 if space > 0 else begin + MAX_SENTENCE_CHARS
            cuts.append(begin)
        cuts.append(end)
        begin = end

    for match in _END.finditer(text):
        if _ends(text, begin, match):
            cut_at(match.end())
    cut_at(len(text))
    found: list[tuple[int, int]] = []
    begin = 0
    at = offset
    for cut in cuts:
        piece = text[begin:cut]
        size = len(piece.encode())
        left = len(piece) - len(piece.lstrip())
        right = len(piece) - len(piece.rstrip())
        if left < len(piece):
            found.append((at + len(piece[:left].encode()), at + size - len(piece[len(piece) - right :].encode())))
        begin, at = cut, at + size
    return found


def _ends(text: str, begin: int, match: re.Match[str]) -> bool:
    if not match.group().startswith("."):
        return True
    following = text[match.end() : match.end() + 64].lstrip()[:1]
    if following and (following.islower() or following in ",;:"):
        return False
    word = _LAST_WORD.search(text, max(begin, match.start() - 64), match.start())
    if word is None:
        return True
    last = word.group(1)
    # An abbreviation, an initial ("J. Smith") or a number before its noun ("3. Mai"), which German writes so.
    return last.lower() not in _ABBREVIATIONS and not (len(last) == 1 and last.isupper() and last != "I")
