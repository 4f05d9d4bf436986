"""The shared tokenizer: byte-level BPE over case-folded text, with UTF-8 byte offsets into the original text.

Every byte has a token, so that any text comes back exactly. This module does not know any model that reads the ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from ragmesh_models.casing import MARKERS, fold, unfold

# In the vocabulary only: text that spells one of these is cut into bytes and never becomes a control token.
CONTROL_TOKENS = tuple(
    f"\u27e6{name}\u27e7" for name in ("pad", "bos", "eos", "sep", "query", "passage", "user", "assistant", "r0", "r1", "r2", "r3")
)


@dataclass(frozen=True)
class Encoded:
    """The ids of one text and, for each, its half-open byte range in the UTF-8 form of that text."""

    ids: NDArray[np.int32]  # (T,)
    offsets: NDArray[np.int32]  # (T, 2)


def byte_positions(text: str) -> NDArray[np.int32]:
    """Byte offset of each character of `text`, and of its end: (len(text) + 1,)."""
    if text.isascii():
        return np.arange(len(text) + 1, dtype=np.int32)
    points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    widths = 1 + (points > 0x7F).astype(np.int32) + (points > 0x7FF) + (points > 0xFFFF)
    positions = np.zeros(len(text) + 1, dtype=np.int32)
    np.cumsum(widths, out=positions[1:])
    return positions


class TextTokenizer:
    """Reads a `tokenizer.json`; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        # Models that ignore case drop the marker tokens.
        ids = (self._tokenizer.encode(marker, add_special_tokens=False).ids for marker in MARKERS[:2])
        self.marker_ids = frozenset(found[0] for found in ids if len(found) == 1)

    @property
    def vocabulary_size(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def encode(self, text: str) -> Encoded:
        folded, starts, ends = fold(text)
        encoding = self._tokenizer.encode(folded, add_special_tokens=False)
        spans = np.asarray(encoding.offsets, dtype=np.int32).reshape(-1, 2)
        positions = byte_positions(text)
        offsets = np.empty_like(spans)
        if len(spans):
            offsets[:, 0] = positions[np.asarray(starts, dtype=np.int32)[spans[:, 0]]]
            # A token ends where its last character does; a case marker ends where it begins.
            offsets[:, 1] = positions[np.asarray(ends, dtype=np.int32)[spans[:, 1] - 1]]
        ids = np.asarray(encoding.ids, dtype=np.int32)
        return Encoded(ids, offsets)

    def uncased_ids(self, text: str) -> list[int]:
        """Ids without case markers, for models that ignore case."""
        ids = self._tokenizer.encode(fold(text)[0], add_special_tokens=False).ids
        return [token for token in ids if token not in self.marker_ids]

    def decode(self, ids: list[int]) -> str:
        return unfold(self._tokenizer.decode(ids, skip_special_tokens=False))
