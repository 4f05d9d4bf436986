"""Other names of what a question names, as the collection defines or composes them: acronyms and German compounds."""

from __future__ import annotations

from collections.abc import Iterator
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


def acronyms(text: str, lexicon: Lexicon, language: str) -> Iterator[Change]:
    """Long forms of the acronyms in `text`, and acronyms of the long forms."""
    said = dict.fromkeys(word for word, _, _ in words(text))
    # "as" and "us" are acronyms in capitals alone.
    plain = common_words(language) | STOP_WORDS
    meant = dict.fromkeys(word for word, start, end in words(text) if text[start:end].isupper() or word not in plain)
    for word in meant:
        for form in lexicon.acronyms.get(word, ())[:1]:
            missing = set(terms(form, language)) - set(terms(text, language))
            if any(not lexicon.says_everywhere(term) for term in missing):
                yield Change(RewriteKind.REWRITE_KIND_ACRONYM, word.upper(), form, ACRONYM_WEIGHT)
    asked = terms(text, language)
    for first in range(len(asked)):
        for last in range(first + 1, min(len(asked), first + _LONGEST_FORM) + 1):
            short = lexicon.short_forms.get(tuple(asked[first:last]))
            if short and short not in said and not any(lexicon.says_everywhere(term) for term in terms(short, language)):
                yield Change(RewriteKind.REWRITE_KIND_ACRONYM, lexicon.acronyms[short][0], short.upper(), ACRONYM_WEIGHT)


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
