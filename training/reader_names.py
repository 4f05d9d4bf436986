"""Other names for the same question: words that name something become words like them, the same one everywhere in a list.

The reader knows the articles it was trained on by heart (an answer of its own articles is found word for word in two thirds, of
others in less than half). Where the names and numbers of a question change each time that it is seen, only what stands around them
can be learnt. The match features stay as they are, because a word is renamed in the question and in all passages alike.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from ragmesh_models.reading_text import PIECES, RESERVED, STATIC
from torch import Tensor

from training.reader_data import Group, Window

OFTEN = 5_000  # stem rows before this one are renamed only where they are names or numbers
ALIKE = 24  # words to choose from
RENAMED = 0.7  # of the words that can be
_LEAST_SEEN = 3
_CAPITAL, _DIGIT, _OPENS = STATIC.index("capital"), STATIC.index("digit"), STATIC.index("opens_sentence")
_BLOCK = 2_048


class Names:
    """Which stem rows name something, and the rows most like each of them."""

    def __init__(self, vectors: Tensor, groups: Iterable[Group], often: int = OFTEN) -> None:
        """vectors: (rows, d) the reader's stem rows; groups: where names, numbers and their pieces are learnt from."""
        count = len(vectors)
        seen, inside, capital, digit = (np.zeros(count) for _ in range(4))
        self._pieces = np.zeros((count, PIECES), dtype=np.int16)
        for group in groups:
            for window in group.windows[:2]:
                opens = window.features[:, _OPENS] > 0
                seen += np.bincount(window.rows, minlength=count)
                inside += np.bincount(window.rows[~opens], minlength=count)
                capital += np.bincount(window.rows, weights=(window.features[:, _CAPITAL] > 0) & ~opens, minlength=count)
                digit += np.bincount(window.rows, weights=window.features[:, _DIGIT] > 0, minlength=count)
                self._pieces[window.rows] = window.pieces
        number = digit > 0.5 * seen
        name = (capital > 0.6 * inside) & (inside >= _LEAST_SEEN)
        can = (seen >= _LEAST_SEEN) & (number | name | (np.arange(count) >= RESERVED + often))
        can[:RESERVED] = False
        self._like = np.zeros((count, ALIKE), dtype=np.int16)
        self._can = np.zeros(count, dtype=bool)
        # A number becomes a number, a name a name.
        for kind in (can & number, can & name & ~number, can & ~name & ~number):
            rows = np.flatnonzero(kind)
            if len(rows) > ALIKE:
                self._like[rows] = rows[_nearest(vectors[torch.from_numpy(rows)])]
                self._can[rows] = True

    def rename(self, windows: list[Window], rng: random.Random) -> list[Window]:
        """The windows of one question with most of their names changed; the windows that are given stay as they are."""
        present = np.unique(np.concatenate([window.rows for window in windows]))
        taken = set(present.tolist())
        table: NDArray[np.int16] = np.arange(len(self._can), dtype=np.int16)
        for row in present[self._can[present]].tolist():
            other = int(self._like[row, rng.randrange(ALIKE)])
            if rng.random() < RENAMED and other not in taken:
                table[row] = other
                taken.add(other)
        found = []
        for window in windows:
            rows = table[window.rows]
            changed = (rows != window.rows)[:, None]
            found.append(replace(window, rows=rows, pieces=np.where(changed, self._pieces[rows], window.pieces)))
        return found


def _nearest(vectors: Tensor) -> NDArray[np.int64]:
    """(n, d) -> (n, ALIKE): the rows of largest cosine, itself left out."""
    unit = torch.nn.functional.normalize(vectors.float(), dim=1)
    found = []
    for at in range(0, len(unit), _BLOCK):
        likeness = unit[at : at + _BLOCK] @ unit.T
        likeness[torch.arange(len(likeness)), torch.arange(at, at + len(likeness))] = -2
        found.append(likeness.topk(ALIKE, dim=1).indices)
    return np.asarray(torch.cat(found).numpy())
