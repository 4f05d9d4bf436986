"""What a question asks for: its kind, its content words, its names. This module does not know passages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from ragmesh_models import other_names
from ragmesh_models.definitions import asked_term
from ragmesh_models.lexical import IdfTable, Words, words_of
from ragmesh_models.other_names import OtherName

MAX_CONTENT = 64  # distinct content words of a question; what follows is not matched
KINDS = ("who", "when", "where", "number", "how", "why", "define", "which", "what", "yes_no", "other")

_RULES = [
    ("number", r"\bhow (?:many|much|long|old|far|tall|high|large|big|often|fast|deep|wide|heavy)\b|"
               r"\bwhat (?:percent\w*|number|amount|proportion|fraction|age|population|"
               r"size|dose|dosage|price|cost|rate|temperature|distance)\b"),
    ("when", r"\bwhen\b|\b(?:what|which) (?:year|date|day|month|decade|century|time)\b"),
    ("who", r"\bwho(?:m|se)?\b|"
            r"\b(?:what|which) (?:person|man|woman|king|queen|president|author|scientist|company|organi[sz]ation)\b"),
    ("where", r"\bwhere\b|\b(?:what|which) (?:country|city|state|place|location|continent|region|town|river|part of)\b"),
    ("why", r"\bwhy\b|\bwhat (?:causes?|caused|is the reason|was the reason|are the reasons)\b|\bfor what reason\b|\bhow come\b"),
    ("define", r"^(?:so |and |please )?(?:what(?:'s| is| are| was| were) (?:\(are\) )?(?:an? |the )?[\w' -]{2,48}\??$)|"
               r"\bwhat does .+ mean\b|\bdefin(?:e|ition)\b|\bmeaning of\b"),
    ("how", r"\bhow\b"),
    ("which", r"\bwhich\b"),
    ("what", r"\bwhat\b|\bname (?:the|a|an|two|three|some)\b"),
    ("yes_no", r"^(?:is|are|was|were|do|does|did|can|could|will|would|should|has|have|had|may|must|am)\b"),
]  # fmt: skip
_COMPILED = [(kind, re.compile(rule, re.IGNORECASE)) for kind, rule in _RULES]
# "Who built it?", "Who did the music of the film?"; not "Who did he marry?" or "Who is it written by?", which ask for an object.
_WHO_SUBJECT = re.compile(r"\bwho\b(?! (?:do|does|did)\b(?! the \w+ (?:of|for|in|on)\b))", re.IGNORECASE)
_STRANDED = re.compile(r"\b(?:to|by|with|for|from|against|after|about|of)\W*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Question:
    """A question, taken apart once."""

    text: str
    kind: int  # index into KINDS
    words: Words
    content: list[str]  # distinct content stems, in order
    weights: dict[str, float]  # their background weights
    total: float
    names: set[str]  # stems of capitalised words (not the first) and of numbers
    bigrams: set[tuple[str, str]]  # of neighbouring stems that are not both stop words
    trigrams: dict[str, frozenset[str]]  # letter trigrams of each content stem
    term: tuple[str, ...] = ()  # stems of what it wants defined
    also: tuple[OtherName, ...] = ()  # other names of what it names; in `text`, and in nothing else here


@lru_cache(maxsize=100_000)
def letters(stemmed: str) -> frozenset[str]:
    """Letter trigrams of a stem, its ends marked."""
    padded = f"^{stemmed}$"
    return frozenset(padded[i : i + 3] for i in range(len(padded) - 2))


def kind_of(text: str) -> int:
    text = text.strip()
    for kind, rule in _COMPILED:
        if rule.search(text):
            return KINDS.index(kind)
    return KINDS.index("other")


def asks_who(question: Question) -> bool:
    """Whether the answer is who does or is something: the subject of the sentence that says so."""
    if KINDS[question.kind] != "who":
        return False
    return _WHO_SUBJECT.search(question.text) is not None and _STRANDED.search(question.text) is None


def read_question(text: str, idf: IdfTable) -> Question:
    asked, also = other_names.part(text)
    words = words_of(asked)
    content = list(dict.fromkeys(s for s, stop in zip(words.stems, words.stops, strict=True) if not stop))
    # "Who was he?" still has words.
    content = (content or list(dict.fromkeys(words.stems)))[:MAX_CONTENT]
    weights = {s: idf(s) for s in content}
    names = {
        s
        for i, (surface, s, stop) in enumerate(zip(words.surface, words.stems, words.stops, strict=True))
        if not stop and ((i > 0 and surface[0].isupper()) or surface[0].isdigit())
    }
    pairs = zip(words.stems, words.stems[1:], words.stops, words.stops[1:], strict=False)
    return Question(
        text=text,
        kind=kind_of(asked),
        words=words,
        content=content,
        weights=weights,
        total=sum(weights.values()) or 1.0,
        names=names,
        bigrams={(a, b) for a, b, x, y in pairs if not (x and y)},
        trigrams={s: letters(s) for s in content},
        term=asked_term(asked),
        also=also,
    )
