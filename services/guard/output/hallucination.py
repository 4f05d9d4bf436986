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
from itertools import chain, pairwise

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
        whole = "\n".join(evidence)
        self.count = len(evidence) if count is None else count
        self.dates = facts.dates(whole)
        self.numbers = facts.numbers(whole)
        self.values = {value for number in self.numbers for value in number.values}
        self.values |= {float(part) for date in self.dates for part in (date.year, date.day, date.month) if part is not None}
        self.folded = [folded(word) for word in _WORD.findall(whole)]
        self.values |= {facts.words().numbers[word] for word in self.folded if word in facts.words().numbers}
        self.months = {facts.words().months[word] for word in self.folded if word in facts.words().months}
        self.months |= {date.month for date in self.dates}
        self.words = {part for word in self.folded for part in (word, *re.split(r"['’-]", word))}
        self.prefixes = {word[:_COMMON_STEM] for word in self.words}
        lent = {folded(word) for text in named for word in _WORD.findall(text)}
        self.names = self.words | lent
        self.name_prefixes = self.prefixes | {word[:_COMMON_STEM] for word in lent}
        self.compact = facts.compact(whole)
        self.lent = {value for text in named for number in facts.numbers(text) for value in number.values}
        self.addresses = facts.folded_text("\n".join(chain(evidence, addresses)))
        self.digits = "".join(filter(str.isdigit, whole))
        self._sentences: list[tuple[set[str], bool]] | None = None
        self.whole = whole
        self._titled: set[tuple[str, str]] | None = None

    def sentences(self) -> list[tuple[set[str], bool]]:
        """The stems of each sentence of the evidence, and whether it denies."""
        if self._sentences is None:
            ranges = sentences(self.whole)
            self._sentences = [(stems(self.whole[start:end]), denies(self.whole[start:end])) for start, end in ranges]
        return self._sentences

    def titled(self) -> set[tuple[str, str]]:
        """Each title with the words right behind it."""
        if self._titled is None:
            self._titled = set()
            for at, word in enumerate(self.folded):
                if word in facts.words().titles:
                    self._titled |= {(word, after) for after in self.folded[at + 1 : at + 4]}
        return self._titled


def denies(text: str) -> bool:
    """Whether a text holds an odd number of words that turn it round."""
    found = facts.words().negations
    return sum(folded(word) in found or folded(word).endswith("n't") for word in _WORD.findall(text)) % 2 == 1


def _numbers(text: str, given: Given) -> Iterable[Lack]:
    found = facts.numbers(text)
    yield from _number(found, given)
    yield from _unit(found, given)
    yield from _counted(text, found, given)


def _number(found: Sequence[Number], given: Given) -> Iterable[Lack]:
    for number in found:
        if not any(value in given.values for value in number.values) and not _scaled(number, given):
            lent = any(value in given.lent for value in number.values)
            yield Lack("hallucination.number", not lent, number.start, number.end)


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
        alike = [other for other in given.numbers if any(value in other.values for value in number.values)]
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
        alike = [other for other in given.numbers if any(value in other.values for value in number.values)]
        spoken = any(facts.words().numbers.get(word) in number.values for word in given.folded)
        lent = any(value in given.lent for value in number.values)
        if not alike or spoken or lent:
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
    for match in facts.URL.finditer(text):
        bare = re.sub(r"^(?:https?://)?(?:www\.)?", "", facts.folded_text(match.group())).rstrip("/")
        if bare not in given.addresses:
            yield Lack("hallucination.url", True, *match.span())


def _contact(text: str, given: Given) -> Iterable[Lack]:
    for match in facts.EMAIL.finditer(text):
        if facts.folded_text(match.group()) not in given.addresses:
            yield Lack("hallucination.contact", True, *match.span())
    for match in facts.PHONE.finditer(text):
        digits = "".join(filter(str.isdigit, match.group()))
        # Dates, ranges and large numbers are no telephone numbers.
        if 7 <= len(digits) <= 15 and match.group()[0] in "+0(" and digits not in given.digits:
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
        for part in re.split(r"['’-]", folded(match.group())):
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
    for match, after in pairwise(_WORD.finditer(text)):
        title, name = folded(match.group()), folded(after.group())
        if title not in titles or not match.group()[0].isupper() or not after.group()[0].isupper() or name not in given.words:
            continue
        # "Dr" and "Doctor" are one title.
        akin = (one for one in titles if one[:1] == title[:1] and one[-1:] == title[-1:])
        if (title, name) not in given.titled() and not any((one, name) in given.titled() for one in akin):
            yield Lack("hallucination.title", False, match.start(), after.end())


def _negation(text: str, given: Given) -> Iterable[Lack]:
    for start, end in sentences(text):
        said = stems(text[start:end])
        if len(said) < _LEAST_STEMS:
            continue
        denied = denies(text[start:end])
        shares = [(len(said & there) / len(said), turned) for there, turned in given.sentences()]
        best = max((share for share, _ in shares), default=0.0)
        if best >= _SHARED_FOR_NEGATION and not any(turned == denied for share, turned in shares if share >= best - 0.1):
            yield Lack("hallucination.negation", False, start, end)


def _quotation(text: str, given: Given) -> Iterable[Lack]:
    for start, end in facts.quotations(text):
        if facts.compact(text[start:end]) not in given.compact:
            yield Lack("hallucination.quotation", True, start, end)


def _citation(text: str, given: Given) -> Iterable[Lack]:
    for match in _CITED.finditer(text):
        if not 1 <= int(match.group(1) or match.group(2)) <= given.count and match.group() not in given.whole:
            yield Lack("hallucination.citation", True, *match.span())


_DIGITS = re.compile(r"\d")
_WITH_DIGITS: tuple[Callable[[str, Given], Iterable[Lack]], ...] = (_numbers, _citation, _contact)
_ALWAYS: tuple[Callable[[str, Given], Iterable[Lack]], ...] = (_date, _url, _title, _negation, _quotation)


def lacks(text: str, given: Given, language: str) -> list[Lack]:
    """What `text` states beyond what is given, the hard ones first; `language` is that of the conversation, a BCP-47 tag."""
    found = [lack for method in _ALWAYS for lack in method(text, given)]
    if _DIGITS.search(text):
        found += [lack for method in _WITH_DIGITS for lack in method(text, given)]
    elif "@" in text:
        found += _contact(text, given)
    found += _entity(text, given, language.partition("-")[0].lower() in _NOUNS_IN_CAPITALS)
    return sorted(found, key=lambda lack: not lack.hard)
