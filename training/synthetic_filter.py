"""Which questions are worth asking: those that read whole, stand alone, and are not answered by themselves.

This module does not know how questions are made.
"""

from __future__ import annotations

import re

from training.synthetic_clause import Asked
from training.synthetic_lexicon import listed

_WORD = re.compile(r"[^\W_]+")
_BAD_WORDS = listed(
    """
    he she it they we i him them us me this these those there himself herself itself themselves here another such
    """
)
_OWNED = listed(
    """
    his her its their my our your
    """
)
_POINTING = _BAD_WORDS | _OWNED
_QUESTION_WORDS = listed(
    """
    what who when where why how which in from since until many much is was were are did does do kind year percentage long
    """
)
_VAGUE = re.compile(
    r"(?:[Tt]he |[Aa]n? |[Ss]ome |[Oo]ther |[Mm]any )?[a-z]+(?: and the [a-z]+)?$"
    r"|(?:[Tt]he|[Aa]n?) (?:first|second|same|new|other|two|following|latter|former|only|next) [a-z]+$"
)
_VAGUE_QUESTION = re.compile(
    r"\bthe (?:film|movie|song|album|single|band|group|book|novel|series|show|episode|game|company|team|club|school|couple|city"
    r"|town|village|area|study|two|latter|former|man|woman|boy|girl|king|queen|character|station|event|match|season|tournament|building"
    r"|church|ship|family)\b"
)


def good(one: Asked, text: str) -> bool:
    """Whether a question reads whole, stands alone, and is not answered by itself."""
    answer = text[one.start : one.end]
    question = one.question[:-1]
    pieces = [word.lower() for word in _WORD.findall(question)]
    if (
        not 3 <= len(pieces) <= 22
        or "\0" in question
        or len(answer) < 2
        or one.question.count('"') % 2
        or answer.count('"') % 2
        or "(" in question
    ):
        return False
    if one.kind.startswith("heading") or one.kind in ("born", "died", "also known"):
        return True
    if any(word in _BAD_WORDS for word in pieces[1:]) or (
        answer.split()[0].lower() in _POINTING and one.kind not in ("why", "how")
    ):
        return False
    owned = [index for index, word in enumerate(pieces) if word in _OWNED]
    if owned and (not any(word[0].isupper() for word in question.split()[2:]) or owned[0] <= 2):
        return False
    answered = {word.lower() for word in _WORD.findall(answer)} - _STOPS
    asked = set(pieces)
    if (not answered and one.kind not in ("how many", "percentage")) or (answered and len(answered & asked) > len(answered) / 2):
        return False
    content = [word for word in pieces if word not in _QUESTION_WORDS and word not in _STOPS]
    named = any(word[0].isupper() or word[0].isdigit() for word in question.split()[1:])
    if len(content) < (2 if named else 3):
        return False
    length = len(answer.split())
    if length > (25 if one.kind in ("why", "how", "appositive", "define") else 14):
        return False
    if one.kind in ("subject", "object", "define", "what prep", "by whom") and _VAGUE.match(answer):
        return False
    if not named and _VAGUE_QUESTION.search(question):
        return False
    return _WELL_ENDED.search(question) is None


_STOPS = listed(
    """
    the a an of in on at by for to and or with from as is was are were be been that which who his her its their not
    """
)
_WELL_ENDED = re.compile(
    r"(?:\b(?:the|a|an|and|or|of|that|which|is|was|were|are|be|been|very|most|more|than|such|its|his|her|their|not)|[,;:(–—-])$"
)
