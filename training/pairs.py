"""(query, passage) pairs for the embedder, grouped so that a batch of one group is a batch of hard negatives.

Held-out articles never become pairs, nor do rows that share 13 words with evaluation text. This module does not know the model.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from ragmesh_models import sentences

from training import ROOT, reading_sets
from training.open_text import Document, documents
from training.sources import DataFolder
from training.splits import clean, evaluation_grams, evaluation_titles, trainable

SEED = 20260721


@dataclass(frozen=True)
class Pair:
    query: str
    passage: str
    group: str
    """Pairs of one group are about neighbouring things."""


def _titled(title: str, heading: str) -> str:
    return f"{title}: {heading}" if heading and heading != title else title


def _document_pairs(document: Document, rng: random.Random, limit: int) -> list[Pair]:
    """Title and heading to paragraph; a sentence to its paragraph without it; term to meaning; exercise to solution."""
    pairs: list[Pair] = []
    group = document.source
    paragraphs = [(heading, text) for heading, text in document.sections if 120 <= len(text) <= 3_000]
    rng.shuffle(paragraphs)
    for number, (heading, text) in enumerate(paragraphs[:limit]):
        title = _titled(document.title, heading)
        if number % 3 == 0 and len(title) >= 8:
            pairs.append(Pair(title, text, group))
            continue
        cuts = sentences.split(text)
        if len(cuts) >= 3:
            chosen = rng.choice(cuts)
            rest = text[: chosen.start] + text[chosen.end :]
            # Sometimes the sentence stays: exact words must count too.
            pairs.append(Pair(text[chosen.start : chosen.end][:300], rest if rng.random() < 0.8 else text, group))
    for term, meaning in document.glossary:
        if len(meaning) > 20:
            asked = term if rng.random() < 0.5 else f"What is {term}?"
            pairs.append(Pair(asked, meaning if rng.random() < 0.5 else f"{term}: {meaning}", f"{group}-glossary"))
    for question, answer in document.exercises:
        if len(answer) > 60 and 20 < len(question) < 400:
            pairs.append(Pair(question, answer, f"{group}-exercises"))
    return pairs


def _question_pairs(data: DataFolder, rng: random.Random) -> list[Pair]:
    pairs: list[Pair] = []
    evaluated = evaluation_titles(data)
    for row in reading_sets.squad(data) + reading_sets.sel_qa(data) + reading_sets.fairy_tales(data):
        # An unanswerable question is still about its paragraph.
        if trainable(row.title, evaluated):
            passage = row.passage if rng.random() < 0.5 else f"{row.title}\n{row.passage}"
            pairs.append(Pair(row.question, passage, row.source))
    for row in reading_sets.med_quad(data):
        if trainable(row.title, evaluated):
            text = row.passage[:1_200]
            passage = text if rng.random() < 0.4 else f"{row.title}\n{text}"
            pairs.append(Pair(row.question, passage, "medquad"))
    for question, sentence in reading_sets.sentence_qa(data):
        pairs.append(Pair(question, sentence, "sentqa"))
    paraphrased = [row for row in reading_sets.qamr(data) if trainable(row[0], evaluated)]
    for _, question, sentence in rng.sample(paraphrased, min(9_000, len(paraphrased))):
        pairs.append(Pair(question, sentence, "qamr"))
    for title, question, passage in reading_sets.bool_q(data):
        if trainable(title, evaluated):
            pairs.append(Pair(question, passage if rng.random() < 0.5 else f"{title}\n{passage}", "boolq"))
    for domain, question, answer in reading_sets.long_answers(data):
        if trainable(question, evaluated):
            pairs.append(Pair(question, answer[:1_500], domain))
    for question, context in reading_sets.pub_med_qa(data):
        if trainable(question, evaluated):
            pairs.append(Pair(question, context[:1_500], "pubmedqa"))
    for title, text in reading_sets.wiki_paragraphs(data):
        if trainable(title, evaluated):
            pairs.append(Pair(title, text, "wiki"))
    return pairs


def training_pairs(data: DataFolder, per_document: int) -> list[Pair]:
    """All pairs, in a fixed random order."""
    rng = random.Random(SEED)
    pairs = _question_pairs(data, rng)
    evaluated = evaluation_titles(data)
    for document in documents(data):
        if trainable(document.title, evaluated):
            pairs.extend(_document_pairs(document, rng, per_document))
    kept = clean(pairs, lambda pair: (pair.query, pair.passage), evaluation_grams(data, ROOT))
    print(f"[embedder] {len(kept)} pairs, {len(pairs) - len(kept)} dropped for sharing text with evaluation data", flush=True)
    rng.shuffle(kept)
    return kept
