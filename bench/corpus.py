"""Documents to measure with: Markdown made of the sample corpus' sentences with words of the language in them, as many as wanted.

No two documents say nearly the same, words come as unevenly as in real text, and sizes vary as those of a handbook's pages. What
they say means nothing: they measure speed and room, never how good an answer is.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator
from pathlib import Path

from cli.documents.sample import SAMPLE_CORPUS
from services.retriever.rewriting.common_words import common_words

BYTES_PER_CHUNK = 590
"""About what of a made document becomes one chunk of the default size."""
_CHANGED = 0.35
"""Share of the words that are drawn anew."""
_POOL = 1 << 18
_RANK_SHIFT = 20.0
"""Of Zipf's law: rank r is drawn with weight 1 / (r + shift)."""
_FOLDER_DOCUMENTS = 500
_WORD = re.compile(r"\b[a-z]{4,}\b")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


def sentences() -> list[str]:
    """Sentences of the sample corpus, in the order of its files."""
    found: list[str] = []
    for path in sorted(SAMPLE_CORPUS.rglob("*.md")):
        body = path.read_text(encoding="utf-8").rpartition("\n---\n")[2]
        for block in body.split("\n\n"):
            if block.strip() and not block.lstrip().startswith(("#", "|", "-", "*", "```")):
                found += [one for one in _SENTENCE.split(" ".join(block.split())) if 30 <= len(one) <= 400]
    return found


class DocumentMaker:
    """Makes documents, one after the other, the same for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._draw = random.Random(seed)
        self._sentences = sentences()
        words = sorted(word for word in common_words("en") if len(word) > 3 and word.isascii())
        random.Random(0).shuffle(words)
        weights = [1.0 / (rank + _RANK_SHIFT) for rank in range(len(words))]
        self._words = itertools.cycle(self._draw.choices(words, weights, k=_POOL))
        self._number = 0

    def document(self) -> str:
        """The next one: one to twenty-four sections under a title."""
        self._number += 1
        # The cycle of drawn words begins elsewhere in each document.
        for _ in range(self._draw.randrange(1_000)):
            next(self._words)
        parts = [f"# {self._sentence()[:60].strip()} {self._number}"]
        for _ in range(min(24, 1 + int(self._draw.expovariate(1 / 7.0)))):
            parts.append(f"## {self._sentence()[:50].strip()}")
            for _ in range(self._draw.randint(1, 3)):
                parts.append(" ".join(self._sentence() for _ in range(self._draw.randint(2, 6))))
            if self._draw.random() < 0.2:
                parts.append("\n".join(f"- {self._sentence()}" for _ in range(self._draw.randint(2, 5))))
        return "\n\n".join(parts) + "\n"

    def _sentence(self) -> str:
        return _WORD.sub(self._other, self._draw.choice(self._sentences))

    def _other(self, match: re.Match[str]) -> str:
        return next(self._words) if self._draw.random() < _CHANGED else match.group()


def documents(chunks: int, seed: int = 0) -> Iterator[str]:
    """Documents that become about `chunks` chunks together."""
    maker = DocumentMaker(seed)
    left = chunks * BYTES_PER_CHUNK
    while left > 0:
        made = maker.document()
        left -= len(made)
        yield made


def write_documents(folder: Path, chunks: int, seed: int = 0) -> int:
    """Writes them below `folder`; returns how many documents they are."""
    count = 0
    for count, text in enumerate(documents(chunks, seed), 1):
        place = folder / f"{(count - 1) // _FOLDER_DOCUMENTS:04}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{count:07}.md").write_text(text, encoding="utf-8")
    return count
