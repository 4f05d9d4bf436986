"""Where sentences end, so that no chunk cuts through one. In doubt two sentences stay one: a chunk may be long, never torn.

Ranges are half-open, in UTF-8 bytes, trimmed of white space, in order. Knows neither tokens nor chunks.

The models cut passages by the same ends (`ragmesh_models.sentences`) into other things: characters, with kinds of lines, in
Triton's process, where no service is. A service imports no model's code, so the rules stand twice and a test holds them together.
Rules that move here move `CHUNKER_VERSION`.
"""

from __future__ import annotations

import re

from services.retriever.canonical import Block, BlockKind, CanonicalText

_END = re.compile(r"[.!?…]+[\"'”’)\]»]*(?=\s)|[。！？]+[」』”’）]*")
_LAST_WORD = re.compile(r"([^\s(\[\"“‘«]+)$")
_ABBREVIATION_LIST = """
    mr mrs ms dr prof st sr jr vs etc eg ie e.g i.e cf al fig figs no nos vol vols pp ed eds inc ltd co corp gen col lt sgt
    capt gov sen rep rev hon jan feb mar apr jun jul aug sep sept oct nov dec approx dept est min max c ca resp viz art sec ch
    eq ref u.s u.k u.n d.c ph.d m.d b.c a.d a.m p.m bzw usw z.b d.h u.a vgl nr abs bspw ggf inkl т.е т.д т.п напр им ул рис
    стр
"""
_ABBREVIATIONS = frozenset(_ABBREVIATION_LIST.split())
_FULL_WIDTH = "。！？"
"""These end a sentence wherever they stand."""
_LOOK = 64
_LONGEST_BRACKET = 240
"""Characters from a full stop inside a bracket to either end of it."""
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
    if match.group()[0] in _FULL_WIDTH:
        return True
    following = text[match.end() : match.end() + _LOOK].lstrip()[:1]
    if following and (following in ",;:" or (following.islower() and (match.group().startswith(".") or _is_cased(text, begin)))):
        return False  # "Yahoo! is a company", "Is it closed?" she asked.
    if _in_brackets(text, begin, match.end()):
        return False
    if not match.group().startswith("."):
        return True
    word = _LAST_WORD.search(text, max(begin, match.start() - _LOOK), match.start())
    if word is None:
        return True
    last = word.group(1)
    # An abbreviation, an initial ("J. Smith") or a number before its noun ("3. Mai"), which German writes so.
    return last.lower() not in _ABBREVIATIONS and not (len(last) == 1 and last.isupper() and last != "I")


def _is_cased(text: str, begin: int) -> bool:
    """Whether the sentence begins as sentences do; in a text without capitals a small letter may begin the next one."""
    return not text[begin : begin + _LOOK].lstrip("\"'“‘([ \n")[:1].islower()


def _in_brackets(text: str, begin: int, at: int) -> bool:
    """Whether a bracket that was opened a little before `at` is closed a little behind it, as in "3 May [O.S. 22 April]"."""
    low, high = max(begin, at - _LONGEST_BRACKET), min(len(text), at + _LONGEST_BRACKET)
    return any(
        text.rfind(opened, low, at) > text.rfind(closed, low, at) and (there := text.find(closed, at, high)) >= 0
        # Another one that opens first is a bracket of its own: the one before was never closed.
        and not 0 <= text.find(opened, at, high) < there
        for opened, closed in ("()", "[]")
    )  # fmt: skip
