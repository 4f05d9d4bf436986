"""What is claimed, cut into pieces that are true or false by themselves: sentences, and clauses at conjunctions and semicolons.

No model takes part. A cut is made only where both sides can stand alone, for half a claim that lost its subject is worse than a
long one. The served models cut passages by rules of their own (`ragmesh_models.sentences`), which services may not import; these
here are for drafts: no headings, no wrapped lines. Knows text only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_PARTS = 8
"""More pieces of one claim are left together in the last."""

# “, ‘ and « close where German opens with „, ‚ and ».
_END = re.compile(r"[.!?…]+[\"'”’“‘)\]»«]*(?=\s|$)|[。！？]|\n\s*(?:\n|[-*•] |\d{1,2}[.)] )")
_LAST_WORD = re.compile(r"[^\s(\[\"“‘]+$")
_ABBREVIATIONS = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "dr",
        "prof",
        "st",
        "sr",
        "jr",
        "vs",
        "etc",
        "eg",
        "ie",
        "e.g",
        "i.e",
        "cf",
        "al",
        "fig",
        "figs",
        "no",
        "nos",
        "vol",
        "pp",
        "ed",
        "inc",
        "ltd",
        "co",
        "corp",
        "approx",
        "dept",
        "est",
        "min",
        "max",
        "ca",
        "c",
        "resp",
        "art",
        "sec",
        "ch",
        "eq",
        "ref",
        "u.s",
        "u.k",
        "u.n",
        "z.b",
        "d.h",
        "u.a",
        "bzw",
        "ca",
        "nr",
        "abs",
        "str",
        "usw",
        "vgl",
        "evtl",
        "ggf",
        "inkl",
        "zzgl",
        "sog",
        "bspw",
        "т.е",
        "т.д",
        "др",
        "стр",
        "рис",
        "p.ej",
        "ej",
        "pág",
    ]
)
_MARK = re.compile(r"^\s*(?:[-*+•–]|\d{1,2}[.)]|#{1,6}|>)\s+")
_WORD = re.compile(r"\w+")
_LEAST_WORDS = 3
_LOOK = 24

# Where English joins two clauses. Behind it stands a subject of its own, and each side has a verb.
_JOINT = re.compile(
    r"(?P<cut>;\s+(?:and\s+|but\s+|however,?\s+)?|,\s+(?:and|but|while|whereas|although|though|yet|so)\s+|\s+(?:but|whereas)\s+|\s+[–—]\s+)"
    r"(?=(?P<subject>(?:the|a|an|this|these|those|that|it|they|he|she|we|you|its|their|his|her|some|most|many|all|both|each|no|there|one)\b"
    r"|[A-Z][\w-]*|\w+(?:s|tion|ment|ness|ity)\b))",
)
_VERB = re.compile(
    r"\b(?:is|are|was|were|be|been|has|have|had|do|does|did|can|could|may|might|must|shall|should|will|would|"
    r"[a-z]{2,}(?:ed|izes?|ises?|ifies|[^su]s)|became|made|found|took|gave|went|came|held|led|began|grew|rose|fell|won|lost)\b"
)


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Where the sentences of `text` stand: half-open ranges of characters, in order, without white space at their ends."""
    begin = 0
    for match in _END.finditer(text):
        if match.group().startswith(".") and match.end() < len(text) and not _ends(text, begin, match):
            continue
        yield from _trimmed(text, begin, match.end())
        begin = match.end()
    yield from _trimmed(text, begin, len(text))


def _ends(text: str, begin: int, match: re.Match[str]) -> bool:
    following = text[match.end() : match.end() + _LOOK].lstrip()[:1]
    if following.islower() or following in ",;:":
        return False
    last = _LAST_WORD.search(text[max(begin, match.start() - _LOOK) : match.start()])
    if last is None:
        return True
    word = last.group()
    if word.lower() in _ABBREVIATIONS or (word.isdigit() and len(word) <= 2 and text[match.end() : match.end() + 1] == " "):
        # "12. Mai" goes on; so does an abbreviation.
        return word.isdigit() and not following.isupper()
    return not (len(word) == 1 and word.isupper() and word != "I")


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    piece = text[start:end]
    mark = _MARK.match(piece)
    start += mark.end() if mark else len(piece) - len(piece.lstrip())
    end = start + len(text[start:end].rstrip())
    if _WORD.search(text, start, end):
        yield start, end


def _clauses(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for match in _JOINT.finditer(text, start, end):
        left, right = text[start : match.start("cut")], text[match.end("cut") : end]
        if _stands_alone(left) and _stands_alone(right):
            yield start, match.start("cut")
            start = match.end("cut")
    yield start, end


def _stands_alone(text: str) -> bool:
    return len(_WORD.findall(text)) >= _LEAST_WORDS and _VERB.search(text) is not None


def parts(text: str) -> list[str]:
    """The pieces of a claim, at least one where it has a word."""
    ranges = [clause for start, end in sentences(text) for clause in _clauses(text, start, end)]
    if len(ranges) > MAX_PARTS:
        ranges = [*ranges[: MAX_PARTS - 1], (ranges[MAX_PARTS - 1][0], ranges[-1][1])]
    return [text[start:end] for start, end in ranges]
