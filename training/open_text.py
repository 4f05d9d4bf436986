"""The open text as titled documents with paragraphs, for the tokenizer, the background frequencies and the embedder.

A document's title is its key for splits. This module does not know questions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from training.sources import DataFolder

_BLANK = re.compile(r"\n\s*\n")


@dataclass(frozen=True)
class Document:
    source: str
    title: str
    sections: list[tuple[str, str]]
    """(heading or empty, paragraph)"""
    glossary: list[tuple[str, str]]
    exercises: list[tuple[str, str]]


def _readable(title: str) -> str:
    """A path such as `content/posts/2016-04-26-the-post-office.md` as words."""
    name = title.rsplit("/", 1)[-1]
    if "." in name and " " not in name:
        name = name.rsplit(".", 1)[0]
    name = re.sub(r"^\d{4}-\d{2}-\d{2}-|^\d+[-_]|^m\d+$", "", name)
    return re.sub(r"[-_]+", " ", name).strip()


def _document(source: str, row: dict[str, Any]) -> Document:
    if "paras" in row:
        return Document(
            source,
            row["title"],
            [(heading, text) for heading, text in row["paras"]],
            [(term, meaning) for term, meaning in row["glossary"]],
            [(question, answer) for question, answer in row["exercises"]],
        )
    sections: list[tuple[str, str]] = []
    heading = ""
    for block in _BLANK.split(row["text"]):
        block = block.strip()
        if len(block) < 80 and not block.endswith((".", "!", "?", ":")):
            heading = block.lstrip("#= ").strip() or heading
        elif len(block) >= 40:
            sections.append((heading, " ".join(block.split())))
    return Document(source, _readable(row["title"]), sections, [], [])


def documents(data: DataFolder) -> Iterator[Document]:
    """Every document of the open text, in the manifest's order."""
    for name in data.under("qa/text/"):
        if name.endswith(".jsonl"):
            source = name.rsplit("/", 1)[-1].removesuffix(".jsonl")
            for row in data.rows(name):
                yield _document(source, row)
