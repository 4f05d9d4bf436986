"""Completes a question from the conversation: "what about its side effects?" from the question before it, "tell me about it" at the
beginning of one from what the assistant is about.

A question leans where a pronoun points out of it, where it begins like a continuation, or where it says next to nothing. English
and German, by rules. Knows no corpus.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ragmesh.evidence.v1.text_pb2 import Role, Utterance

from services.retriever.languages import analysed
from services.retriever.rewriting.topic import topic_of
from services.retriever.terms import terms

MOST_QUESTIONS = 4
"""Earlier questions that a chain of follow-ups is read through."""
MAX_BEFORE_BYTES = 2048
_FEW_TERMS = 3
_MOST_TERMS = 7

_POSSESSIVE = {
    "en": re.compile(r"\b(?:its|their|his|her)\b(?=\s+\w)", re.IGNORECASE),
    "de": re.compile(r"\b(?:sein(?:e[nmrs]?)?|ihr(?:e[nmrs]?)?|dessen|deren)\b(?=\s+\w)", re.IGNORECASE),
}
_PRONOUN = {
    "en": re.compile(
        r"\b(?:it|they|them|he|she|him)\b"
        r"|\b(?:this|these|those)\b(?!\s+(?:week|month|year|morning|time)\b)(?:\s+(?:stuff|things?|substance|product|one|drug))?"
        r"|(?<=\bis )that\b|(?<=\bwas )that\b|(?<=\bdoes )that\b|(?<=\bdid )that\b|(?<=\babout )that\b|(?<=\bof )that\b"
        r"|\bthat\b(?=\s*[?.!]*$)"
        r"|\bthe (?:former|latter)\b",
        re.IGNORECASE,
    ),
    "de": re.compile(
        r"\b(?:er|ihn|ihm|ihnen|es)\b|\bsie\b"
        r"|\b(?:das|dies|dieses|diese|diesen)\b(?=\s*(?:[?.!,;]|$|und\b|oder\b|genau\b|eigentlich\b|alles\b|auch\b|legal\b|gut\b|sicher\b))"
        r"|\b(?:diese|dieser|dieses|diesen)\b|\b(?:davon|dazu|damit|dafür|dagegen|darüber|daran|dabei|darauf|darin|daraus)\b",
        re.IGNORECASE,
    ),
}
# Points out of the question as well, and cannot be replaced by what it points at.
_POINTER = {
    "en": re.compile(r"\bones?\b(?=\s*[?.!]*$)|\bthere\b(?=\s*[?.!]*$)|\bthe same\b(?! (?:as|thing as)\b)", re.IGNORECASE),
    "de": re.compile(r"\b(?:dort|da)\b(?=\s*[?.!]*$)|\bdasselbe\b(?! wie\b)", re.IGNORECASE),
}
# "It" that stands for nothing: "is it legal to", "how long does it take to".
_EXPLETIVE = {
    "en": re.compile(
        r"\bis it (?:legal|illegal|safe|ok|okay|possible|true|allowed|better|worth|likely|dangerous|bad|good|normal|necessary|"
        r"enough|proven|known)\b(?= (?:to|that|if)\b)|\bit(?:'s| is| was| has been)\b[^?.!]{0,24}\bthat\b"
        r"|\bdoes it (?:take|matter|help)\b(?= (?:to|for|if|before)\b)",
        re.IGNORECASE,
    ),
    "de": re.compile(
        r"\b(?:ist|wäre) es (?:legal|illegal|sicher|möglich|wahr|erlaubt|besser|gefährlich|schlimm|schlecht|gut|normal|nötig)\b"
        r"(?=[, ]+(?:zu|dass|wenn|\w+ zu|[A-ZÄÖÜ]))|\bgibt es\b|\bes gibt\b|\bdauert es\b|\bwie viele es\b",
        re.IGNORECASE,
    ),
}
_OPENER = {
    "en": re.compile(r"^(?:and|but|so|or|then|what about|how about|what else|anything else|what if|why not|also)\b", re.IGNORECASE),
    "de": re.compile(
        r"^(?:und|aber|oder|dann|also|auch|was ist mit|wie ist es mit|wie sieht es mit|wie steht es mit|was noch|sonst noch)\b",
        re.IGNORECASE,
    ),
}
_NEW_TOPIC = re.compile(r"^(?:what|who|was|wer)(?:'s| is| are| was| were| ist| sind| war| waren)\b", re.IGNORECASE)
_PLURAL = re.compile(r"\b(?:they|them|their|ihnen|deren)\b", re.IGNORECASE)
_CLAUSE = re.compile(
    r",|;|\b(?:and|but|while|when|because|before|after|until|unless|if|und|aber|während|wenn|weil|bevor|nachdem|bis)\b",
    re.IGNORECASE,
)


_POLITE = ("Sie", "Ihr", "Ihre", "Ihren", "Ihrem", "Ihrer")


@dataclass(frozen=True, slots=True)
class Completed:
    """A question with what it leans on."""

    text: str
    """One text that stands alone, as it may be shown and answered."""
    before: str
    """What it leans on; its words count less than the question's own."""
    whole: bool
    """Whether `text` is the question itself with its pronouns replaced, and so can be searched for in its place."""


def leans(question: str, language: str) -> bool:
    """Whether the question cannot be understood alone."""
    count = len(set(terms(question, language)))
    pointed = _points_out(question, language, _FEW_TERMS)
    if pointed or count == 0:
        return True
    opened = _rules(_OPENER, language).search(question.strip()) is not None
    # "What is winterisation?" begins anew; "In children?" does not.
    return (opened and count <= _MOST_TERMS) or (count == 1 and not _NEW_TOPIC.search(question.strip()))


def _points_out(question: str, language: str, few: int) -> bool:
    """Whether a pronoun points out of the question. In one of at most `few` terms every pronoun does."""
    count = len(set(terms(question, language)))
    if count > _MOST_TERMS:
        return False
    bare = _rules(_EXPLETIVE, language).sub(" ", question)
    for pattern in (_POSSESSIVE, _PRONOUN, _POINTER):
        for match in _rules(pattern, language).finditer(bare):
            if language == "de" and match.group() in _POLITE:
                continue
            if count <= few or not _inside(bare, match.start(), language):
                return True
    return False


def _begins_with_pronoun(question: str, language: str) -> bool:
    """Whether a pronoun comes before the question has named much that it could stand for."""
    bare = _rules(_EXPLETIVE, language).sub(" ", question.strip())
    if bare.lower().startswith(("if ", "wenn ", "falls ")):
        return False
    found = [match for pattern in (_POSSESSIVE, _PRONOUN) for match in _rules(pattern, language).finditer(bare)]
    return any(
        len(set(terms(bare[: match.start()], language))) <= 2
        for match in found
        if not (language == "de" and match.group() in _POLITE)
    )


def _inside(question: str, at: int, language: str) -> bool:
    """Whether an earlier clause of the question itself names what the pronoun at `at` may stand for."""
    ends = [match.start() for match in _CLAUSE.finditer(question, 0, at)]
    return bool(ends) and len(set(terms(question[: ends[-1]], language))) >= 2


def complete(question: str, history: Sequence[Utterance], language: str) -> Completed | None:
    """The question with the words of the conversation that it leans on; None where it leans on nothing, or nothing was said.

    Args:
        history: the conversation so far, oldest first, without the question.
    """
    if not leans(question, language):
        return None
    said = [one for one in history if one.role == Role.ROLE_ASSISTANT or terms(one.text, language)]
    asked = [number for number, one in enumerate(said) if one.role != Role.ROLE_ASSISTANT]
    if not asked:
        return None
    before, topic = "", ""
    plural = _PLURAL.search(question) is not None
    for number in asked[-MOST_QUESTIONS:]:
        text = said[number].text
        answer = next((one.text for one in said[number + 1 : number + 2] if one.role == Role.ROLE_ASSISTANT), "")
        if before and leans(text, analysed(language, text)):
            before = f"{before} {text}"
            topic = topic_of(text, answer, language, plural=plural) or topic
        else:
            before, topic = text, topic_of(text, answer, language, plural=plural)
    before = _tail(before)
    text, whole = _joined(question, topic, before, language)
    return Completed(text, before, whole)


def complete_from_subject(question: str, subject: str, language: str) -> Completed | None:
    """A first question that leans, completed from what the assistant is about; None where it does not lean."""
    own = terms(question, language)
    if not subject or any(term in own for term in terms(subject, language)):
        return None
    # Without a conversation "they" seldom means the one thing that an assistant is about.
    if own and (_PLURAL.search(question) or not _begins_with_pronoun(question, language)):
        return None
    plain = subject.partition("(")[0].strip() or subject
    text = _replaced(question, plain, language)
    if text == question:
        joint = "über" if language == "de" else "about"
        stripped = re.sub(r"\s+(?:about|über)\W*$|[\s?.!]+$", "", question)
        text = f"{stripped} {joint} {plain}"
    return Completed(text, subject, whole=True)


def _joined(question: str, topic: str, before: str, language: str) -> tuple[str, bool]:
    if topic and not _rules(_OPENER, language).search(question.strip()):
        replaced = _replaced(question, topic, language)
        if replaced != question:
            return replaced, True
    end = "" if before.rstrip().endswith(("?", ".", "!")) else "?"
    return f"{before.rstrip()}{end} {question}", False


def _replaced(question: str, topic: str, language: str) -> str:
    """The question with its pronouns, but those that stand for nothing, replaced by what they point at."""
    kept = [match.span() for match in _rules(_EXPLETIVE, language).finditer(question)]

    def outside(match: re.Match[str]) -> bool:
        return not any(start < match.end() and match.start() < end for start, end in kept)

    def possessive(match: re.Match[str]) -> str:
        if not outside(match):
            return match.group()
        return f"{topic}-" if language == "de" else f"{topic}'" if topic.endswith("s") else f"{topic}'s"

    if language == "de":
        # German possessives agree with what follows: named behind it instead.
        made = _rules(_POSSESSIVE, language).sub(lambda match: match.group() if not outside(match) else "die", question, count=1)
        if made != question:
            end = re.search(r"[\s?.!]*$", made)
            at = end.start() if end else len(made)
            return f"{made[:at]} ({topic}){made[at:]}"
    else:
        made = _rules(_POSSESSIVE, language).sub(possessive, question)
        if made != question:
            return made
    return _rules(_PRONOUN, language).sub(lambda match: topic if outside(match) else match.group(), question)


def _tail(text: str) -> str:
    """The last words of a long text."""
    data = text.encode()
    return text if len(data) <= MAX_BEFORE_BYTES else data[-MAX_BEFORE_BYTES:].decode(errors="ignore").partition(" ")[2]


def _rules(by_language: dict[str, re.Pattern[str]], language: str) -> re.Pattern[str]:
    return by_language["de" if language == "de" else "en"]
