"""What a model is adapted on: an owner's documents as sections, synthetic questions about them, and a split by whole documents.

The split is by the hash of a document's path, so that a later run over more documents keeps it. This module does not know models.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from training.adapt_documents import OwnDocument
from training.reading_sets import Reading
from training.synthetic import searches, triples

TEST_PERCENT = 25
TUNE_PERCENT = 15
MIN_DOCUMENTS = 4
MIN_TO_TUNE = 12  # documents; with fewer a tuning part would say nothing
MAX_QUESTIONS = {"train": 12_000, "tune": 600, "test": 1_500}
STYLES = 2  # how many ways of writing a training question may come in
SEARCH_SHARE = 0.5  # of the sentences that are also searched for by a few of their words
SEED = 7


class MaterialError(ValueError):
    """The documents are too few, or nothing can be asked about them; in words for their owner."""


@dataclass(frozen=True)
class Section:
    """What stands under one heading."""

    key: str
    """`path#n`"""
    document: str
    title: str
    """Title and heading, as the index holds them."""
    text: str


@dataclass(frozen=True)
class Question:
    """A question and the section that answers it; the ranges of `reading` are in the section's text."""

    reading: Reading
    section: str
    document: str

    @property
    def answer(self) -> str:
        start, end = self.reading.answers[0]
        return self.reading.passage[start:end]


@dataclass(frozen=True)
class Material:
    """Everything one adaptation works on."""

    sections: list[Section]
    part_of: dict[str, str]
    """Document -> train, tune or test."""
    questions: dict[str, list[Question]]
    """By part."""

    def of(self, part: str) -> list[Section]:
        return [section for section in self.sections if self.part_of[section.document] == part]


def split(paths: Iterable[str]) -> dict[str, str]:
    """Document -> part. At least one document is for the test; documents in the order of their hashes, so that shares are kept."""
    ordered = sorted(paths, key=lambda path: hashlib.sha256(f"ragmesh-adapt-1 {path}".encode()).digest())
    test = max(1, round(len(ordered) * TEST_PERCENT / 100))
    tune = round(len(ordered) * TUNE_PERCENT / 100) if len(ordered) >= MIN_TO_TUNE else 0
    return {path: "test" if n < test else "tune" if n < test + tune else "train" for n, path in enumerate(ordered)}


def gather(documents: list[OwnDocument]) -> Material:
    """Sections and questions.

    Raises:
        MaterialError: too few documents, or no question about one part of them.
    """
    if len(documents) < MIN_DOCUMENTS:
        raise MaterialError(f"{len(documents)} documents are too few to learn from and to check it: {MIN_DOCUMENTS} are the least")
    parts = split(document.path for document in documents)
    sections: list[Section] = []
    questions: dict[str, list[Question]] = {"train": [], "tune": [], "test": []}
    for document in documents:
        own = [
            Section(f"{document.path}#{n}", document.path, f"{document.title} > {heading}" if heading else document.title, text)
            for n, (heading, text) in enumerate(document.sections)
        ]
        sections += own
        part = parts[document.path]
        questions[part] += _questions(document, own, copies=STYLES if part == "train" else 1)
    for part, found in questions.items():
        random.Random(SEED).shuffle(found)
        del found[MAX_QUESTIONS[part] :]
    if not questions["train"] or not questions["test"]:
        raise MaterialError("the documents hold too few plain sentences to ask about")
    return Material(sections, parts, questions)


def _questions(document: OwnDocument, sections: list[Section], copies: int) -> list[Question]:
    found: list[Question] = []
    asked = [*triples([document], seed=SEED, copies=copies), *searches([document], seed=SEED, share=SEARCH_SHARE)]
    for triple in asked:
        for section in sections:
            at = section.text.find(triple.passage)
            if at >= 0:
                answers = tuple((start + at, end + at) for start, end in triple.answers)
                found.append(
                    Question(
                        Reading("own", section.title, triple.question, section.text, answers, triple.kind != "search"),
                        section.key,
                        document.path,
                    )
                )
                break
    return found


def goldens(files: Iterable[Path], material: Material) -> list[Question]:
    """Questions that people wrote, from files like goldens/*.jsonl, about documents of the test part.

    Raises:
        MaterialError: a file is no such file.
    """
    found: list[Question] = []
    for file in files:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                row = json.loads(line) if line.strip() else {}
                document, quote, question = (str(row.get(key) or "") for key in ("document", "quote", "question"))
            except (ValueError, AttributeError):
                raise MaterialError(f"{file.name}, line {number}, is no golden question") from None
            if not quote or material.part_of.get(document) != "test":
                continue
            for section in material.sections:
                at = section.text.find(quote) if section.document == document else -1
                if at >= 0:
                    reading = Reading("golden", section.title, question, section.text, ((at, at + len(quote)),), False)
                    found.append(Question(reading, section.key, document))
                    break
    return found
