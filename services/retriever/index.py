"""What the retriever asks of an index: a narrow protocol, and the file that says what an index was built from.

An index may be lost at any time: the store of truth rebuilds it. It knows ids, collections, versions, access labels, terms and
vectors, no texts. It finds for a reader what the labels of now, as far as it has heard of them, let that reader see; the store of
truth, which is joined to every hit, decides.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import orjson
from numpy.typing import NDArray

from services.retriever.records import IndexedChunk
from services.retriever.terms import TERMS_VERSION

DIMENSIONS = 256
INDEX_FORMAT = 2
"""Moves when an index of this release cannot be read by the one before, or the other way round."""

# BM25, as Anserini sets it for passages.
BM25_K1 = 0.9
BM25_B = 0.4
MEAN_TERMS = 60.0
"""Terms of a chunk, on average: 46 in the sample corpus with its short sections, about 100 where chunks are as long as they may be.
BM25 needs it to tell long chunks from short ones; a fixed one keeps the weights of a chunk the same whatever else is imported."""

_BATCH = 256
WORN_FACTOR = 4
WORN_CHUNKS = 10_000

WeightedTerms = Sequence[tuple[str, float]]
Labels = Sequence[str] | None
"""Access labels of who asks; None: whatever is there, for comparing indexes."""

EVERYBODY = "*"
"""The mark of a chunk whose document has no labels."""


def document_marks(labels: Sequence[str]) -> list[str]:
    """What stands in an index for the labels of a document; whoever has one of these marks may read it."""
    return [f"={label}" for label in labels] or [EVERYBODY]


def reader_marks(labels: Sequence[str]) -> list[str]:
    """The marks that a reader with these labels has."""
    return [EVERYBODY, *(f"={label}" for label in labels)]


class IndexUnusable(RuntimeError):
    """The index cannot be read or written; the store of truth has to rebuild it."""


class IndexAway(IndexUnusable):
    """The server of the index does not answer, or not as it should: it is as it was once it is back, but for what it missed."""


class IndexLate(IndexUnusable):
    """The server of the index did not answer in the time that the caller had; that says nothing about the index."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that a leg found."""

    id: int
    score: float


@dataclass(frozen=True, slots=True)
class FusedHit:
    """A chunk that both legs together found, as the index fused them."""

    id: int
    score: float
    dense: float | None
    """Its score in the dense leg; None where that leg did not bring it."""
    sparse: float | None


class VectorStore(Protocol):
    """An index. Calls block: never on the loop. Searches may come from several threads, changes from one at a time.

    Every method raises IndexUnusable where the index fails. A search takes `seconds` at most where it stands on a server, and
    raises IndexLate then; one in files of this machine takes no notice. It brings as many hits as are asked for of those chunks
    that a reader with `labels` may see.
    """

    @property
    def epoch(self) -> int:
        """The change of the store of truth that was on disk at the last flush."""
        ...

    def upsert(self, chunks: Sequence[IndexedChunk]) -> None:
        """Adds chunks, or replaces those of the same ids."""
        ...

    def delete_version(self, version: int) -> None:
        """Forgets all chunks of a document version; none is fine."""
        ...

    def dense(
        self, vector: NDArray[np.float32], collection: int, limit: int, seconds: float = math.inf, *, labels: Labels = None
    ) -> list[Hit]:
        """The chunks of a collection with the largest dot product with `vector` (DIMENSIONS,), best first."""
        ...

    def sparse(
        self, terms: WeightedTerms, collection: int, limit: int, seconds: float = math.inf, *, labels: Labels = None
    ) -> list[Hit]:
        """The chunks of a collection with the highest BM25 score above 0, best first."""
        ...

    def count(self, collection: int | None = None) -> int:
        """Chunks that it holds, of one collection or of all."""
        ...

    def flush(self, epoch: int, embedder: str) -> None:
        """Returns once every change so far is on disk, and with it that the index stands at `epoch` with vectors of `embedder`."""
        ...

    def close(self) -> None:
        """Ends the use of the index; flushes nothing."""
        ...


@runtime_checkable
class FusingStore(Protocol):
    """An index that fuses both legs itself, in one call."""

    def hybrid(
        self,
        vector: NDArray[np.float32],
        terms: WeightedTerms,
        collection: int,
        limit: int,
        *,
        dense_weight: float,
        seconds: float = math.inf,
        labels: Labels = None,
    ) -> list[FusedHit]:
        """The best of both legs by relative scores, as `fusion.fuse` has them, best first."""
        ...


@runtime_checkable
class OptimisableStore(Protocol):
    """An index that answers sooner once a copy of it was optimised by a program."""

    def unoptimised(self) -> int:
        """Chunks written since it was optimised, or since it was made."""
        ...

    def draft(self, folder: Path) -> list[str]:
        """Copies what was flushed to `folder`, which is made; with no change under way.

        Returns:
            The program that optimises the copy, which can be opened once that has ended with 0. To be started from the main thread.

        Raises:
            OSError: there is no room for it.
        """
        ...


def in_batches(chunks: Iterable[IndexedChunk]) -> Iterator[list[IndexedChunk]]:
    """Chunks as an index likes to be given them."""
    iterator = iter(chunks)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


class StoreKind(Protocol):
    """Makes and opens indexes of one kind. Calls block. A folder belongs to each index, whether or not all of it stands there."""

    def create(self, folder: Path, meta: IndexMeta) -> VectorStore:
        """An empty index in `folder`, which is made.

        Raises:
            IndexUnusable: it cannot be made.
        """
        ...

    def open(self, folder: Path, *, trusted: bool = False) -> VectorStore:
        """The index in `folder`.

        Args:
            trusted: whether this process wrote it a moment ago.

        Raises:
            IndexUnusable: it is missing or damaged.
            IndexAway: it stands on a server that does not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class IndexMeta:
    """What an index was built from. Beside the index, written at each flush."""

    kind: str
    instance: str
    """Id of the store of truth."""
    embedder: str
    epoch: int
    written: int = 0
    """Chunks written since it was built, or those left when it was last optimised and what came after. What is not held any more
    still takes room and time."""
    optimised: int = 0
    """How many of these were there when it was last optimised."""
    labelled: bool = False
    """Whether any of them had labels. Where none has, nobody has to be kept from any."""
    format: int = INDEX_FORMAT
    terms_version: int = TERMS_VERSION
    dimensions: int = DIMENSIONS

    def at(self, epoch: int, embedder: str) -> IndexMeta:
        """The same at another epoch; the embedder is known only once there are vectors."""
        return replace(self, epoch=epoch, embedder=embedder)

    def after(self, chunks: Sequence[IndexedChunk]) -> IndexMeta:
        """The same with more chunks written."""
        return replace(self.seeing(chunks), written=self.written + len(chunks))

    def seeing(self, chunks: Sequence[IndexedChunk]) -> IndexMeta:
        """The same where it matters whether any of `chunks` has labels."""
        return self if self.labelled else replace(self, labelled=any(chunk.labels for chunk in chunks))

    def marks(self, labels: Labels) -> list[str] | None:
        """Marks of which a chunk has to have one, for a reader with these labels; None where that need not be looked at."""
        return None if labels is None or not self.labelled else reader_marks(labels)

    def worn(self, held: int) -> bool:
        """Whether most of what was written is not held any more, so that building anew pays."""
        return self.written > WORN_FACTOR * held + WORN_CHUNKS

    def same_source(self, other: IndexMeta) -> bool:
        """Whether both were built by the same rules from the same store, whatever came later."""
        return self._rules() == other._rules()

    def _rules(self) -> IndexMeta:
        return replace(self, epoch=0, written=0, optimised=0, labelled=False)

    def write(self, folder: Path) -> None:
        """Replaces the file in `folder`, durably.

        Raises:
            IndexUnusable: where it cannot be written.
        """
        temporary = folder / "meta.json.new"
        try:
            with temporary.open("wb") as file:
                file.write(orjson.dumps(asdict(self)))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(folder / "meta.json")
        except OSError as error:
            raise IndexUnusable(f"the index cannot be written: {error.strerror}") from error

    @classmethod
    def read(cls, folder: Path) -> IndexMeta:
        """The file in `folder`.

        Raises:
            IndexUnusable: where it is missing or cannot be read.
        """
        try:
            return cls(**orjson.loads((folder / "meta.json").read_bytes()))
        except (OSError, orjson.JSONDecodeError, TypeError) as error:
            raise IndexUnusable(f"the index has no readable meta.json ({type(error).__name__})") from error


def moved_folder(folder: Path) -> Path:
    """Where an index that was built to take the place of the one in `folder` stands until it does."""
    return folder.with_name(f"{folder.name}.moved")


def take_moved(folder: Path, kind: str) -> None:
    """Puts what a move to `kind` built in the place of the index in `folder`. Killed in between, it is there for the next start."""
    moved = moved_folder(folder)
    try:
        if IndexMeta.read(moved).kind != kind:
            return
    except IndexUnusable:
        return
    shutil.rmtree(folder, ignore_errors=True)
    moved.rename(folder)
