"""The hard layer of the verifier: which numbers, dates and names of a claim its evidence does not give.

What is missing here can never be supported, whatever a network says. So the rules lean towards finding things: a name counts as
given when its last name, its initials, its adjective (Germany, German) or an abbreviation stands there, and the subject of a claim
needs no name where the evidence itself opens with a pronoun. This module does not know the network.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise

from ragmesh_models.lexical import Words, stem, words_of
from ragmesh_models.quantities import Quantity, quantities_of, unmatched
from ragmesh_models.word_table import WordTable

_PROPER = 0.7  # a sentence's first word is a name when it is capitalised elsewhere more often than this
_CERTAINLY_PROPER = 0.9  # and in a text without capitals a word is one from here on
_ROMAN = re.compile(r"[IVXLC]{1,5}$")
_BREAK = re.compile(r"[.!?:;]\s*[\"“”'’)\]]*\s*$|\n\s*\W*$|[\"“(]$")
_JOIN = re.compile(r"^(?:[\s\u00a0]+|[-–.&/]\s?|\.\s)$")
_ANAPHOR = re.compile(
    r"\b(?:he|she|it|they|his|her|its|their|(?:the|this) (?:film|movie|series|show|song|album|book|novel|game|group|band|"
    r"company|team|city|country|state|story|play|episode|single|character|drug|disease|plant|event|war|school|university|actor|actress|singer|author|writer|"
    r"director|duo|program|programme|season|video|record|franchise|organi[sz]ation|club|island|king|queen))\b",
    re.IGNORECASE,
)
_DEFINITE = re.compile(r"\W*(?:The|This|These|Those|Both) [a-z]")
_SUBJECT_WORDS = 6  # "The bridge at Küßnacht" names what it is about, "The play was written by" does not
_LETTERS = re.compile(r"\b(?:[A-Z]\.\s?){2,8}")
_SENTENCE_END = re.compile(r"[.!?]\W*\s(?=[A-Z])")
# Places whose people are not called by a like word, and names of one place.
_SAME = (
    "us usa america american united-states", "uk britain british united-kingdom english england", "france french",
    "spain spanish", "germany german", "netherlands dutch holland", "ireland irish", "wales welsh", "scotland scottish scots",
    "denmark danish danes", "poland polish poles", "turkey turkish turks", "switzerland swiss", "greece greek greeks",
    "sweden swedish swedes", "finland finnish finns", "norway norwegian", "china chinese", "japan japanese",
    "portugal portuguese", "philippines filipino", "thailand thai", "israel israeli", "iraq iraqi",
    "ussr soviet russia russian", "la los-angeles", "nyc new-york", "dc washington", "eu european-union", "un united-nations",
    "wwii ww2 world-war", "bible biblical", "peru peruvian", "czech czechoslovakia", "tv television", "argentina argentine",
    "wimbledon wimbledon", "iceland icelandic",
)  # fmt: skip
_GROUPS: dict[str, int] = {word: n for n, row in enumerate(_SAME) for word in row.split()}
_NICKNAMES = (
    "robert bob rob bobby robbie", "william bill will billy willie", "richard dick rick richie", "james jim jimmy jamie",
    "john jack johnny jon", "michael mike mick mickey", "david dave", "thomas tom tommy", "joseph joe joey",
    "charles charlie chuck", "edward ed eddie ted teddy ned", "daniel dan danny", "anthony tony", "andrew andy drew",
    "christopher chris", "matthew matt", "nicholas nick", "stephen steven steve", "samuel sam sammy", "benjamin ben",
    "elizabeth liz beth betty eliza", "katherine kate kathy catherine cathy", "margaret maggie meg peggy", "rebecca becky",
    "alexander alex", "gregory greg", "kenneth ken", "ronald ron ronnie", "donald don donnie", "timothy tim", "lawrence larry",
    "frederick fred freddie", "philip phil phillip", "patrick pat", "jeffrey jeff", "peter pete", "raymond ray", "susan sue",
    "jennifer jen jenny", "deborah debbie", "arnold arnie", "leonard leo len", "abraham abe", "theodore ted",
    "henry harry hank",
)  # fmt: skip
_CALLED: dict[str, int] = {word: n for n, row in enumerate(_NICKNAMES) for word in row.split()}
_TITLES = frozenset(
    """mr mrs ms dr prof sir lady lord st saint king queen president prime minister mount lake river the tv jr sr""".split()  # noqa: SIM905 - a word list reads better as prose
)
_SHORTENED = frozenset(
    """mr mrs ms dr prof st sr jr lt col gen capt gov sen rep rev hon no vs mt ft""".split()  # noqa: SIM905 - a word list reads better as prose
)
_PARTICLES = frozenset(
    """van von der den de del della la le du da di dos bin ibn al el ter ten y""".split()  # noqa: SIM905 - a word list reads better as prose
)
_ARTICLES = frozenset(("the", "a", "an"))
_DISTINCT = 0.85  # capitalised at least this often, or unknown: the part of a name that tells it from others
_LEAST_PREFIX = 4


def folded(word: str) -> str:
    """Lower case, without accents and possessive."""
    if not word.isascii():
        plain = unicodedata.normalize("NFKD", word)
        word = "".join(c for c in plain if not unicodedata.combining(c)).replace("’", "'")
    word = word.lower()
    if "'" not in word:
        return word
    return word[:-2] if word.endswith("'s") else word.rstrip("'")


@dataclass(frozen=True, slots=True)
class Name:
    """Words of a claim that name one thing: positions in its `Words`."""

    first: int
    end: int


@dataclass(frozen=True)
class Read:
    """A text with its words, quantities and names."""

    text: str
    words: Words
    folded: list[str]
    quantities: list[Quantity]
    names: list[Name]
    numeric: frozenset[int]
    """Positions of words that belong to a quantity."""


def _opens(text: str, words: Words, at: int) -> bool:
    """Whether a sentence, a quotation or a line begins at this word."""
    if at == 0:
        return True
    between = text[words.ends[at - 1] : words.starts[at]]
    # The full stop of an initial or a title ends no sentence.
    if between in (". ", ".") and (len(words.surface[at - 1]) == 1 or words.surface[at - 1].lower() in _SHORTENED):
        return False
    return _BREAK.search(between) is not None


def names_of(text: str, words: Words, table: WordTable, numeric: frozenset[int]) -> list[Name]:
    surface = words.surface
    initial = [word[0].isupper() for word in surface]
    lettered = [n for n, word in enumerate(surface) if word[0].isalpha()]
    content = [n for n in lettered if not words.stops[n]]
    if not lettered:
        return []
    shouted = sum(surface[n].isupper() and len(surface[n]) > 1 for n in content) > 0.6 * len(content) and len(content) > 2
    headline = len(content) >= 5 and all(initial[n] for n in content)
    cased = any(initial) and not shouted and not headline
    names: list[Name] = []
    begin = -1
    for n in range(len(surface) + 1):
        if cased and begin < 0 and n < len(surface) and not initial[n]:
            continue
        is_name = n < len(surface) and n not in numeric and surface[n][0].isalpha()
        if is_name and cased and not initial[n]:
            is_name = False
        elif is_name and cased:
            opening = _opens(text, words, n)
            is_initial = len(surface[n]) == 1 and surface[n] not in "AI" and text[words.ends[n] : words.ends[n] + 1] == "."
            is_name = is_initial or (
                surface[n] != "I" and not (words.stops[n] and (opening or not surface[n].isupper() or len(surface[n]) == 1))
            )
            if is_name and opening:
                follows = (
                    n + 1 < len(surface)
                    and initial[n + 1]
                    and not words.stops[n + 1]
                    and _JOIN.match(text[words.ends[n] : words.starts[n + 1]])
                )
                proper = table.proper(words.stems[n])
                is_name = proper > _PROPER or (bool(follows) and proper > 0.1) or not table.knows(words.stems[n])
        elif is_name:
            is_name = table.proper(words.stems[n]) >= _CERTAINLY_PROPER and not words.stops[n]
        joined = begin >= 0 and n < len(surface) and _JOIN.match(text[words.ends[n - 1] : words.starts[n]])
        if joined and not is_name and surface[n] in _PARTICLES:
            after = next((k for k in range(n, min(n + 3, len(surface))) if surface[k] not in _PARTICLES), n)
            is_name = initial[after]
        if begin >= 0 and not (is_name and joined):
            names.append(Name(begin, n))
            begin = -1
        if is_name and begin < 0:
            begin = n
    return names


def read(text: str, table: WordTable) -> Read:
    words = words_of(text)
    quantities = quantities_of(text)
    inside: set[int] = set()
    at = 0
    for quantity in quantities:
        while at < len(words.starts) and words.ends[at] <= quantity.start:
            at += 1
        n = at
        while n < len(words.starts) and words.starts[n] < quantity.end:
            inside.add(n)
            n += 1
    numeric = frozenset(inside)
    return Read(text, words, [folded(word) for word in words.surface], quantities, names_of(text, words, table, numeric), numeric)


class Given:
    """What the names of a claim are looked up in."""

    def __init__(self, evidence: Read) -> None:
        self._evidence = evidence
        self.words = set(evidence.folded) | _spelled_letters(evidence.text)
        self._stems = {stem(word) for word in evidence.folded}
        self._prefixes = {word[:_LEAST_PREFIX] for word in self.words if len(word) > _LEAST_PREFIX}
        self._groups = {_GROUPS[word] for word in self.words if word in _GROUPS}
        pairs = (f"{a}-{b}" for a, b in pairwise(evidence.folded))
        self._groups |= {_GROUPS[pair] for pair in pairs if pair in _GROUPS}
        self._called = {_CALLED[word] for word in self.words if word in _CALLED}
        capitals = [word[0] for word in evidence.words.surface if word[0].isupper()]
        self._initials = "".join(capitals).lower()
        self._run = " ".join(evidence.folded)
        self.compact = "".join(evidence.folded)
        self.opens_with_anaphor = _opens_with_anaphor(evidence)

    def has(self, word: str) -> bool:
        """Whether the evidence says this word or one that can only mean the same name."""
        if word in self.words or stem(word) in self._stems:
            return True
        if word in _GROUPS and _GROUPS[word] in self._groups:
            return True
        # German and Germany, Somali and Somalia; not Austria and Australia, whose likeness ends before the ending does.
        if len(word) > _LEAST_PREFIX and word[:_LEAST_PREFIX] in self._prefixes and any(_akin(word, other) for other in self.words):
            return True
        return len(word) >= 7 and word in self.compact

    def abbreviates(self, word: str) -> bool:
        return 2 <= len(word) <= 6 and word in self._initials

    def spelled_out(self, initials: str) -> bool:
        return len(initials) >= 2 and initials in self.words

    def called(self, word: str) -> bool:
        return word in _CALLED and _CALLED[word] in self._called

    def has_last_name_alone(self, last: str, first: str) -> bool:
        """Whether the last name stands there with no other first name before it, or with the initial of this one."""
        evidence = self._evidence
        for n, word in enumerate(evidence.folded):
            if word != last and stem(word) != stem(last):
                continue
            if n == 0 or _opens(evidence.text, evidence.words, n):
                return True
            before = evidence.words.surface[n - 1]
            if not before[0].isupper() or evidence.words.stops[n - 1] or folded(before) in _TITLES:
                return True
            if len(before) <= 2 and before[0].lower() == first[0]:
                return True
            between = evidence.text[evidence.words.ends[n - 1] : evidence.words.starts[n]]
            if not _JOIN.match(between):
                return True
        return False


def _opens_with_anaphor(evidence: Read) -> bool:
    """Whether the evidence's first sentence opens with something else than a name and has a pronoun or the like for its subject."""
    if not evidence.words.surface or (evidence.names and evidence.names[0].first == 0):
        return False
    opening = evidence.names[0].first if evidence.names else len(evidence.words.surface)
    if _DEFINITE.match(evidence.text) and opening > _SUBJECT_WORDS:
        return True
    found = _ANAPHOR.search(evidence.text)
    return found is not None and _SENTENCE_END.search(evidence.text, 0, found.start()) is None


_ENDINGS = frozenset(
    (
        "",
        "n",
        "an",
        "ian",
        "ean",
        "ese",
        "i",
        "ish",
        "ic",
        "s",
        "es",
        "y",
        "ia",
        "a",
        "e",
        "al",
        "ist",
        "ism",
        "ists",
        "ans",
        "ns",
        "ians",
        "ines",
        "ine",
        "land",
        "er",
    )
)


def _akin(one: str, other: str) -> bool:
    """Whether two words are one root with two endings of places, peoples and beliefs."""
    common = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        common += 1
    return any(one[cut:] in _ENDINGS and other[cut:] in _ENDINGS for cut in range(common, max(_LEAST_PREFIX, common - 2) - 1, -1))


@dataclass(frozen=True)
class Missing:
    """What of a claim its evidence does not give."""

    quantities: list[Quantity]
    words: list[int]
    """Positions of the claim's words that belong to a missing name."""
    excused: bool
    """Whether the claim's subject is missing, but the evidence opens with a pronoun that can stand for it."""

    @property
    def any(self) -> bool:
        return bool(self.quantities or self.words)


def _missing_words(claim: Read, name: Name, given: Given, table: WordTable) -> list[int]:
    named = [n for n in range(name.first, name.end) if claim.folded[n] not in _TITLES and claim.folded[n] not in _PARTICLES]
    positions = [n for n in named if not claim.words.stops[n]]
    lacking = [n for n in positions if not given.has(claim.folded[n])]
    if not lacking:
        return []
    initials = "".join(claim.folded[n][0] for n in range(name.first, name.end))
    # The letters of U.S. are no words of their own.
    if len(initials) >= 2 and all(len(claim.folded[n]) == 1 for n in range(name.first, name.end)) and given.has(initials):
        return []
    if len(positions) >= 2 and (given.spelled_out(initials) or given.spelled_out("".join(claim.folded[n][0] for n in positions))):
        return []
    last = positions[-1]
    left: list[int] = []
    # "Yale University" is given by "Yale", not by "University".
    told = [not table.knows(claim.words.stems[n]) or table.proper(claim.words.stems[n]) >= _DISTINCT for n in positions]
    identified = any(distinct and n not in lacking for n, distinct in zip(positions, told, strict=True))
    generic = {n for n, distinct in zip(positions, told, strict=True) if not distinct or len(claim.folded[n]) == 1}
    for n in lacking:
        word = claim.words.surface[n]
        if given.abbreviates(claim.folded[n]) and word.isupper():
            continue
        if identified and n in generic:
            continue
        if n != last and last not in lacking and len(positions) >= 2:
            if len(claim.folded[n]) == 1 or given.called(claim.folded[n]):
                continue
            if given.has_last_name_alone(claim.folded[last], claim.folded[positions[0]]):
                continue
        left.append(n)
    return left


def _counts_a_name(claim: Read, quantity: Quantity, evidence: Read) -> bool:
    """The 14th Dalai Lama, where the evidence has the Dalai Lama and counts nothing."""
    if quantity.kind != "ordinal" or any(given.kind == "ordinal" for given in evidence.quantities):
        return False
    return any(0 < claim.words.starts[name.first] - quantity.end <= 1 for name in claim.names)


def _spelled_letters(text: str) -> set[str]:
    """Abbreviations that are written with full stops, as one word each: U.S., U.K."""
    found: set[str] = set()
    for match in _LETTERS.finditer(text):
        letters = "".join(letter for letter in match.group().lower() if letter.isalpha())
        found.update(letters[:count] for count in range(2, len(letters) + 1))
    return found


def _is_subject(claim: Read, name: Name) -> bool:
    return all(word in _ARTICLES for word in claim.folded[: name.first])


def _ends_subject(claim: Read, name: Name, quantity: Quantity) -> bool:
    """Cars 3, or The Thin Red Line (1998 film), as the subject that a pronoun stands for."""
    return re.fullmatch(r"\s?\(?", claim.text[claim.words.ends[name.end - 1] : quantity.start]) is not None


def _said_in_part(claim: Read, name: Name, lacking: list[int]) -> bool:
    """Whether the evidence has another part of this name: then it names someone, and no pronoun stands for the claim's subject."""
    return any(
        n not in lacking and not claim.words.stops[n] and claim.folded[n] not in _TITLES for n in range(name.first, name.end)
    )


def missing(claim: Read, evidence: Read, table: WordTable) -> Missing:
    """What the hard layer finds; `words` and `quantities` empty: it has no objection."""
    given = Given(evidence)
    words: list[int] = []
    excused = False
    for number, name in enumerate(claim.names):
        lacking = _missing_words(claim, name, given, table)
        if (
            lacking
            and number == 0
            and given.opens_with_anaphor
            and _is_subject(claim, name)
            and not _said_in_part(claim, name, lacking)
        ):
            excused = True
        else:
            words += lacking
    subject = claim.names[0] if excused else None
    quantities = [
        one
        for one in unmatched(claim.quantities, evidence.quantities)
        if not _counts_a_name(claim, one, evidence) and not (subject and _ends_subject(claim, subject, one))
    ]
    return Missing(quantities, words, excused)
