"""The facts that a text states in a form that can be looked up: numbers with their units, dates, addresses, names, quotations.

Read the same way in every language (words.yaml has what differs), from answers and evidence alike. Words with accents and case are
folded. The verifier's own hard layer (`ragmesh_models.claim_facts`) reads English far more closely, with a table of word vectors
that services do not have; this one stands where it cannot: other languages, no model, addresses and quotations. Knows no verdict.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

MAX_FACTS = 256
"""Of one kind in one text; the rest is not looked at."""

URL = re.compile(r"(?:https?://|www\.)[^\s<>()\"'`\]]+[^\s<>()\"'`\].,;:!?]", re.I)
# Without a scheme only where nothing but an address ends so: "node.js" and "tablets.It" are none.
_BARE_URL = re.compile(
    r"(?<![\w@./-])(?:[a-z0-9][a-z0-9-]{1,62}\.){1,4}(?:com|org|net|info|edu|gov|eu)(?![\w-])(?:/[^\s<>()\"'`\]]*[^\s<>()\"'`\].,;:!?])?",
    re.I,
)
_BARE_ENDS = (".com", ".org", ".net", ".info", ".edu", ".gov", ".eu")
EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
PHONE = re.compile(r"(?<![\w.])(?:\+\d{1,3}[ .-]?)?(?:\(\d{1,5}\)[ .-]?)?\d{2,8}(?:[ .-]\d{2,8}){0,5}(?!\w)")
_ISO = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})(?!\d)")
_SLASHED = re.compile(r"(?<![\d.])(\d{1,2})([./])(\d{1,2})\2(\d{4}|\d{2})(?!\d)")
_NUMBER = re.compile(r"(?<![\w.,])[-−]?\d+(?:[.,'’\u00a0\u202f\u2009 ]\d{3})*(?:[.,]\d+)?(?=(\D{0,24}))", re.A)
_LISTED = re.compile(r"(?m)^[^\S\n]*\(?\d{1,2}[.)](?=\s)|\[\d{1,3}(?:,\s?\d{1,3})*\]")
_QUOTED = re.compile(r"[“„«]([^“”„«»\n]{8,600})[”“»]|\"([^\"\n]{8,600})\"")
_WORD = re.compile(r"[^\W\d_](?:[\w'’-]*\w)?")
_UNIT = re.compile(r"\s{0,2}-?(%|°\s?[cf]\b|[€$£₽]|[^\W\d_]+)", re.I)
_SIGN = re.compile(r"([€$£₽])\s?$")
_NEAR_DAY = re.compile(r"(\d{1,2})(?:st|nd|rd|th|er|º)?[.,]?\s+(?:de\s+|of\s+)?$")
_GROUPING = re.compile(r"['’\u00a0\u202f\u2009 ]")
_DIGIT = re.compile(r"\d")
# 09.06.2019; 08.00-16.30.
_TIMED = re.compile(r"^\d{1,2}([./-])\d{1,2}\1\d{2,4}|^\d\d\.\d\d[ -]\d\d\.\d\d$")
_LEAST_OF_PHONE = 7
_OF_PHONE = range(_LEAST_OF_PHONE, 16)
"""Digits of a telephone number."""
_LONGEST_REMEMBERED = 4_096
_NEITHER = bytes(code for code in range(128) if not chr(code).isalnum())
_AFTER_MONTH = re.compile(r"^\.?\s+(?:(\d{1,2})(?:st|nd|rd|th)?(?![\d.,]*\d))?,?\s*(?:de\s+|of\s+)?(\d{4})?")


@lru_cache(maxsize=65_536)
def folded(word: str) -> str:
    """Lower case, without accents."""
    if word.isascii():
        return word.lower()
    plain = unicodedata.normalize("NFKD", word.casefold())
    return "".join(character for character in plain if not unicodedata.combining(character)).replace("’", "'")


@dataclass(frozen=True)
class Words:
    """What stands in words.yaml, folded."""

    months: dict[str, int]
    numbers: dict[str, float]
    tens: frozenset[str]
    """Words for 20, 30, ... 90."""
    units: dict[str, tuple[str, float]]
    """Dimension and how many base units one is."""
    negations: frozenset[str]
    titles: frozenset[str]


@cache
def words() -> Words:
    """The words, read once."""
    listed: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "words.yaml").read_text(encoding="utf-8"))

    def numbered(rows: dict[str, str], first: int) -> dict[str, int]:
        return {
            folded(word): number
            for row in rows.values()
            for number, forms in enumerate(row.split(), start=first)
            for word in forms.split("|")
        }

    tens = {word: 10.0 * number for word, number in numbered(listed["tens"], 2).items()}
    units = {
        (name if name in "°c°f" else folded(name)): (dimension, float(size))
        for dimension, sizes in listed["units"].items()
        for size, names in sizes.items()
        for name in names.split()
    }
    return Words(
        months=numbered(listed["months"], 1),
        numbers={
            **tens,
            **{word: float(number) for word, number in numbered(listed["numbers"], 0).items()},
        },
        tens=frozenset(tens),
        units=units,
        negations=frozenset(folded(word) for row in listed["negations"].values() for word in row.split()),
        titles=frozenset(folded(word) for word in listed["titles"].split()),
    )


@dataclass(frozen=True, slots=True)
class Number:
    """A number in digits with what it may mean: `1.000` is a thousand or one."""

    values: tuple[float, ...]
    unit: tuple[str, float] | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Date:
    """A date; what it leaves open is None. `month` and `day` may be the other way round where `swappable`."""

    year: int | None
    month: int
    day: int | None
    swappable: bool
    start: int
    end: int


def values(digits: str) -> tuple[float, ...]:
    """What a number in digits can mean where the language is not known: points and commas group or divide."""
    if digits.isascii() and digits.isdigit():
        return (float(digits),)
    plain = _GROUPING.sub("", digits.replace("−", "-"))
    found = []
    for mark, other in ((".", ","), (",", ".")):
        # `mark` divides, `other` groups.
        whole, _, part = plain.partition(mark)
        groups = whole.split(other)
        sound = mark not in part and other not in part and all(len(group) == 3 for group in groups[1:])
        if sound and groups[0] not in ("", "-"):
            found.append(float(f"{''.join(groups)}.{part or 0}"))
    return tuple(dict.fromkeys(found))


def numbers(text: str) -> list[Number]:
    """Numbers in digits; those of lists, citations, addresses and dates are not among them."""
    taken = [match.span() for pattern in (_LISTED, _ISO, _SLASHED) for match in pattern.finditer(text)]
    taken += [match.span() for match in (*urls(text), *emails(text))]
    found: list[Number] = []
    for match in _NUMBER.finditer(text):
        start, end = match.span()
        if any(first <= start < last for first, last in taken):
            continue
        meant = values(match.group())
        if meant and len(found) < MAX_FACTS:
            found.append(Number(meant, _unit(text[max(0, start - 3) : start], match.group(1)), start, end))
    return found


def _unit(before: str, after: str) -> tuple[str, float] | None:
    sign = _SIGN.search(before)
    if sign:
        return words().units.get(sign.group(1))
    named = _UNIT.match(after)
    return words().units.get(folded(named.group(1).replace(" ", ""))) if named else None


def dates(text: str) -> list[Date]:
    """Dates with a month, in digits or by its name."""
    found: list[Date] = []
    if text.count("-") >= 2:
        found = [Date(int(m[1]), int(m[2]), int(m[3]), False, *m.span()) for m in _ISO.finditer(text)]
    for match in _SLASHED.finditer(text) if text.count(".") >= 2 or text.count("/") >= 2 else ():
        first, second, year = int(match[1]), int(match[3]), int(match[4])
        day, month = (second, first) if second > 12 else (first, second)
        swappable = match[2] == "/" and first <= 12 and second <= 12
        found.append(Date(year if year > 99 else None, month, day, swappable, *match.span()))
    months = words().months
    # Hardly a sentence names a month: all its words are seen at once.
    if not months.keys().isdisjoint(folded_words(text)):
        for match in _WORD.finditer(text):
            named = months.get(folded(match.group()))
            if named is not None:
                found += _named(text, match, named)
    return [date for date in found if 1 <= date.month <= 12][:MAX_FACTS]


def _named(text: str, match: re.Match[str], month: int) -> list[Date]:
    before = _NEAR_DAY.search(text[max(0, match.start() - 12) : match.start()])
    after = _AFTER_MONTH.match(text[match.end() : match.end() + 24])
    day = before.group(1) if before else after.group(1) if after else None
    year = after.group(2) if after else None
    if day is None and year is None and (match.group()[0].islower() or len(match.group()) < 4):
        # "may", "mars" and the like are also other words.
        return []
    return [Date(int(year) if year else None, month, int(day) if day else None, False, match.start(), match.end())]


def urls(text: str) -> list[re.Match[str]]:
    """Addresses of pages."""
    lower = text.lower()
    found = list(URL.finditer(text)) if "://" in text or "www." in lower else []
    if any(end in lower for end in _BARE_ENDS):
        taken = [match.span() for match in found]
        bare = _BARE_URL.finditer(text)
        found += [match for match in bare if not any(start <= match.start() < end for start, end in taken)]
    return found


def emails(text: str) -> list[re.Match[str]]:
    """Addresses of mail."""
    return list(EMAIL.finditer(text)) if "@" in text else []


def phones(text: str) -> list[re.Match[str]]:
    """Telephone numbers; dates, ranges and large numbers are none."""
    if len(_DIGIT.findall(text)) < _LEAST_OF_PHONE:
        return []
    found = (match for match in PHONE.finditer(text) if match.group()[0] in "+0(" and not _TIMED.search(match.group()))
    return [match for match in found if len(_DIGIT.findall(match.group())) in _OF_PHONE]


def quotations(text: str) -> list[tuple[int, int]]:
    """Where quoted words stand, without their marks; three words at least, for one or two may be set off for emphasis."""
    if not any(mark in text for mark in '"“„«'):
        return []
    found = [match.span(1) if match[1] else match.span(2) for match in _QUOTED.finditer(text)]
    return [(start, end) for start, end in found if len(text[start:end].split()) >= 3][:MAX_FACTS]


def folded_words(text: str) -> Sequence[str]:
    """The words of a text in their order, each folded."""
    return _words_of_segment(text) if len(text) <= _LONGEST_REMEMBERED else _folded_words(text)


def _folded_words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.lower()) if text.isascii() else map(folded, _WORD.findall(text)))


# Several methods ask for the words of the segment that is looked at.
_words_of_segment = lru_cache(maxsize=4)(_folded_words)


def compact(text: str) -> str:
    """Letters and digits only, folded: what is left when spacing, case and punctuation do not count."""
    if text.isascii():
        return text.lower().encode().translate(None, _NEITHER).decode()
    return "".join(filter(str.isalnum, folded_text(text)))


def folded_text(text: str) -> str:
    """`text` in lower case, without accents."""
    if text.isascii():
        return text.lower()
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
