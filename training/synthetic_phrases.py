"""Sorts of phrases (dates, persons, places), and how a subject and its auxiliary read inside a question.

This module does not know which questions there are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from training import synthetic_words as words
from training.synthetic_clause import Chunk, Clause
from training.synthetic_lexicon import listed
from training.synthetic_tags import Token, spell

YEAR = re.compile(r"(?:1[0-9]{3}|20[0-4][0-9])(?:s|-\d\d(?:\d\d)?)?")
_DAY = re.compile(r"\d{1,2}(?:st|nd|rd|th)?")
_TIME_WORDS = (
    words.MONTHS
    | words.SEASONS
    | listed(
        """
    early late mid middle century centuries end beginning the of year years and ad bc bce ce to
    """
    )
)
TIME_PREPS = listed(
    """
    in on during since until by after before around from between at
    """
)
_PLACE_PREPS = listed(
    """
    in at near on from to into
    """
)


@dataclass(frozen=True, slots=True)
class Topic:
    """What the article is about, for pronouns and for `the film`."""

    name: str = ""
    person: bool = False
    noun: str = ""
    """The head of its definition: `film`, `village`."""
    lowered: frozenset[str] = field(default_factory=frozenset)
    """Words that the passage also writes in lower case."""
    people: frozenset[str] = field(default_factory=frozenset)
    """Names of persons in the passage."""


def is_date(tokens: list[Token]) -> bool:
    sure = any(YEAR.fullmatch(t.text) or t.lower in words.MONTHS or t.lower == "century" for t in tokens)
    return sure and all(
        YEAR.fullmatch(t.text)
        or _DAY.fullmatch(t.text)
        or t.lower in _TIME_WORDS
        or t.text in (",", "–", "-")
        or t.lower.endswith("-century")
        for t in tokens
    )


_AGENT = re.compile(r"[a-z-]+(?:er|or|ist|ian|man|woman)$")
_NOT_AGENTS = listed(
    """
    number order other another chapter former after under over river paper water letter minor major quarter computer power
    center summer winter december october november september color motor sector factor error
    """
)  # fmt: skip


def is_person(tokens: list[Token], topic: Topic) -> bool:
    """Whether a noun phrase is one person's name, by first names, titles and what the passage says of the name."""
    bare = [t for t in tokens if t.text not in (".", ",")]
    if not bare or bare[-1].lower in words.PLACE_NOUNS or bare[-1].lower in words.THING_NOUNS or bare[-1].tag != "NP":
        return False
    text = spell(tokens)
    if topic.person and topic.name and text.lower() in topic.name.lower():
        return True
    if text in topic.people:
        return True
    named = [t for t in bare if t.tag == "NP"]
    if any(t.lower in words.PLACES for t in named[1:]):
        return False
    titled = bare[0].lower in _TITLED or (
        bare[0].tag in ("D", "ADJ", "N", "NP")
        and any(t.lower in words.PERSON_NOUNS or (_AGENT.match(t.lower) and t.lower not in _NOT_AGENTS) for t in bare[:-2])
    )
    return titled or (words.is_first_name(named[0].text) and len(named) >= 2 and bare[0].tag == "NP")


_TITLES = listed(
    """
    sir dr mr mrs ms saint st senator captain colonel major lieutenant governor pope justice representative
    """
)
_TITLED = words.PERSON_NOUNS | _TITLES
_NO_LAST_NAMES = words.PLACES | words.PLACE_NOUNS | words.THING_NOUNS
_FULL_NAME = re.compile(r"\b([A-Z][a-zà-ÿ]+)(?: [A-Z]\.)? ((?:(?:van|de|von|der|di|da|la|le) )*[A-Z][\w’'-]+)\b")
_LINKED = re.compile(
    r"\b([A-Z][a-zà-ÿ]+),? (?:said|says|who|himself|herself|"
    r"and h(?:is|er) (?:wife|husband|brother|sister|son|family|father|mother))\b"
)


def people_of(passage: str) -> frozenset[str]:
    """Names by which a passage calls persons: first and last names of full names, and whoever says something."""
    found: set[str] = set()
    for match in _FULL_NAME.finditer(passage):
        if words.is_first_name(match.group(1)) and match.group(2).lower() not in _NO_LAST_NAMES:
            found.update((match.group(2), match.group(1), match.group()))
    found.update(match.group(1) for match in _LINKED.finditer(passage))
    return frozenset(found)


def is_people(clause_tokens: list[Token], head: int) -> bool:
    """Whether the head noun names persons: `researchers`, `the king`."""
    lower = clause_tokens[head].lower
    return clause_tokens[head].tag == "N" and (lower in words.PERSON_NOUNS or lower.removesuffix("s") in words.PERSON_NOUNS)


def is_place(chunk: Chunk, tokens: list[Token], main: str) -> bool:
    if chunk.kind != "PP" or chunk.prep not in _PLACE_PREPS:
        return False
    inside = tokens[chunk.begin + 1 : chunk.end]
    if is_date(inside) or any(t.tag == "NUM" or t.tag == "C" for t in inside):
        return False
    proper = [t for t in inside if t.tag == "NP"]
    if not proper or inside[-1].tag != "NP":
        return False
    known = inside[-1].lower in words.PLACES or proper[-1].lower in words.PLACE_NOUNS or proper[0].lower in words.PLACES
    if chunk.prep in ("to", "from", "into"):
        return known and main in (
            "go",
            "move",
            "travel",
            "emigrate",
            "return",
            "flee",
            "immigrate",
            "come",
            "sail",
            "send",
            "relocate",
        )
    return known or (
        chunk.prep in ("in", "at") and main in words.LOCATING and inside[0].tag in ("NP", "D") and inside[-1].tag == "NP"
    )


def quantity(inside: list[Token]) -> tuple[int, str, str] | None:
    """(tokens of the quantity, the counted noun, How many or How much)"""
    at = 1 if inside[0].lower in ("about", "over", "approximately", "nearly", "around", "only") else 0
    if at >= len(inside) or inside[at].text in ("$", "£", "€"):
        return (len(inside), "money", "How much") if len(inside) > at + 1 and len(inside) <= 5 else None
    if inside[at].tag != "NUM" or (YEAR.fullmatch(inside[at].text) and len(inside) == 1):
        return None
    stop = at
    while stop < len(inside) and inside[stop].tag == "NUM":
        stop += 1
    if stop >= len(inside):
        return None
    if (
        inside[stop].lower in ("mg", "ml", "kg", "g", "grams", "pounds")
        and stop + 2 < len(inside)
        and inside[stop + 1].lower == "of"
    ):
        return stop + 1, spell(inside[stop + 2 :]), "How much"
    if inside[stop - 1].text.endswith("%"):
        return (stop, spell(inside[stop:]), "What percentage") if inside[stop].lower == "of" else None
    noun = spell(inside[stop:])
    plural = inside[stop].lower == "people" or any(
        t.lower.endswith("s") or t.lower in ("children", "people", "men", "women") for t in inside[stop:]
    )
    return (stop, noun, "How many") if plural else None


def subject_text(clause: Clause, topic: Topic) -> str:
    """The subject as it reads inside a question; empty where it points at something that the question does not hold."""
    tokens = clause.tokens[slice(*clause.subject)]
    first, lower = tokens[0], tokens[0].lower
    text = spell(tokens)
    if first.tag == "PR" or lower in (
        "this",
        "that",
        "these",
        "those",
        "another",
        "such",
        "no",
        "neither",
        "both",
        "each",
        "other",
        "some",
    ):
        if topic.name and len(tokens) == 1 and ((lower in ("he", "she") and topic.person) or (lower == "it" and not topic.person)):
            return topic.name
        if topic.name and lower == "this" and len(tokens) == 2 and tokens[1].lower == topic.noun:
            return topic.name
        return ""
    if first.tag == "POS":
        if topic.name and ((lower in ("his", "her") and topic.person) or (lower == "its" and not topic.person)):
            return _possessive(topic.name) + text[len(first.text) :]
        return ""
    if any(t.tag == "POS" for t in tokens) or clause.tokens[clause.subject_head].tag == "PR":
        return ""
    if topic.noun and lower == "the" and len(tokens) == 2 and tokens[1].lower == topic.noun:
        return topic.name
    if topic.person and topic.name and len(tokens) == 1 and text in topic.name.split():
        return topic.name
    if (first.tag != "NP" or lower in topic.lowered) and not _is_name(tokens, topic):
        text = lower + text[len(first.text) :]
    return text


def _is_name(tokens: list[Token], topic: Topic) -> bool:
    """Whether the capital of the first word belongs to it: "Old Kent Road"."""
    if len(tokens) < 2:
        return False
    return topic.name.startswith(spell(tokens[:2])) or (tokens[0].tag == "ADJ" and tokens[1].tag == "NP" and tokens[-1].tag == "NP")


def _possessive(name: str) -> str:
    return name + ("'" if name.endswith("s") else "'s")


def auxiliary(clause: Clause) -> tuple[str, str]:
    """(what goes in front of the subject, what stays behind it)"""
    tokens = clause.tokens
    main = tokens[clause.main]
    if clause.auxiliaries:
        first = clause.auxiliaries[0]
        kept = (
            [t.text for t in tokens[first + 1 : clause.main + 1] if t.lower not in ("also", "then", "however", "later")]
            if first < clause.main and first > clause.subject[0]
            else [main.text]
        )
        if not joined(clause):
            kept = [main.text]
        return tokens[first].lower, " ".join(kept)
    if clause.copula:
        return main.lower, ""
    base = words.base_of(main.lower)
    if base is None:
        return "", ""
    if main.tag == "VZ":
        return "does", base
    if main.tag == "VB" or (main.lower == base and base not in words.PAST_TO_BASE):
        return "do", base
    if main.tag == "H" and main.lower in ("has", "have"):
        return ("does" if main.lower == "has" else "do"), "have"
    return "did", base


def joined(clause: Clause) -> bool:
    """Whether the auxiliaries stand before this main verb and not before that of the first of two joined clauses."""
    between = clause.tokens[clause.auxiliaries[0] : clause.main]
    return all(t.tag in ("M", "B", "H", "DO", "NEG", "ADV") for t in between)


_SPACES = re.compile(r"\s+")


def tidy(text: str) -> str:
    text = _SPACES.sub(" ", text).strip(" ,;:-")
    text = re.sub(r" ([,.;:)])", r"\1", text)
    return text[0].upper() + text[1:] + "?"


# What opens a sentence and says nothing inside a question.
EMPTY_FRONT = re.compile(
    r"(?:for (?:example|instance)|in (?:addition|fact|general|particular|contrast|this|that|these|those|its|his|her|their|short"
    r"|other)|as (?:a|an) |at (?:first|the same|this|that)|on the other|within a short|by (?:then|this|that)|after (?:this|that)"
    r"|during (?:this|that|his|her)|from there|of (?:the|these|those) |with (?:the|this|his|her))",
    re.IGNORECASE,
)
