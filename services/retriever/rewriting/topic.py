"""What a question is about, in its own words: what a later "it" most likely points at.

Without a parser: runs of content words; names before common words; what stands behind a preposition last, for "it" seldom points
at a place or a means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from services.retriever.terms import GERMAN_STOP_WORDS, STOP_WORDS

MAX_TOPIC_WORDS = 5
_WORD = re.compile(r"[^\W_](?:[\w'’.-]*\w)?")
_ADJUNCT = frozenset("in at on during for with by against from to into through bei mit gegen aus im zum zur durch nach".split())  # noqa: SIM905
# Verbs and words of talk: no topic begins or ends with them.
LIGHT = frozenset(
    """take takes taking treat treats cure cures last lasts keep keeps help helps work works use uses used using mean means
    happen happens happened know tell affect affects interact interacts cause causes make makes made find found
    approve approved store stored come comes go goes get gets give gives run ran raise raises legal safe good bad well
    first many much long far often say says think kind type sort difference extracted smoked studied isolated
    discovered allowed want need show shows hilft helfen wirkt wirken macht machen nehmen nimmt heißt bedeutet
    passiert kommt legal sicher gut schlecht erste ersten viel lange oft gibt wechselwirkung wechselwirkt beeinflusst
    lagert lagern zugelassen hergestellt entdeckt
    stay stays remain remains remove removes weigh weighs reach reaches contain contains arrive arrives depart departs begin
    begins become becomes bleibt bleiben kostet kosten dauert dauern wiegt wiegen enthält fährt öffnet""".split()  # noqa: SIM905 - a word list reads better as prose
)


@dataclass(frozen=True, slots=True)
class _Run:
    words: tuple[str, ...]
    name: bool
    adjunct: bool
    said_again: bool


def topic_of(question: str, answer: str, language: str, *, plural: bool = False) -> str:
    """The topic of `question`, or an empty text. What the answer says again is preferred.

    Args:
        plural: "they" asks for it.
    """
    runs = _runs(question, answer.lower(), language)
    if not runs:
        return ""
    # Later is better among equals: what was said last is nearest.
    best = max(enumerate(runs), key=lambda item: _rank(item[1], item[0], plural and language == "en"))[1]
    return " ".join(best.words[-MAX_TOPIC_WORDS:])


def _rank(run: _Run, at: int, plural: bool) -> tuple[bool, bool, bool, bool, int]:
    many = plural and run.words[-1].endswith("s")
    return many, not run.adjunct, run.name, run.said_again, at


def _runs(question: str, answer: str, language: str) -> list[_Run]:
    stop_words = GERMAN_STOP_WORDS if language == "de" else STOP_WORDS
    runs: list[_Run] = []
    words: list[str] = []
    before = last = ""

    def close() -> None:
        nonlocal words
        while words and words[0].lower() in LIGHT:
            words = words[1:]
        while words and words[-1].lower() in LIGHT | {"of", "von"}:
            words = words[:-1]
        if words:
            # In German every noun has a capital: only what has one inside is a name for sure.
            name = any(any(letter.isupper() for letter in (word[1:] if language == "de" else word)) for word in words)
            runs.append(_Run(tuple(words), name, before in _ADJUNCT, words[-1].lower() in answer))
        words = []

    for number, match in enumerate(_WORD.finditer(question)):
        word = match.group()
        lower = word.lower().replace("’", "'")
        first = number == 0
        if lower in stop_words or lower in LIGHT or (first and lower in ("tell", "compare", "describe", "list", "show")):
            # "certificate of analysis" is one thing.
            if lower in ("of", "von") and words and words[-1].lower() not in LIGHT:
                words.append(word)
                continue
            close()
            if lower not in ("the", "a", "an", "der", "die", "das", "den", "dem", "ein", "eine", "einer", "einem"):
                last = lower
            continue
        if not words:
            before = last
        words.append(word)
        last = lower
    close()
    return runs
