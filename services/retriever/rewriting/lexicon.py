"""What a collection says about words: which there are, how often, and which acronym stands for what. Learned from its text alone.

Of documents that a reader may read, so that no rewriting shows a word of another. Knows no store and no question.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

from services.retriever.languages import detect
from services.retriever.terms import GERMAN_STOP_WORDS, STOP_WORDS, terms, words

MAX_WORDS = 200_000
MAX_WORD_CHARS = 40
MAX_ACRONYMS = 20_000
EVERYWHERE = 0.2
"""Share of the chunks."""
MAX_FORMS = 3
"""Long forms that are kept of one acronym."""

_SHORT = r"[^\W_][\w-]{1,9}"
_IN_BRACKETS = re.compile(rf"\(({_SHORT})[,;)]")
_BEFORE_BRACKETS = re.compile(rf"\b({_SHORT}) \(([^()]{{4,120}})\)")
_STANDS_FOR = re.compile(rf"\b({_SHORT}) (?:stands for|is short for|steht für)\s+(?:the |an? |die |das |der )?([^.;:()]{{4,120}})")
# "Cannabigerol, or CBG, is ..."; "Cannabidiol, usually shortened to CBD, is ..."
_BESIDE = re.compile(
    rf", (?:or|also (?:called|known as)|(?:usually |often |commonly )?(?:shortened to|abbreviated(?: as| to)?)) ({_SHORT}),"
)
_DEFINED = 0.02  # "PC" is a computer in one of many texts that say it
_DEFINED_EVERYWHERE = 0.005  # what a collection is about it seldom explains
_SENTENCE_END = re.compile(r"[.!?:;]\s|\n")
_TOKEN = re.compile(r"\S+")


@dataclass(frozen=True)
class Lexicon:
    """The words of a collection, as one reader may know them."""

    chunks: int = 0
    words: Mapping[str, int] = field(default_factory=dict)
    """Word in small letters -> chunks that hold it."""
    acronyms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Short form in small letters -> long forms in small letters, the most frequent first."""
    defined: Mapping[str, float] = field(default_factory=dict)
    """Short form in small letters -> share of the chunks that say it, in any case, in which its first long form defines it."""
    german_share: float = 0.0
    """Share of the chunks that are German."""

    @cached_property
    def stems(self) -> dict[str, int]:
        """Term -> chunks that hold it, at most; by the rules of each language that the collection holds."""
        counts: Counter[str] = Counter()
        for word, count in self.words.items():
            found = set(terms(word)) if self.german_share < 1 else set()
            if self.german_share > 0:
                found.update(terms(word, "de"))
            for term in found:
                counts[term] += count
        return {term: min(count, self.chunks) for term, count in counts.items()}

    def says_everywhere(self, term: str) -> bool:
        """Whether so many chunks hold the term that looking for it tells nothing."""
        return self.stems.get(term, 0) > EVERYWHERE * self.chunks

    def rarity(self, term: str) -> float:
        """Inverse document frequency of a term, as BM25 has it."""
        found = self.stems.get(term, 0)
        return math.log(1 + (self.chunks - found + 0.5) / (found + 0.5))

    @cached_property
    def by_length(self) -> dict[int, list[str]]:
        """Words by their number of characters, for looking up near ones."""
        found: dict[int, list[str]] = defaultdict(list)
        for word in self.words:
            if word.isalpha():
                found[len(word)].append(word)
        return dict(found)

    @cached_property
    def short_forms(self) -> dict[tuple[str, ...], str]:
        """Terms of a long form -> its short form."""
        return {tuple(terms(form)): short for short, forms in self.acronyms.items() for form in forms}

    @cached_property
    def short_of(self) -> dict[tuple[str, ...], str]:
        """Words of a long form -> its short form."""
        return {tuple(word for word, _, _ in words(form)): short for short, forms in self.acronyms.items() for form in forms[:1]}

    def says_both_everywhere(self, short: str, form: str) -> bool:
        """Whether the collection is about what both name."""
        return all(self.says_everywhere(term) for text in (short, form) for term in terms(text))

    def stands_for(self, short: str) -> str:
        """What an acronym stands for, where the collection nearly always means that by it; else empty."""
        form = next(iter(self.acronyms.get(short, ())), "")
        first, _, _ = next(words(form), ("", 0, 0))
        # What was cut out of a longer name reads as none.
        if not first or first in STOP_WORDS or "(" in form or ")" in form or form.endswith(("'s", "’s")):
            return ""
        least = _DEFINED_EVERYWHERE if self.says_both_everywhere(short, form) else _DEFINED
        return form if self.defined.get(short, 0.0) >= least else ""


def learn(texts: Iterable[tuple[tuple[str, ...], str]]) -> Lexicon:
    """The lexicon of chunks, each with its title path and its text."""
    counts: Counter[str] = Counter()
    forms: dict[str, Counter[str]] = defaultdict(Counter)
    chunks = german = 0
    for path, text in texts:
        chunks += 1
        whole = "\n".join((*path, text))
        is_german = detect(whole) == "de"
        german += is_german
        stop_words = GERMAN_STOP_WORDS if is_german else STOP_WORDS
        counts.update({word for word, _, _ in words(whole) if len(word) <= MAX_WORD_CHARS and word not in stop_words})
        for short, long in definitions(text):
            if len(forms) < MAX_ACRONYMS or short in forms:
                forms[short][long] += 1
    kept = dict(counts.most_common(MAX_WORDS))
    acronyms = {short: tuple(long for long, _ in found.most_common(MAX_FORMS)) for short, found in forms.items()}
    defined = {short: forms[short][found[0]] / max(1, counts[short]) for short, found in acronyms.items()}
    return Lexicon(chunks, kept, acronyms, defined, german / chunks if chunks else 0.0)


def definitions(text: str) -> Iterator[tuple[str, str]]:
    """Acronyms that a text defines: short form, long form, both in small letters.

    After Schwartz and Hearst, "A Simple Algorithm for Identifying Abbreviation Definitions in Biomedical Text" (PSB 2003): the
    letters of the short form stand in the long one in their order, the first at the beginning of a word.
    """
    for match in chain(_IN_BRACKETS.finditer(text), _BESIDE.finditer(text)):
        before = text[max(0, match.start() - 160) : match.start()].rstrip()
        ends = list(_SENTENCE_END.finditer(before))
        candidate = before[ends[-1].end() :] if ends else before
        yield from _defined(match.group(1), candidate)
    for pattern in (_BEFORE_BRACKETS, _STANDS_FOR):
        for match in pattern.finditer(text):
            yield from _after(*match.groups())


def _after(short: str, candidate: str) -> Iterator[tuple[str, str]]:
    """Where the long form comes second, it is the fewest words from the beginning that hold the letters."""
    tokens = list(_TOKEN.finditer(candidate))[: _most_words(short)]
    for token in tokens:
        found = list(_defined(short, candidate[: token.end()]))
        if found and candidate.lower().startswith(found[0][1].split()[0]):
            yield from found
            return


def _most_words(short: str) -> int:
    return min(len(short) + 5, 2 * len(short))


def _defined(short: str, candidate: str) -> Iterator[tuple[str, str]]:
    letters = [letter for letter in short.lower() if letter.isalnum()]
    tokens = list(_TOKEN.finditer(candidate))[-_most_words(short) :]
    if sum(letter.isupper() for letter in short) < 2 or not tokens:
        return
    text = candidate[tokens[0].start() :].lower()
    at = len(text)
    for number, letter in reversed(list(enumerate(letters))):
        at -= 1
        while at >= 0 and (text[at] != letter or (number == 0 and at > 0 and text[at - 1].isalnum())):
            at -= 1
        if at < 0:
            return
    long = " ".join(text[at:].strip(" ,;:()\"'").split())
    if len(long) > len(short) + 2 and short.lower() not in long.split():
        yield short.lower(), long
