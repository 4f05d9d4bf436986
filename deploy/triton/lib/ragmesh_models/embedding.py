"""Texts to the embedder's input rows: which table rows a text switches on, and how strongly. And the graph that sums them.

A row is a token of the shared tokenizer or a bucket of a hashed word stem. This module does not know how the table was trained.
"""

from __future__ import annotations

import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragmesh_models.lexical import words_of
from ragmesh_models.runtime import open_graph
from ragmesh_models.tokens import TextTokenizer

DIMENSIONS = 256
TOKEN_ROWS = 12_288
STEM_ROWS = 28_672
ROWS = TOKEN_ROWS + STEM_ROWS
KINDS = ("query", "passage")
MAX_TEXT_CHARS = 4_096  # of one text; a chunk is far below it, what follows is not read
MAX_ROWS_PER_TEXT = 1_024


class TextRows:
    """The table rows of a text, each once, weighted by 1 + log of how often it occurs."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer

    def __call__(self, text: str) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        text = text[:MAX_TEXT_CHARS]
        counts: Counter[int] = Counter(self._tokenizer.uncased_ids(text))
        words = words_of(text)
        for stemmed, stop in zip(words.stems, words.stops, strict=True):
            if not stop:
                counts[TOKEN_ROWS + zlib.crc32(stemmed.encode()) % STEM_ROWS] += 1
        rows = np.fromiter(counts.keys(), dtype=np.int32, count=len(counts))[:MAX_ROWS_PER_TEXT]
        often = np.fromiter(counts.values(), dtype=np.float32, count=len(counts))[:MAX_ROWS_PER_TEXT]
        return rows, (1 + np.log(often)).astype(np.float32)


class Embedder:
    """Embeds batches with the exported graph."""

    def __init__(self, weights: Path, tokenizer: TextTokenizer, threads: int = 1) -> None:
        self.graph = open_graph(weights, threads)
        self._rows = TextRows(tokenizer)

    def __call__(self, texts: list[str], kinds: list[str]) -> NDArray[np.float32]:
        """(n, 256), each row of length one; a text without a single row gives the zero vector."""
        found = [self._rows(text) for text in texts]
        width = max(1, max(len(rows) for rows, _ in found))
        ids = np.zeros((len(texts), width), dtype=np.int32)
        weights = np.zeros((len(texts), width), dtype=np.float32)
        for index, (rows, often) in enumerate(found):
            ids[index, : len(rows)] = rows
            weights[index, : len(rows)] = often
        kind = np.array([KINDS.index(name) for name in kinds], dtype=np.int32)
        result = self.graph.run({"ids": ids, "weights": weights, "kind": kind})
        return np.asarray(result["embedding"], dtype=np.float32)
