"""BM25 over short passages: the yardstick of the embedder and the source of hard negatives. Nothing here is served."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray
from ragmesh_models.lexical import words_of

K1 = 0.9
B = 0.4


class Bm25:
    """An in-memory index; scores every passage for a query."""

    def __init__(self, passages: list[str]) -> None:
        postings: dict[str, list[tuple[int, int]]] = {}
        lengths = np.zeros(len(passages), dtype=np.float32)
        for index, passage in enumerate(passages):
            words = words_of(passage)
            lengths[index] = len(words.stems)
            for stemmed, count in Counter(words.stems).items():
                postings.setdefault(stemmed, []).append((index, count))
        norm = K1 * (1 - B + B * lengths / max(1.0, float(lengths.mean())))
        self.count = len(passages)
        self._postings: dict[str, tuple[NDArray[np.int64], NDArray[np.float32]]] = {}
        for stemmed, found in postings.items():
            where = np.array([i for i, _ in found])
            tf = np.array([n for _, n in found], dtype=np.float32)
            idf = np.log(1 + (len(passages) - len(found) + 0.5) / (len(found) + 0.5))
            self._postings[stemmed] = where, (idf * tf * (K1 + 1) / (tf + norm[where])).astype(np.float32)

    def scores(self, query: str) -> NDArray[np.float32]:
        total = np.zeros(self.count, dtype=np.float32)
        words = words_of(query)
        for stemmed, stop in zip(words.stems, words.stops, strict=True):
            if not stop and stemmed in self._postings:
                where, values = self._postings[stemmed]
                total[where] += values
        return total

    def top(self, query: str, k: int) -> list[int]:
        scores = self.scores(query)
        best = np.argpartition(-scores, min(k, self.count - 1))[:k]
        return [int(i) for i in best[np.argsort(-scores[best], kind="stable")] if scores[i] > 0]
