"""Vectors and terms to fill stores with, and questions to ask them. As our own import would make them.

Some thousand real texts are cut, analysed and embedded by the embedder that is served. From these come as many more as are wanted:
a mixture of two passages, with noise of the size by which neighbours differ, and half of the terms of each. Vectors drawn at random
would all lie equally far from each other, which no collection's do. Questions are sentences of the real passages, shortened.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ragmesh_models.embedding import Embedder
from ragmesh_models.tokens import TextTokenizer

from bench.corpus import documents, sentences
from services.retriever import chunking
from services.retriever.chunking import Chunk, ChunkSizes
from services.retriever.index import DIMENSIONS
from services.retriever.indexing_text import embedded_text, index_terms
from services.retriever.languages import detect
from services.retriever.parsing import parse
from services.retriever.terms import terms
from training.sources import DataFolder

MODELS = Path(__file__).resolve().parents[1] / "deploy" / "triton" / "model_repository"
QUESTIONS = 400
REAL_CHUNKS = 6_000
_REAL_FILES = ("qa/text/opentelemetry_docs.jsonl", "qa/text/owasp_cheatsheets.jsonl", "qa/text/openstax_biology1e.jsonl")
_SIZES = ChunkSizes(220, 320)
_BATCH = 32
_NOISE = 0.25
"""Length of the noise beside a vector of length one: a passage and its nearest neighbour among real ones have a cosine near .9."""
_QUESTION_WORDS = 9


@dataclass(frozen=True)
class StoreData:
    """What stores are filled with. Row i of both is chunk i + 1."""

    vectors: NDArray[np.float32]
    """(n, DIMENSIONS)."""
    terms: Sequence[str]
    """Terms of each chunk, with spaces between."""
    question_vectors: NDArray[np.float32]
    """(questions, DIMENSIONS)."""
    question_terms: Sequence[str]

    def first(self, count: int) -> StoreData:
        """The same with the first chunks alone."""
        return StoreData(self.vectors[:count], self.terms[:count], self.question_vectors, self.question_terms)

    def write(self, folder: Path) -> None:
        """To files that `read` reads, in this process or another."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "vectors.npy", self.vectors)
        np.save(folder / "question_vectors.npy", self.question_vectors)
        (folder / "terms.txt").write_text("\n".join(self.terms), encoding="utf-8")
        (folder / "question_terms.txt").write_text("\n".join(self.question_terms), encoding="utf-8")


def made(chunks: int, data: Path | None, seed: int = 0) -> tuple[StoreData, int]:
    """Chunks to fill stores with, and how many of them are real.

    Args:
        data: the folder of the training data, whose texts are used; None: made documents (`bench.corpus`).
    """
    texts = _documents(data) if data is not None else documents(REAL_CHUNKS * 2)
    tokenizer = TextTokenizer(MODELS / "tokenizer" / "1" / "tokenizer.json")
    real = _cut(texts, tokenizer)[: min(REAL_CHUNKS, chunks)]
    embedder = Embedder(MODELS / "embedder" / "1" / "embedder.onnx", tokenizer)
    vectors = _embedded(embedder, [embedded_text(chunk.title_path, chunk.text) for chunk in real], "passage")
    words = [" ".join(index_terms("", chunk.title_path, chunk.text)) for chunk in real]
    asked = _questions(real, seed)
    question_vectors = _embedded(embedder, asked, "query")
    question_terms = [" ".join(terms(question, detect(question))) for question in asked]
    more_vectors, more_words = _mixed(vectors, words, chunks - len(real), seed)
    filled = StoreData(np.concatenate([vectors, more_vectors]), [*words, *more_words], question_vectors, question_terms)
    return filled, len(real)


def _documents(data: Path) -> Iterator[str]:
    folder = DataFolder(data)
    lines = [folder.read(name, use="evaluate").decode().split("\n") for name in _REAL_FILES]
    texts = [str(json.loads(line).get("text", "")) for line in (line for rows in lines for line in rows) if line.strip()]
    random.Random(0).shuffle(texts)
    yield from (text for text in texts if len(text) > 400)


def _cut(texts: Iterator[str], tokenizer: TextTokenizer) -> list[Chunk]:
    found: list[Chunk] = []
    for text in texts:
        parsed = parse(text.encode(), "text/markdown")
        planned = chunking.sections(parsed, parsed.title or "Document")
        offsets = [tokenizer.encode(parsed.slice(start, end)).offsets for start, end in chunking.spans(planned)]
        found += chunking.pack(parsed, planned, offsets, _SIZES)
        if len(found) >= REAL_CHUNKS:
            break
    return found


def _embedded(embedder: Embedder, texts: Sequence[str], kind: str) -> NDArray[np.float32]:
    parts = [texts[at : at + _BATCH] for at in range(0, len(texts), _BATCH)]
    return np.concatenate([embedder(list(part), [kind] * len(part)) for part in parts])


def _questions(real: Sequence[Chunk], seed: int) -> list[str]:
    draw = random.Random(seed)
    found: list[str] = []
    for chunk in draw.sample(list(real), len(real)):
        longest = max(chunk.text.replace("\n", " ").split(". "), key=len).split()
        if len(longest) >= _QUESTION_WORDS:
            at = draw.randrange(len(longest) - _QUESTION_WORDS + 1)
            found.append(" ".join(longest[at : at + _QUESTION_WORDS]))
        if len(found) == QUESTIONS:
            break
    return found or sentences()[:QUESTIONS]


def _mixed(vectors: NDArray[np.float32], words: Sequence[str], count: int, seed: int) -> tuple[NDArray[np.float32], list[str]]:
    if count <= 0:
        return np.zeros((0, DIMENSIONS), np.float32), []
    draw = np.random.default_rng(seed)
    one, other = draw.integers(0, len(vectors), count), draw.integers(0, len(vectors), count)
    share = draw.uniform(0.55, 0.95, (count, 1)).astype(np.float32)
    noise = draw.standard_normal((count, DIMENSIONS), dtype=np.float32) * np.float32(_NOISE / DIMENSIONS**0.5)
    mixed = share * vectors[one] + (1 - share) * vectors[other] + noise
    mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
    halves = [word.split() for word in words]
    made_words = [
        " ".join(halves[a][: len(halves[a]) // 2] + halves[b][len(halves[b]) // 2 :]) for a, b in zip(one, other, strict=True)
    ]
    return np.ascontiguousarray(mixed), made_words
