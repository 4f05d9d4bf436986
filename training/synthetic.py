"""Makes (question, passage, answer) triples from plain text by rules: what a reader is trained on where nobody asked anything.

No pre-trained parser: sentences are read by closed classes and endings (synthetic_grammar.py), asked by rules (synthetic_rules.py,
synthetic_patterns.py), filtered here, and for a share rewritten the way people type (synthetic_noise.py). Deterministic for a seed.
What comes out for Wikipedia's text is written by synthetic_sources.py.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from ragmesh_models import sentences
from ragmesh_models.sentences import SentenceKind

from training import synthetic_noise, synthetic_patterns
from training.synthetic_clause import Asked, Clause
from training.synthetic_filter import good
from training.synthetic_grammar import next_sentence, read_clause, second_clause
from training.synthetic_phrases import Topic, is_person, subject_text
from training.synthetic_rules import Questions
from training.synthetic_tags import spell, tokenise

MAX_PASSAGE_CHARS = 1_400
MAX_SENTENCE_CHARS = 320
MAX_PER_SENTENCE = 4
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Text:
    """A document to ask about."""

    source: str
    title: str
    sections: list[tuple[str, str]]
    """(heading or empty, paragraph)"""
    glossary: list[tuple[str, str]] = field(default_factory=list)


class Document(Protocol):
    """What `triples` reads; `Text` and training.open_text.Document are two of the kind."""

    @property
    def source(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def sections(self) -> list[tuple[str, str]]: ...
    @property
    def glossary(self) -> list[tuple[str, str]]: ...


@dataclass(frozen=True)
class Triple:
    """A question about a passage, and where the answer stands (characters of the passage)."""

    question: str
    passage: str
    answers: tuple[tuple[int, int], ...]
    title: str
    kind: str
    """Which rule asked, and the style it was written in when not plain: `when`, `why/typed`."""
    source: str


class Reader(Protocol):
    """What round-trip filtering asks."""

    def answers(self, question: str, passage: str, title: str) -> tuple[str, float]:
        """The best short answer and its probability; empty where there is none."""
        ...


def triples(documents: Iterable[Document], seed: int = 7, limit: int | None = None, copies: int = 1) -> Iterator[Triple]:
    """Triples in the documents' order; `limit` bounds their number.

    `copies` says how often a question may come, each time in a style drawn anew (a repetition is left out); 0 leaves every question
    as the rules wrote it, once.
    """
    rng = random.Random(seed)
    made = 0
    for document in documents:
        for triple in _of_document(document, rng):
            for row in dict.fromkeys(_restyled(triple, rng) for _ in range(copies)) if copies else (triple,):
                yield row
                made += 1
                if limit is not None and made >= limit:
                    return


def searches(documents: Iterable[Document], seed: int = 7, share: float = 1.0) -> Iterator[Triple]:
    """A few words of a sentence as people search by them; the answer is the sentence. For a `share` of the sentences.

    They need no grammar, so that every sentence can be asked for, and they lack many of its words, as real questions do.
    """
    rng = random.Random(seed)
    for document in documents:
        for _, text in document.sections:
            for cut in sentences.split(text):
                if cut.kind is SentenceKind.PROSE and rng.random() < share:
                    query = synthetic_noise.key_words(text[cut.start : cut.end], rng)
                    if query:
                        passage, at = _around(text, cut)
                        yield Triple(query, passage, ((at, at + cut.end - cut.start),), document.title, "search", document.source)


def _around(text: str, cut: sentences.Sentence) -> tuple[str, int]:
    """The paragraph that a sentence stands in, or where that is long the stretch around it."""
    if len(text) <= MAX_PASSAGE_CHARS:
        return text, cut.start
    start = max(0, min(cut.start - MAX_PASSAGE_CHARS // 2, len(text) - MAX_PASSAGE_CHARS))
    start = cut.start if start == 0 else text.rfind(" ", 0, start + 1) + 1
    return text[start : max(cut.end, start + MAX_PASSAGE_CHARS)], cut.start - start


def keep(rows: Iterable[Triple], reader: Reader, least: float = 0.0, overlap: float = 0.5) -> Iterator[Triple]:
    """Round trip: only triples whose answer a reader finds again: word F1 at least `overlap`, probability at least `least`."""
    for row in rows:
        found, probability = reader.answers(row.question, row.passage, row.title)
        if probability >= least and max(word_f1(found, row.passage[a:b]) for a, b in row.answers) >= overlap:
            yield row


def word_f1(left: str, right: str) -> float:
    """F1 of the distinct words of two texts."""
    a, b = set(_WORD.findall(left.lower())), set(_WORD.findall(right.lower()))
    both = len(a & b)
    return 2 * both / (len(a) + len(b)) if both else 0.0


def _restyled(triple: Triple, rng: random.Random) -> Triple:
    style = rng.choices(synthetic_noise.STYLES, synthetic_noise.WEIGHTS)[0]
    question = synthetic_noise.restyle(triple.question, style, rng)
    if style == "plain" or question == triple.question:
        return triple
    return Triple(question, triple.passage, triple.answers, triple.title, f"{triple.kind}/{style}", triple.source)


def _of_document(document: Document, rng: random.Random) -> Iterator[Triple]:
    opening = document.sections[0][1] if document.sections else ""
    topic_key = opening[:400]
    for heading, text in document.sections:
        if len(text) < 40 or (len(text.split()) < 8 and not heading):
            continue
        yield from _of_paragraph(document, topic_key, heading, text, rng)
    for term, meaning in document.glossary:
        if 2 <= len(term) <= 60 and len(meaning) >= 20:
            passage = f"{term}: {meaning}"
            at = len(term) + 2
            yield Triple(
                synthetic_patterns.of_glossary(term), passage, ((at, len(passage)),), document.title, "glossary", document.source
            )


def _of_paragraph(document: Document, opening: str, heading: str, text: str, rng: random.Random) -> Iterator[Triple]:
    cuts = [cut for cut in sentences.split(text) if cut.kind in (SentenceKind.PROSE, SentenceKind.BULLET)]
    if not cuts:
        return
    topic = synthetic_patterns.topic_of(document.title, opening, text)
    asked: list[Asked] = []
    if heading:
        asked += synthetic_patterns.of_heading(heading, document.title, (cuts[0].start, cuts[0].end))
    for number, cut in enumerate(cuts):
        if cut.end - cut.start > MAX_SENTENCE_CHARS:
            continue
        found, topic = _of_sentence(text, cut.start, cut.end, topic, number == 0)
        asked += _chosen([one for one in found if good(one, text)], rng)
    asked_twice: dict[str, int] = {}
    for one in asked:
        asked_twice[one.question.lower()] = asked_twice.get(one.question.lower(), 0) + 1
    for one in asked:
        if asked_twice[one.question.lower()] == 1:
            start, end = _window(text, cuts, one, rng)
            answer = one.start - start, one.end - start
            yield Triple(one.question, text[start:end], (answer,), document.title, one.kind, document.source)


def _of_sentence(text: str, start: int, end: int, topic: Topic, first: bool) -> tuple[list[Asked], Topic]:
    sentence = text[start:end]
    found = [
        Asked(a.question, a.start + start, a.end + start, a.kind) for a in synthetic_patterns.of_sentence(sentence, topic, first)
    ]
    clause = read_clause(tokenise(sentence, start))
    while clause is not None:
        found += Questions(clause, topic).all()
        if not topic.name:
            topic = _topic_from(clause, topic)
        clause = second_clause(clause) or next_sentence(clause)
    return found, topic


def _topic_from(clause: Clause, topic: Topic) -> Topic:
    """Without a title the first sentence's subject, when it is a name, is what `he` and `it` mean in the next."""
    tokens = clause.tokens[slice(*clause.subject)]
    if all(token.tag == "NP" for token in tokens) and subject_text(clause, topic):
        return Topic(spell(tokens), is_person(tokens, topic), "", topic.lowered, topic.people)
    return topic


def _chosen(asked: list[Asked], rng: random.Random) -> list[Asked]:
    """A few of a sentence's questions, rarer kinds first, no answer twice by the same kind."""
    unique = list({(one.question, one.start): one for one in asked}.values())
    if len(unique) > 1 and rng.random() < 0.35:
        unique = [one for one in unique if one.kind != "subject"] or unique
    if len(unique) <= MAX_PER_SENTENCE:
        return unique
    rng.shuffle(unique)
    return sorted(unique, key=lambda one: one.kind in ("subject", "object", "what prep"))[:MAX_PER_SENTENCE]


def _window(text: str, cuts: list[sentences.Sentence], one: Asked, rng: random.Random) -> tuple[int, int]:
    """The whole paragraph, or where that is long as many sentences around the answer as fit, not always centred."""
    if len(text) <= MAX_PASSAGE_CHARS:
        return 0, len(text)
    here = max(index for index, cut in enumerate(cuts) if cut.start <= one.start)
    left = right = here
    while True:
        ways = []
        if left > 0 and cuts[right].end - cuts[left - 1].start <= MAX_PASSAGE_CHARS:
            ways.append("left")
        if right + 1 < len(cuts) and cuts[right + 1].end - cuts[left].start <= MAX_PASSAGE_CHARS:
            ways.append("right")
        if not ways:
            return cuts[left].start, cuts[right].end
        if rng.choice(ways) == "left":
            left -= 1
        else:
            right += 1
