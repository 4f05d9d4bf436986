"""Honest texts that examples are drawn from and around. Knows where they come from, not what is made of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from training import injection_sources as sources
from training.open_text import Document, documents
from training.sources import DataFolder

HELD_OUT_PASSAGES = 20
"""Per cent of the documents, and of the questions, that are held out."""


@dataclass
class Material:
    """Lists of them, each in the order that it is drawn from."""

    questions: list[str]
    passages: list[str]
    words: list[str]
    titles: list[str]
    exercises: list[str]
    headings: list[str]

    @classmethod
    def of(cls, data: DataFolder, *, held_out: bool, texts: Sequence[Document] | None = None) -> Material:
        """Of the texts that are, or are not, held out: a passage by its document, a question by itself.

        Args:
            texts: the documents of `data`, where they have been read.
        """
        read = list(documents(data)) if texts is None else texts
        questions: list[str] = []
        for found in sources.asked(data).values():
            kept = [text for text in found if (sources.bucket(text) < HELD_OUT_PASSAGES) is held_out]
            random.Random(1).shuffle(kept)
            questions += kept[:6_000]
        by_source: dict[str, list[str]] = {}
        for source, title, text in sources.passages(data, read):
            if (sources.bucket(f"{source} {title}") < HELD_OUT_PASSAGES) is held_out:
                by_source.setdefault(source, []).append(text)
        passages: list[str] = []
        for found in by_source.values():
            random.Random(2).shuffle(found)
            passages += found[:1_500]
        random.Random(3).shuffle(passages)
        words = sorted({word for text in passages[:3_000] for word in text.split() if word.isalpha() and len(word) > 2})
        titles: list[str] = []
        exercises: list[str] = []
        headings: dict[str, None] = {}
        for document in read:
            if (sources.bucket(f"{document.source} {document.title}") < HELD_OUT_PASSAGES) is held_out:
                if 3 < len(document.title) < 60:
                    titles.append(document.title)
                headings |= {text: None for text, _ in document.sections if 3 < len(text) < 80}
                exercises += [text[: sources.MAX_CHARACTERS] for text, _ in document.exercises]
        random.Random(4).shuffle(exercises)
        kept_headings = list(headings)
        random.Random(5).shuffle(kept_headings)
        return cls(questions, passages, words, titles, exercises[:20_000], kept_headings[:20_000])
