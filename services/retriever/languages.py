"""In which language a text is, as far as analysis has rules for it: `en`, `de`, or `und`. By its stop words: fast, and good from a
sentence on. Knows no model; a question's language comes from the guard where it knows better.
"""

from __future__ import annotations

import re

ANALYSED = ("en", "de")
"""Languages with rules of their own."""
UNKNOWN = "und"

_WORD = re.compile(r"[^\W\d_]+")
_MOST_WORDS = 400
_LEAST_GERMAN = 0.08
"""Share of the words: German text has three times as many, and neighbours such as Dutch or Spanish fewer."""
# Words that are frequent in one of the two and mean nothing in the other. "die", "war", "man", "was", "in", "an" are in neither.
_ENGLISH = frozenset(
    """the of and to is that it for on with as are this be by from or have not you which can at what how does do why when where who
    will would should there their they we i my your has were been but if than its about into more some these those such did could
    may any no other his her she he all one only use used""".split()  # noqa: SIM905 - a word list reads better as prose
)
_GERMAN = frozenset(
    """der das und ist nicht ein eine einer eines einem einen von zu den dem des mit für auf im sich auch es bei wird werden sind
    aus nach oder wie ich sie wir ihr kann können darf soll muss haben gibt wer wo wann warum welche welcher welches welchen wieviel
    über durch zum zur vom beim gegen ohne bis nur noch schon sehr mehr aber wenn weil dass diese dieser dieses mein meine meinem
    meinen ihn ihm ihre ihren seine seinen bin hilft macht lange viel viele kein keine""".split()  # noqa: SIM905
)
_UMLAUTS = re.compile(r"[äöüß]")


def detect(text: str) -> str:
    """`en` or `de` where the text holds more words of the one; `und` where it holds as many of both, or hardly any of German."""
    words = _WORD.findall(text.lower())[:_MOST_WORDS]
    english = sum(word in _ENGLISH for word in words)
    german = sum(word in _GERMAN for word in words) + min(2, sum(1 for word in words if _UMLAUTS.search(word)))
    if english == german or (german > english and german < _LEAST_GERMAN * len(words)):
        return UNKNOWN
    return "en" if english > german else "de"


def analysed(tag: str, text: str) -> str:
    """The language by whose rules `text` is analysed: what `tag` (BCP-47) says where there are rules for it, else what is seen."""
    primary = tag.partition("-")[0].lower()
    return primary if primary in ANALYSED else detect(text)
