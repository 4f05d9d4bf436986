"""Other names of what a question names, as the collection defines or composes them: acronyms and German compounds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise

from ragmesh.evidence.v1.search_pb2 import RewriteKind

from services.retriever.rewriting.common_words import common_words
from services.retriever.rewriting.lexicon import Lexicon
from services.retriever.rewriting.plan import Change
from services.retriever.rewriting.spelling import holding, splits
from services.retriever.terms import STOP_WORDS, terms, words

ACRONYM_WEIGHT = 0.4
PART_WEIGHT = 0.7
"""Of the parts of a compound that the collection does not know as one word."""
COMPOUND_WEIGHT = 0.7
MOST = 8
_LONGEST_FORM = 8
_MOST_COMPOUNDS = 2
_MOST_NAMES = 4
_PLAINLY = 0.2
"""In so many of the chunks that say it an acronym is defined that is known without its capitals: "the red sox" follow no act."""


def acronyms(text: str, lexicon: Lexicon, language: str) -> Iterator[Change]:
    """Long forms of the acronyms in `text`, and acronyms of the long forms.

    What the whole collection says is not searched for (weight 0) unless the question says nothing else; the models read it.
    """
    said = dict.fromkeys(word for word, _, _ in words(text))
    asked = terms(text, language)
    # "What is CBD?": there is nothing else to look for, and the title of what explains it may say it otherwise.
    is_bare = all(lexicon.says_everywhere(term) for term in asked)
    for word in _acronyms_in(text, lexicon, language):
        for form in lexicon.acronyms.get(word, ())[:1]:
            missing = set(terms(form, language)) - set(asked)
            if missing:
                tells = is_bare or any(not lexicon.says_everywhere(term) for term in missing)
                yield Change(RewriteKind.REWRITE_KIND_ACRONYM, word.upper(), form, ACRONYM_WEIGHT if tells else 0.0)
    for first in range(len(asked)):
        for last in range(first + 1, min(len(asked), first + _LONGEST_FORM) + 1):
            short = lexicon.short_forms.get(tuple(asked[first:last]))
            if short and short not in said:
                tells = is_bare or not any(lexicon.says_everywhere(term) for term in terms(short, language))
                form = lexicon.acronyms[short][0]
                yield Change(RewriteKind.REWRITE_KIND_ACRONYM, form, short.upper(), ACRONYM_WEIGHT if tells else 0.0)


def _acronyms_in(text: str, lexicon: Lexicon, language: str) -> dict[str, int]:
    """Words of `text` that may be acronyms, each with its end: "as" and "us" in capitals alone, and so what else is a plain word,
    unless the whole collection says it."""
    plain = _plain(language)
    found: dict[str, int] = {}
    for word, start, end in words(text):
        if text[start:end].isupper() or word not in plain or (word not in STOP_WORDS and lexicon.says_everywhere(word)):
            found.setdefault(word, end)
    return found


@cache
def _plain(language: str) -> frozenset[str]:
    return frozenset(common_words(language) | STOP_WORDS)


def with_other_names(text: str, lexicon: Lexicon, language: str) -> str:
    """`text` with the collection's other names in brackets: "What is CBD (cannabidiol)?". So the models know that both are one.

    What the whole collection says too is of use here: the models count it like any rare word.
    """
    said = {word for word, _, _ in words(text)}
    added: dict[int, str] = {}
    for word, end in _acronyms_in(text, lexicon, language).items():
        form = lexicon.stands_for(word)
        is_plain = lexicon.defined.get(word, 0.0) >= _PLAINLY or lexicon.says_both_everywhere(word, form)
        if form and (is_plain or text[:end].endswith(word.upper())) and not said.issuperset(own for own, _, _ in words(form)):
            added[end] = form
    spoken = [word for word, _, _ in words(text)]
    ends = [end for _, _, end in words(text)]
    for first in range(len(spoken)):
        for last in range(first + 1, min(len(spoken), first + _LONGEST_FORM) + 1):
            short = lexicon.short_of.get(tuple(spoken[first:last]))
            if short and short not in said and lexicon.stands_for(short):
                added.setdefault(ends[last - 1], short.upper())
    for end in sorted(added, reverse=True)[-_MOST_NAMES:]:
        text = f"{text[:end]} ({added[end]}){text[end:]}"
    return text


def compounds(text: str, lexicon: Lexicon) -> Iterator[Change]:
    """Parts of German compounds that the collection does not hold as one word, and compounds of words that stand side by side."""
    said = [word for word, _, _ in words(text)]
    for word in said:
        if word.isalpha() and not any(term in lexicon.stems for term in terms(word, "de")):
            for parts in splits(word, lexicon):
                yield Change(RewriteKind.REWRITE_KIND_COMPOUND, word, " ".join(parts), PART_WEIGHT)
                break
            for known in holding(word, lexicon)[:_MOST_COMPOUNDS]:
                yield Change(RewriteKind.REWRITE_KIND_COMPOUND, word, known, COMPOUND_WEIGHT)
    for one, other in pairwise(said):
        for joint in (one + other, f"{one}s{other}"):
            if len(one) > 2 and len(other) > 2 and any(term in lexicon.stems for term in terms(joint, "de")):
                yield Change(RewriteKind.REWRITE_KIND_COMPOUND, f"{one} {other}", joint, COMPOUND_WEIGHT)
                break
