"""Background of the verifier's vocabulary: rarity of a stem, how often it is a name, a vector near those of words used alike.

The vectors are the positive pointwise mutual information of a stem with the frequent stems around it, cut down by a singular value
decomposition: P(word, context) over a window of three to either side (Levy and Goldberg, "Neural Word Embedding as Implicit Matrix
Factorization", 2014). Trained on open text only; this module does not know claims.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from ragmesh_models.lexical import MAX_IDF, words_of
from ragmesh_models.word_table import WordTable

from training import reading_sets
from training.open_text import documents
from training.progress import Run
from training.sources import DataFolder
from training.splits import Grams, clean, shares, trainable

VOCABULARY = 20_000
CONTEXTS = 4_000
DIMENSIONS = 48
WINDOW = 3
CHARS_PER_SOURCE = 6_000_000  # so that the largest file does not choose what words mean
_SMOOTHING = 0.75  # of context counts, which keeps rare contexts from dominating (the same paper, section 3)
_EXPONENT = 0.5  # of the singular values


def paragraphs(data: DataFolder, known: Grams, evaluated: frozenset[str]) -> Iterator[str]:
    """Open text, Wikipedia paragraphs, the question sets' passages; without held-out articles and what evaluation text shares."""
    taken: Counter[str] = Counter()
    for document in documents(data):
        if not trainable(document.title, evaluated):
            continue
        for _, text in document.sections:
            if taken[document.source] < CHARS_PER_SOURCE and not shares(text, known):
                taken[document.source] += len(text)
                yield text
    passages = {row.passage for row in [*reading_sets.squad(data), *reading_sets.sel_qa(data)] if trainable(row.title, evaluated)}
    passages |= {text for title, text in reading_sets.wiki_paragraphs(data) if trainable(title, evaluated)}
    passages |= {sentence for page, _, sentence in reading_sets.qamr(data) if trainable(page, evaluated)}
    yield from clean(sorted(passages), str, known)


_OPENS = re.compile(r"(?:^|[.!?:\"“]\s+|\n)[\W_]*(?=[^\W_])")


@dataclass(frozen=True)
class _Counted:
    stems: list[str]  # by frequency
    idf: NDArray[np.float32]
    proper: NDArray[np.float32]
    text: NDArray[np.int32]  # all texts as one row of stem numbers, -1 between texts and for other stems


def _read(texts: Iterable[str], run: Run) -> _Counted:
    numbers: dict[str, int] = {}
    documents_with: Counter[int] = Counter()
    inside: Counter[int] = Counter()
    capitals: Counter[int] = Counter()
    pieces: list[NDArray[np.int32]] = []
    total = 0
    for text in texts:
        words = words_of(text)
        found = np.fromiter((numbers.setdefault(stem, len(numbers)) for stem in words.stems), dtype=np.int32)
        opening = {match.end() for match in _OPENS.finditer(text)}
        middle = [
            (number, word)
            for number, word, at in zip(found.tolist(), words.surface, words.starts, strict=True)
            if at not in opening
        ]
        inside.update(number for number, _ in middle)
        capitals.update(number for number, word in middle if word[0].isupper())
        documents_with.update(set(found.tolist()))
        pieces += [found, np.full(WINDOW, -1, dtype=np.int32)]
        total += 1
        run.say(total, total + 1, f"{len(numbers)} stems")
    names = list(numbers)
    order = [n for n, _ in documents_with.most_common() if len(names[n]) < 40][:VOCABULARY]
    place = np.full(len(names) + 1, -1, dtype=np.int32)  # the last entry is that of -1
    place[order] = np.arange(len(order))
    idf = np.array([min(MAX_IDF, np.log(total / documents_with[n])) for n in order], dtype=np.float32)
    proper = np.array([capitals[n] / (inside[n] + 2) for n in order], dtype=np.float32)
    return _Counted([names[n] for n in order], idf, proper, place[np.concatenate(pieces)])


def _vectors(text: NDArray[np.int32], size: int) -> NDArray[np.float32]:
    contexts = min(CONTEXTS, size)
    counts = np.zeros(size * contexts, dtype=np.float32)
    for distance in range(1, WINDOW + 1):
        for word, context in ((text[:-distance], text[distance:]), (text[distance:], text[:-distance])):
            inside = (word >= 0) & (context >= 0) & (context < contexts)
            cells = word[inside].astype(np.int64) * contexts + context[inside]
            counts += np.bincount(cells, minlength=len(counts)).astype(np.float32) / distance
    table = counts.reshape(size, contexts)
    of_word = table.sum(1, keepdims=True) + 1e-6
    of_context = table.sum(0, keepdims=True) ** _SMOOTHING
    table *= of_context.sum()
    table /= of_word
    table /= of_context + 1e-6
    np.log(np.maximum(table, 1.0, out=table), out=table)
    left, strengths, _ = torch.svd_lowrank(torch.from_numpy(table), q=DIMENSIONS + 16, niter=4)
    found = (left * strengths**_EXPONENT)[:, :DIMENSIONS].numpy()
    # What all words have in common says nothing about any of them.
    found -= found.mean(0)
    return np.asarray(found / (np.linalg.norm(found, axis=1, keepdims=True) + 1e-9), dtype=np.float32)


def build(data: DataFolder, known: Grams, evaluated: frozenset[str], more: Iterable[str], run: Run) -> WordTable:
    """`more` are further texts, which the caller has cleaned."""
    counted = _read(itertools.chain(paragraphs(data, known, evaluated), more), run)
    return WordTable(counted.stems, counted.idf, counted.proper, _vectors(counted.text, len(counted.stems)))


def kept(data: DataFolder, known: Grams, evaluated: frozenset[str], more: Sequence[str], run: Run, target: Path) -> None:
    """Writes the table to `target`; one that was made from the same texts is taken from the run's folder."""
    digest = hashlib.sha256(Path(__file__).read_bytes() + known.values.tobytes())
    for name in sorted(data.under("qa/text/")):
        digest.update(data.source(name).sha256.encode())
    for text in more:
        digest.update(text.encode() + b"\0")
    held = run.folder / f"words-{digest.hexdigest()[:16]}.bin"
    if not held.is_file():
        build(data, known, evaluated, more, run).dump(held)
    else:
        # The card names every file that a model was made from, also where the result lay in the cache.
        for name in (*sorted(data.under("qa/text/")), "qa/reading/2wikimultihop_corpus.json"):
            data.read(name)
    target.write_bytes(held.read_bytes())
