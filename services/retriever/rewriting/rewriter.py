"""Makes the plan of a search out of a question: completed, spelt, taken apart, expanded; each step named, each to be left out.

Knows no index: what a collection says about words comes in as its lexicon.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ragmesh.evidence.v1.search_pb2 import RewriteKind

from services.retriever.languages import analysed
from services.retriever.query import Query, make_query
from services.retriever.rewriting import expansion, spelling
from services.retriever.rewriting.follow_up import Completed, complete, complete_from_subject, leans
from services.retriever.rewriting.lexicon import Lexicon
from services.retriever.rewriting.parts import parts_of
from services.retriever.rewriting.plan import Asked, Change, Kind, Plan
from services.retriever.rewriting.question_type import question_type
from services.retriever.rewriting.topic import LIGHT
from services.retriever.terms import terms, words

_MAX_NAMED_BYTES = 8 * 1024  # what the models take of a question
_LEAST_SHARE = 0.01
"""Share of a collection in a language, from which on its words are looked for in that language too."""


class Rewriter:
    """Rewrites questions.

    Args:
        without: ways of rewriting that are left out of every search.
    """

    def __init__(self, without: Collection[Kind] = ()) -> None:
        self._without = frozenset(without)

    def plan(self, asked: Asked, lexicon: Lexicon) -> Plan:
        """What is searched for."""
        without = self._without | asked.without
        changes: list[Change] = []
        language = analysed(asked.language, asked.question)
        question = asked.question
        if RewriteKind.REWRITE_KIND_SPELLING not in without:
            found = spelling.corrections(question, lexicon, language)
            changes += [Change(RewriteKind.REWRITE_KIND_SPELLING, one.before, one.after) for one in found]
            question = spelling.apply(question, found)
        completed = self._completed(question, asked, without, language, changes)
        text = completed.text if completed is not None else question
        if asked.reformulate and RewriteKind.REWRITE_KIND_REFORMULATION not in without:
            return self._reformulated(text, language, lexicon, changes)
        whole = None
        parts = [] if completed is not None or RewriteKind.REWRITE_KIND_PARTS in without else parts_of(question, language)
        if parts:
            changes.append(Change(RewriteKind.REWRITE_KIND_PARTS, question, " | ".join(parts)))
            queries = [self._query(part, "", lexicon, without, language, changes) for part in parts]
            whole = self._query(question, "", lexicon, without, language, [])
        else:
            before = completed.before if completed is not None else ""
            if completed is not None and completed.whole:
                question, before = completed.text, "" if completed.before == asked.subject else before
            queries = [self._query(question, before, lexicon, without, language, changes)]
        return Plan(
            text=self._named(text, lexicon, without, language),
            queries=tuple(queries),
            parts=tuple(parts),
            whole=whole,
            changes=tuple(dict.fromkeys(changes)),
            language=language,
            type=question_type(text),
            leans=completed is None and not terms(question, language),
        )

    def _reformulated(self, text: str, language: str, lexicon: Lexicon, changes: list[Change]) -> Plan:
        """The question by its telling words alone, all of them with every other name that the collection has for them."""
        known = [
            text[start:end]
            for word, start, end in words(text)
            if word not in LIGHT and any(term in lexicon.stems for term in terms(word, language))
        ]
        keywords = " ".join(dict.fromkeys(known)) or text
        changes.append(Change(RewriteKind.REWRITE_KIND_REFORMULATION, text, keywords))
        # Other words find other passages; whether these answer is asked of the question as it was, its unknown words included.
        named = self._named(text, lexicon, (), language)
        query = replace(self._query(keywords, "", lexicon, (), language, changes), asked=text, named=named)
        return Plan(named, (query,), (), tuple(dict.fromkeys(changes)), language, question_type(text))

    def _completed(
        self, question: str, asked: Asked, without: Collection[Kind], language: str, changes: list[Change]
    ) -> Completed | None:
        if RewriteKind.REWRITE_KIND_HISTORY not in without:
            found = complete(question, asked.history, language)
            if found is not None:
                changes.append(Change(RewriteKind.REWRITE_KIND_HISTORY, question, found.text))
                return found
        if RewriteKind.REWRITE_KIND_SUBJECT not in without and leans(question, language):
            found = complete_from_subject(question, asked.subject, language)
            if found is not None:
                changes.append(Change(RewriteKind.REWRITE_KIND_SUBJECT, question, found.text))
                return found
        return None

    def _query(
        self, question: str, before: str, lexicon: Lexicon, without: Collection[Kind], language: str, changes: list[Change]
    ) -> Query:
        added: list[Change] = []
        if RewriteKind.REWRITE_KIND_ACRONYM not in without:
            added += expansion.acronyms(question, lexicon, language)
        if RewriteKind.REWRITE_KIND_COMPOUND not in without and language != "en" and lexicon.german_share > 0:
            added += expansion.compounds(question, lexicon)
        added = added[: expansion.MOST]
        changes += added
        query = make_query(
            question,
            before=before,
            added={change.after: change.weight for change in added if change.weight},
            language=language,
            also=_others(language, lexicon),
        )
        named = self._named(query.text, lexicon, without, language)
        return replace(query, named=named if named != query.text else "")

    def _named(self, text: str, lexicon: Lexicon, without: Collection[Kind], language: str) -> str:
        """`text` with other names in brackets, unless that is not wanted."""
        if RewriteKind.REWRITE_KIND_ACRONYM in without:
            return text
        named = expansion.with_other_names(text, lexicon, language)
        return named if len(named.encode()) <= _MAX_NAMED_BYTES else text


def _others(language: str, lexicon: Lexicon) -> list[str]:
    """Languages of the collection by whose rules the question's words have to be looked for too: German questions are full of
    English words, and of a few words alone the language is not told."""
    if language == "en":
        return []
    shares = {"de": lexicon.german_share, "en": 1 - lexicon.german_share if lexicon.chunks else 0.0}
    read_as = "de" if language == "de" else "en"
    return [name for name, share in shares.items() if name != read_as and share >= _LEAST_SHARE]
