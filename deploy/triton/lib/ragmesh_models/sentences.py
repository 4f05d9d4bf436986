"""Cuts a passage into sentences, and says which lines are headings, bullets or table rows.

Ranges are in characters, trimmed of whitespace, in order, and never overlap. This module does not know questions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

MAX_SENTENCES = 1_024  # of one passage; the rest is dropped
_MAX_SENTENCE_CHARS = 1_200  # a "sentence" without a full stop is cut at a space


class SentenceKind(Enum):
    """What a range of text is; only prose is a good answer."""

    PROSE = "prose"
    HEADING = "heading"
    BULLET = "bullet"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Sentence:
    start: int
    end: int
    kind: SentenceKind


_LOOK = 32
_LONGEST_BRACKET = 240  # characters from a full stop inside it to either end
_ABBREVIATIONS = frozenset(
    """mr mrs ms dr prof st sr jr vs etc eg ie e.g i.e cf al fig figs no nos vol vols pp ed eds inc ltd co corp gen col lt sgt
    capt gov sen rep rev hon jan feb mar apr jun jul aug sep sept oct nov dec approx dept est min max ca c resp viz art sec
    ch eq ref u.s u.k u.n d.c ph.d m.d b.c a.d a.m p.m""".split()  # noqa: SIM905 - a word list reads better as prose
)
_END = re.compile(r"[.!?…]+[\"'”’)\]»]*(?=\s|$)|[。！？]")
_FULL_WIDTH = "。！？"  # which end a sentence wherever they stand
_LAST_WORD = re.compile(r"([^\s(\[\"“‘]+)$")
_BULLET = re.compile(r"\s*(?:[-*+•‣◦–]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+")
_HEADING_MARK = re.compile(r"\s*#{1,6}\s")
_RULE = re.compile(r"\s*(?:[-=*_]{3,}|```.*|~~~.*)\s*$")
_ENDS_SENTENCE = re.compile(r"[.!?…:;,。！？][\"'”’)\]»]*\s*$")
# Closed-class verbs and the commonest endings: enough to tell "- Dry mouth" from "- It may cause a dry mouth".
_VERB = re.compile(
    r"\b(?:is|are|was|were|be|been|has|have|had|do|does|did|can|could|may|might|must|shall|should|will|would|contains?|includes?|causes?|"
    r"makes?|uses?|needs?|helps?|means?|shows?|takes?|gives?|comes?|goes|went|became|becomes?|found|said|made|used|began|led|held|took|"
    r"[a-z]{3,}(?:ed|izes?|ises?|ifies))\b",
    re.IGNORECASE,
)


def has_verb(text: str) -> bool:
    return _VERB.search(text) is not None


def _line_kind(line: str, alone: bool) -> SentenceKind:
    if _HEADING_MARK.match(line) or _RULE.match(line):
        return SentenceKind.HEADING
    if line.count("|") >= 2 or line.count("\t") >= 2:
        return SentenceKind.TABLE
    if _BULLET.match(line):
        return SentenceKind.BULLET
    if alone and len(line) <= 100 and not _ENDS_SENTENCE.search(line) and not has_verb(line):
        return SentenceKind.HEADING
    return SentenceKind.PROSE


def _blocks(text: str) -> list[tuple[int, int, SentenceKind]]:
    """Runs of lines that belong together: wrapped prose is one block, every other kind of line is its own."""
    lines: list[tuple[int, int, str]] = []
    at = 0
    for line in text.splitlines(keepends=True):
        lines.append((at, at + len(line), line))
        at += len(line)
    blocks: list[tuple[int, int, SentenceKind]] = []
    joined = False  # whether the last block may grow by a line of prose
    for index, (start, end, line) in enumerate(lines):
        if not line.strip():
            joined = False
            continue
        before = index > 0 and lines[index - 1][2].strip() != ""
        after = index + 1 < len(lines) and lines[index + 1][2].strip() != ""
        # A heading opens its block; one that is followed by its text at once must be short, or it is a wrapped line of prose.
        kind = _line_kind(line, alone=not (before and joined) and (not after or len(line) <= 60))
        if kind is SentenceKind.PROSE and joined:
            blocks[-1] = (blocks[-1][0], end, blocks[-1][2])
            continue
        blocks.append((start, end, kind))
        joined = kind in (SentenceKind.PROSE, SentenceKind.BULLET)
    return blocks


def _in_brackets(text: str, start: int, at: int, end: int) -> bool:
    """Whether a bracket that was opened a little before `at` is closed a little behind it, as in "3 May [O.S. 22 April]"."""
    low, high = max(start, at - _LONGEST_BRACKET), min(end, at + _LONGEST_BRACKET)
    return any(
        text.rfind(opened, low, at) > text.rfind(closed, low, at) and (there := text.find(closed, at, high)) >= 0
        # Another one that opens first is a bracket of its own: the one before was never closed.
        and not 0 <= text.find(opened, at, high) < there
        for opened, closed in ("()", "[]")
    )  # fmt: skip


def _is_cased(text: str, start: int) -> bool:
    """Whether the sentence begins as sentences do; in a text without capitals a small letter may begin the next one."""
    return not text[start : start + _LOOK].lstrip("\"'“‘([ \n")[:1].islower()


def _ends_here(text: str, start: int, match: re.Match[str], end: int) -> bool:
    if match.end() >= end or match.group()[0] in _FULL_WIDTH:
        return True
    # Looking only a little way keeps the cost of a long line linear.
    following = text[match.end() : min(end, match.end() + _LOOK)].lstrip()[:1]
    if following and (following in ",;:" or (following.islower() and (match.group().startswith(".") or _is_cased(text, start)))):
        return False  # "Yahoo! is a company", "Is it closed?" she asked.
    if _in_brackets(text, start, match.end(), end):
        return False
    if not match.group().startswith("."):
        return True
    word = _LAST_WORD.search(text[max(start, match.start() - _LOOK) : match.start()])
    if word is None:
        return True
    last = word.group(1)
    if last.lower() in _ABBREVIATIONS:
        return False
    # An initial ("J. Smith"), but not the end of "vitamin C."-like text before a new line.
    return not (len(last) == 1 and last.isupper() and last != "I")


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - (len(piece) - len(piece.rstrip()))


def _pieces(text: str, start: int, end: int) -> list[tuple[int, int]]:
    cuts: list[tuple[int, int]] = []
    begin = start
    for match in _END.finditer(text, start, end):
        if _ends_here(text, begin, match, end):
            cuts.append((begin, match.end()))
            begin = match.end()
    if begin < end:
        cuts.append((begin, end))
    short: list[tuple[int, int]] = []
    for left, right in cuts:
        while right - left > _MAX_SENTENCE_CHARS:
            space = text.rfind(" ", left + _MAX_SENTENCE_CHARS // 2, left + _MAX_SENTENCE_CHARS)
            middle = space if space > 0 else left + _MAX_SENTENCE_CHARS
            short.append((left, middle))
            left = middle
        short.append((left, right))
    return short


def split(text: str) -> list[Sentence]:
    """The sentences of a passage in reading order."""
    found: list[Sentence] = []
    for block_start, block_end, kind in _blocks(text):
        mark = _BULLET.match(text, block_start, block_end) if kind is SentenceKind.BULLET else None
        body = mark.end() if mark else block_start
        whole = kind in (SentenceKind.HEADING, SentenceKind.TABLE)
        for left, right in [(body, block_end)] if whole else _pieces(text, body, block_end):
            start, end = _trim(text, left, right)
            if start >= end:
                continue
            found.append(Sentence(start, end, kind))
            if len(found) >= MAX_SENTENCES:
                return found
    return found
