"""What an answer states that its evidence does not give: eleven methods, each over one kind of fact, none over a language
or a person.

    entity  number  date  unit  counted  url  contact  negation  title  quotation  citation

All take what is allowed from the evidence (its texts, titles and addresses), from the question where that is enough, and from who
the assistant says it is. A finding is `hard` where the fact can be looked up and is not there: such a text is withheld. The
others only keep a claim from being VERIFIED, for a name can be inflected and a sentence turned round twice. What
the assistant claims to be or to have done, stands in persona.py. Knows no models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from services.guard.output import facts
from services.guard.output.claims import sentences
from services.guard.output.facts import Date, Number, folded
from services.guard.output.plausibility import function_words
from services.guard.output.windows import stems

_WORD = re.compile(r"[^\W\d_](?:[\w'’-]*\w)?")
_CITED = re.compile(r"[\[【](?:source |quelle |doc(?:ument)? )?(\d{1,3})[\]】]|\((?:source|quelle) (\d{1,3})\)", re.I)
_OPENING = re.compile(r"(?:^|[.!?:;\n\"“„«(\[•|>*#-])\s*[\"“„«(\[*_]*$")
_COMMON_STEM = 5
_LEAST_NAME = 3
_NOUNS_IN_CAPITALS = frozenset({"de", "lb"})
_SHARED_FOR_NEGATION = 0.75
_LEAST_STEMS = 4
_TOLERANCE = 1e-6
_SENTENCE_END = re.compile(r"[.!?;:,()\[\]\n]")
_WORDS_BEHIND = 4
_DIGITS = re.compile(r"\d")
_LARGE = (
    "hundr", "hundert", "thousand", "tausend", "milli", "billi", "mille", "mil", "cent", "honderd", "duizend", "cien", "cem", "sto",
    "tysi", "tisic", "bin", "yuz", "сто", "сот", "тысяч", "миллион",
)  # fmt: skip
"""How words for what a ten may be a part of begin."""
# Ten in Turkish, eleven in Spanish, two in Italian: in an English text they are other words.
_NO_NUMBERS = frozenset({"on", "once", "due"})
# Answers a question and turns nothing round: "No, it does not".
_ANSWERED = re.compile(r"^\W*(?:no|nein|non|não|nee|nie|ne|нет|hayır)\s*[,.!:;–—]\s", re.I)
_INNER = re.compile(r"['’-]")
_LEAST_THING = 4
"""Letters of a word that names what is counted: shorter ones are particles and units that no list has."""


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that the evidence does not give."""

    rule: str
    hard: bool
    start: int
    """Half-open range in characters of the text."""
    end: int


class Given:
    """What answers may draw on, read once a draft.

    Args:
        evidence: texts that carry facts.
        named: texts that may lend a name, but no fact: titles, the question, what the assistant is called.
        addresses: where the documents came from.
        count: how many passages there are, for citations by number.
    """

    def __init__(
        self, evidence: Sequence[str], *, named: Sequence[str] = (), addresses: Sequence[str] = (), count: int | None = None
    ) -> None:
        self.whole = "\n".join(evidence)
        self.count = len(evidence) if count is None else count
        self.folded = facts.folded_words(self.whole)
        distinct = set(self.folded)
        self.words = distinct | {part for word in distinct if not word.isalnum() for part in _INNER.split(word)}
        self.prefixes = {word[:_COMMON_STEM] for word in self.words}
        lent = {word for text in named for word in facts.folded_words(text)}
        self.names = self.words | lent
        self.name_prefixes = self.prefixes | {word[:_COMMON_STEM] for word in lent}
        self._distinct = distinct
        self._named = named
        self._addresses = (*evidence, *addresses)

    @cached_property
    def dates(self) -> list[Date]:
        """Its dates."""
        return facts.dates(self.whole)

    @cached_property
    def numbers(self) -> list[Number]:
        """Its numbers in digits."""
        return facts.numbers(self.whole)

    @cached_property
    def alike(self) -> dict[float, list[Number]]:
        """Its numbers in digits by what they may mean."""
        found: dict[float, list[Number]] = {}
        for number in self.numbers:
            for value in number.values:
                found.setdefault(value, []).append(number)
        return found

    @cached_property
    def spoken(self) -> set[float]:
        """Its numbers in words."""
        known = facts.words().numbers
        other = _NO_NUMBERS if "the" in self._distinct else frozenset()
        return {known[word] for word in self._distinct - other if word in known}

    @cached_property
    def values(self) -> set[float]:
        """All numbers, in digits, in words and of dates."""
        dated = {float(part) for date in self.dates for part in (date.year, date.day, date.month) if part is not None}
        return self.alike.keys() | dated | self.spoken

    @cached_property
    def months(self) -> set[int]:
        """The months that it names."""
        known = facts.words().months
        return {known[word] for word in self._distinct if word in known} | {date.month for date in self.dates}

    @cached_property
    def lent(self) -> set[float]:
        """Numbers of what may lend a name."""
        return {value for text in self._named for number in facts.numbers(text) for value in number.values}

    @cached_property
    def compact(self) -> str:
        """All of it, letters and digits only."""
        return facts.compact(self.whole)

    @cached_property
    def addresses(self) -> str:
        """Where addresses are looked for."""
        return facts.folded_text("\n".join(self._addresses))

    @cached_property
    def digits(self) -> str:
        """Its digits in a row."""
        return "".join(filter(str.isdigit, self.whole))

    @cached_property
    def sentences(self) -> list[tuple[set[str], bool]]:
        """The stems of each sentence of the evidence, and whether it denies."""
        cut = [self.whole[start:end] for start, end in sentences(self.whole)]
        return [(stems(text), denies(text)) for text in cut]

    @cached_property
    def titled(self) -> set[tuple[str, str]]:
        """Each title with the words right behind it."""
        if facts.words().titles.isdisjoint(self._distinct):
            return set()
        places = (at for at, word in enumerate(self.folded) if word in facts.words().titles)
        return {(self.folded[at], after) for at in places for after in self.folded[at + 1 : at + 4]}


def denies(text: str) -> bool:
    """Whether a text holds an odd number of words that turn it round."""
    found = facts.words().negations
    said = facts.folded_words(_ANSWERED.sub("", text, count=1))
    if "'" in text or "’" in text:
        return sum(word in found or word.endswith("n't") for word in said) % 2 == 1
    return sum(map(found.__contains__, said)) % 2 == 1


def _numbers(text: str, given: Given) -> Iterable[Lack]:
    # Those of telephone numbers are judged with them: who writes them decides where they are parted.
    called = [match.span() for match in facts.phones(text)]
    found = [number for number in facts.numbers(text) if not any(start <= number.start < end for start, end in called)]
    yield from _number(found, given)
    yield from _unit(found, given)
    yield from _counted(text, found, given)


def _number(found: Sequence[Number], given: Given) -> Iterable[Lack]:
    for number in found:
        if not any(value in given.values for value in number.values) and not _scaled(number, given):
            lent = any(value in given.lent for value in number.values)
            yield Lack("hallucination.number", not lent, number.start, number.end)


def _spoken(text: str, given: Given) -> Iterable[Lack]:
    """Tens in words that the evidence does not give. No hard ones: they are round, and stand in figures of speech."""
    numbers = facts.words().numbers
    said = facts.folded_words(text)
    tens = facts.words().tens
    if tens.isdisjoint(said):
        return
    for at, match in enumerate(_WORD.finditer(text)):
        if said[at] not in tens or numbers[said[at]] in given.values or numbers[said[at]] in given.lent:
            continue
        # "Thirty thousand", "a hundred and thirty" and "thirty five" are other numbers.
        beside = [*said[max(0, at - 2) : at], *said[at + 1 : at + 2]]
        if not any(word in numbers or word.startswith(_LARGE) for word in beside):
            yield Lack("hallucination.number", False, *match.span())


def _scaled(number: Number, given: Given) -> bool:
    """Whether the evidence gives the same amount in another unit of its dimension."""
    return number.unit is not None and any(_same_amount(number, other) for other in given.numbers if other.unit is not None)


def _same_amount(one: Number, other: Number) -> bool:
    if one.unit is None or other.unit is None or one.unit[0] != other.unit[0] or one.unit[0] in ("money", "temperature"):
        return one.unit == other.unit and any(value in other.values for value in one.values)
    if one.values == other.values:
        # The same digits read the same way: 1,200 g is not 1,200 mg for that 1.2 g is.
        return one.unit[1] == other.unit[1]
    amounts = [value * other.unit[1] for value in other.values]
    return any(abs(value * one.unit[1] - amount) <= _TOLERANCE * abs(amount) for value in one.values for amount in amounts)


def _unit(found: Sequence[Number], given: Given) -> Iterable[Lack]:
    for number in found:
        if number.unit is None:
            continue
        alike = [other for value in number.values for other in given.alike.get(value, ())]
        if (
            alike
            and all(other.unit is not None for other in alike)
            and not any(_same_amount(number, other) for other in given.numbers)
        ):
            yield Lack("hallucination.unit", True, number.start, number.end)


def _counted(text: str, found: Sequence[Number], given: Given) -> Iterable[Lack]:
    """A number of a thing that the evidence gives as an amount, or an amount of what it counts: 84 people for 84 percent.

    No hard one: which words count things and which stand before them, no list says.
    """
    for number in found:
        alike = [other for value in number.values for other in given.alike.get(value, ())]
        if not alike or any(value in given.spoken or value in given.lent for value in number.values):
            continue
        said = _behind(text, number)
        there = [_behind(given.whole, other) for other in alike]
        if number.unit is None:
            wrong = _thing(said) and all(other.unit is not None for other in alike) and not _units(said)
            wrong = wrong and not any(said[0] in words for words in there)
        else:
            wrong = all(other.unit is None and _thing(words) for other, words in zip(alike, there, strict=True))
            wrong = wrong and not any(number.unit[0] == unit[0] for words in there for unit in _units(words))
        if wrong:
            yield Lack("hallucination.counted", False, number.start, number.end)


def _behind(text: str, number: Number) -> list[str]:
    """The few words behind a number, in its sentence, folded."""
    near = _SENTENCE_END.split(text[number.end : number.end + 48])[0]
    return [folded(match.group()) for match in _WORD.finditer(near)][:_WORDS_BEHIND]


def _thing(behind: Sequence[str]) -> bool:
    """Whether the first of these words may name what is counted."""
    if not behind or len(behind[0]) < _LEAST_THING or behind[0] in function_words():
        return False
    return behind[0] not in facts.words().months and behind[0] not in facts.words().numbers


def _units(behind: Sequence[str]) -> list[tuple[str, float]]:
    return [facts.words().units[word] for word in behind if word in facts.words().units]


def _date(text: str, given: Given) -> Iterable[Lack]:
    for date in facts.dates(text):
        if not any(_same_date(date, other) for other in given.dates) and not (
            # A month alone, or a day and a month, beside evidence that spreads them over its words.
            date.month in given.months
            and all(part is None or float(part) in given.values for part in (date.year, date.day))
            and not any(other.month == date.month and other.day is not None and date.day is not None for other in given.dates)
        ):
            yield Lack("hallucination.date", True, date.start, date.end)


def _same_date(one: Date, other: Date) -> bool:
    orders = [(one.month, one.day), (one.day, one.month)] if one.swappable else [(one.month, one.day)]
    given = [(other.month, other.day), (other.day, other.month)] if other.swappable else [(other.month, other.day)]
    if one.year is not None and other.year is not None and one.year != other.year:
        return False
    return any(a == c and (b is None or d is None or b == d) for a, b in orders for c, d in given)


def _url(text: str, given: Given) -> Iterable[Lack]:
    for match in facts.urls(text):
        bare = re.sub(r"^(?:https?://)?(?:www\.)?", "", facts.folded_text(match.group())).rstrip("/")
        if bare not in given.addresses:
            yield Lack("hallucination.url", True, *match.span())


def _contact(text: str, given: Given) -> Iterable[Lack]:
    for match in facts.emails(text):
        if facts.folded_text(match.group()) not in given.addresses:
            yield Lack("hallucination.contact", True, *match.span())
    for match in facts.phones(text):
        if "".join(filter(str.isdigit, match.group())) not in given.digits:
            yield Lack("hallucination.contact", True, *match.span())


def _names(text: str, german: bool) -> Iterable[re.Match[str]]:
    before: re.Match[str] | None = None
    for match in _WORD.finditer(text):
        word = match.group()
        proper = (
            word[0].isupper() and len(word) >= _LEAST_NAME and not _OPENING.search(text[max(0, match.start() - 8) : match.start()])
        )
        if german:
            # Every noun is written so: only what follows another capital, as in a first and a last name, or has them inside.
            joined = before is not None and before.group()[0].isupper() and text[before.end() : match.start()] == " "
            proper = proper and (joined or not word[1:].islower())
        if proper:
            yield match
        before = match


def _entity(text: str, given: Given, german: bool) -> Iterable[Lack]:
    for match in _names(text, german):
        word = folded(match.group())
        for part in (word,) if word.isalnum() else _INNER.split(word):
            if len(part) < _LEAST_NAME or part in given.names or part[:_COMMON_STEM] in given.name_prefixes:
                continue
            if len(part) >= 2 * _COMMON_STEM and part in given.compact:
                continue
            if part in facts.words().months or part in facts.words().numbers or part in facts.words().titles:
                continue
            yield Lack("hallucination.entity", False, *match.span())
            break


def _title(text: str, given: Given) -> Iterable[Lack]:
    titles = facts.words().titles
    if titles.isdisjoint(facts.folded_words(text)):
        return
    for match, after in pairwise(_WORD.finditer(text)):
        title, name = folded(match.group()), folded(after.group())
        if title not in titles or not match.group()[0].isupper() or not after.group()[0].isupper() or name not in given.words:
            continue
        # "Dr" and "Doctor" are one title.
        akin = (one for one in titles if one[:1] == title[:1] and one[-1:] == title[-1:])
        if (title, name) not in given.titled and not any((one, name) in given.titled for one in akin):
            yield Lack("hallucination.title", False, match.start(), after.end())


def _negation(text: str, given: Given) -> Iterable[Lack]:
    for start, end in sentences(text):
        said = stems(text[start:end])
        if len(said) < _LEAST_STEMS:
            continue
        shares = [(len(said & there) / len(said), turned) for there, turned in given.sentences]
        best = max((share for share, _ in shares), default=0.0)
        if best < _SHARED_FOR_NEGATION:
            continue
        denied = denies(text[start:end])
        if not any(turned == denied for share, turned in shares if share >= best - 0.1):
            yield Lack("hallucination.negation", False, start, end)


def _quotation(text: str, given: Given) -> Iterable[Lack]:
    for start, end in facts.quotations(text):
        if facts.compact(text[start:end]) not in given.compact:
            yield Lack("hallucination.quotation", True, start, end)


def _citation(text: str, given: Given) -> Iterable[Lack]:
    for match in _CITED.finditer(text) if any(mark in text for mark in "[【(") else ():
        if not 1 <= int(match.group(1) or match.group(2)) <= given.count and match.group() not in given.whole:
            yield Lack("hallucination.citation", True, *match.span())


_WITH_DIGITS: tuple[Callable[[str, Given], Iterable[Lack]], ...] = (_numbers, _citation, _contact)
_ALWAYS: tuple[Callable[[str, Given], Iterable[Lack]], ...] = (_date, _url, _spoken, _title, _negation, _quotation)


def lacks(text: str, given: Given, language: str) -> list[Lack]:
    """What `text` states beyond what is given, the hard ones first; `language` is that of the conversation, a BCP-47 tag."""
    found = [lack for method in _ALWAYS for lack in method(text, given)]
    if _DIGITS.search(text):
        found += [lack for method in _WITH_DIGITS for lack in method(text, given)]
    elif "@" in text:
        found += _contact(text, given)
    found += _entity(text, given, language.partition("-")[0].lower() in _NOUNS_IN_CAPITALS)
    return sorted(found, key=lambda lack: not lack.hard)
