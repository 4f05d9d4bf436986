"""What a method finds, and the forms that several of them look for."""

from __future__ import annotations

import re
from dataclasses import dataclass

RULED = frozenset("-=_*~^.#+—–·•…")
"""Signs that lines are drawn with."""
_LABEL = r"[\w-]{1,128}"
# Each is looked for from one place of a word only: from all of them a long word would take the square of its length.
ADDRESS = re.compile(
    rf"(?:https?://|www\.)\S+|(?<!\S)\S[^\s@]*@\S+\.\S+|\b{_LABEL}(?:\.{_LABEL}){{2,}}\b"
    r"|(?:(?<![\w.~-])[\w.~-]+/|/)(?:[\w.~-]*/)+[\w.~-]*|[A-Z]:\\\S+"
)
"""Addresses of all kinds: what stands in them is no running text."""
TAG = re.compile(
    r"<(/?)(a|abbr|article|aside|b|blockquote|body|br|button|center|code|dd|del|div|dl|dt|em|figcaption|figure|font|footer|form|h[1-6]|head|header|"
    r"hr|html|i|iframe|img|input|ins|kbd|label|li|link|main|mark|meta|nav|ol|option|p|pre|s|samp|script|section|select|small|span|strike|strong|"
    r"style|sub|summary|sup|svg|table|tbody|td|textarea|tfoot|th|thead|title|tr|tt|u|ul|var|video)(?=[\s/>])[^<>]*>",
    re.IGNORECASE,
)
"""A tag of HTML, whole."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """What is wrong with a text."""

    rule: str
    start: int
    """Half-open range in characters; the whole text where no place is meant."""
    end: int
    score: float
    """How far it is beyond what a text may be; 1 is the limit."""
