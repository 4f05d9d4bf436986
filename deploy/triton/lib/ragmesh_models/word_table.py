"""What the verifier knows of a word before it reads: rarity, how often it is a name, a vector near those of words used alike.

One file holds the table, eight bits a value. This module does not know claims or evidence.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragmesh_models.lexical import MAX_IDF


class WordTable:
    """Looks words up by their stem."""

    def __init__(
        self, stems: list[str], idf: NDArray[np.float32], proper: NDArray[np.float32], vectors: NDArray[np.float32]
    ) -> None:
        """idf, proper (V,); vectors (V, D), rows of length one."""
        self.stems = stems
        self.idf = np.append(idf, idf.max() if len(idf) else MAX_IDF).astype(np.float32)  # the last entry is that of unknown stems
        self._proper = np.append(proper, 0.0).astype(np.float32)
        self.vectors = np.vstack([vectors, np.zeros((1, vectors.shape[1]))]).astype(np.float32)
        self._places = {name: n for n, name in enumerate(stems)}

    def __len__(self) -> int:
        return len(self.stems)

    def place(self, stemmed: str) -> int:
        """Row of a stem; the row after the last for one that is not known."""
        return self._places.get(stemmed, len(self.stems))

    def knows(self, stemmed: str) -> bool:
        return stemmed in self._places

    def proper(self, stemmed: str) -> float:
        """Share of its occurrences inside sentences that are capitalised; 0 for an unknown stem."""
        return float(self._proper[self.place(stemmed)])

    def dump(self, path: Path) -> None:
        def bytes_of(values: NDArray[np.float32], low: float, high: float) -> bytes:
            scaled = np.clip(np.rint((values - low) / (high - low) * 255), 0, 255)
            return bytes(scaled.astype(np.uint8).tobytes())

        widest = float(np.abs(self.vectors).max())
        head = "\n".join([f"{self.vectors.shape[1]} {widest!r}", *self.stems]).encode()
        parts = (
            bytes_of(self.idf[:-1], 0, MAX_IDF),
            bytes_of(self._proper[:-1], 0, 1),
            bytes_of(self.vectors[:-1], -widest, widest),
        )
        path.write_bytes(zlib.compress(head + b"\0" + b"".join(parts), 9))

    @classmethod
    def load(cls, path: Path) -> WordTable:
        head, _, body = zlib.decompress(path.read_bytes()).partition(b"\0")
        first, *stems = head.decode().split("\n")
        dimensions, widest = first.split(" ")
        values = np.frombuffer(body, dtype=np.uint8).astype(np.float32) / 255
        size = len(stems)
        vectors = (values[2 * size :].reshape(size, int(dimensions)) * 2 - 1) * float(widest)
        return cls(stems, values[:size] * MAX_IDF, values[size : 2 * size], vectors)
