"""`python -m services.retriever move-index KIND`: builds the index once more, as another kind, from the vectors that are stored,
and compares it with the one in use.

Only where both agree it is left beside the one in use, for the first start that asks for its kind (`IndexKeeper`). Killed at any
moment, or refused, the index in use is as it was. Nothing is embedded.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from services.mesh.log import get_logger
from services.retriever import truth_reads
from services.retriever.index import Hit, IndexMeta, IndexUnusable, StoreKind, VectorStore, in_batches, moved_folder
from services.retriever.index_keeper import IndexKeeper
from services.retriever.index_kinds import store_kind
from services.retriever.records import IndexedChunk
from services.retriever.settings import RetrieverSettings
from services.retriever.truth import Truth
from services.retriever.truth_kinds import truth_of

log = get_logger(__name__)

Kind = Literal["edge", "exact", "weaviate"]

SAMPLES = 64
LEAST_OVERLAP = 0.9
"""Mean share of the ten nearest that both indexes must agree on, in either leg."""
_NEAREST = 10
_TIED = 256
"""How far equal scores are followed beyond the ten: which of them come first is nobody's fault."""
_CLOSE = 1e-4
_QUERY_TERMS = 4
_LOG_EVERY = 16
_SEED = 5


class MoveRefused(RuntimeError):
    """The index stays where it is; the message says why."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both indexes beside each other."""

    chunks: dict[int, tuple[int, int, int]]
    """Id of a collection -> chunks that the store of truth, the index in use and the new one have of it."""
    samples: int
    dense: float
    """Mean overlap of the ten nearest, 0 to 1."""
    sparse: float

    def refusal(self, least: float) -> str:
        """Why the new index is not as good as the one in use; empty where it is."""
        for collection, (truth, before, after) in self.chunks.items():
            if not truth == before == after:
                return f"the documents of collection {collection} have {truth} chunks, the index {before}, the new one {after}"
        if min(self.dense, self.sparse) < least:
            return f"the ten nearest overlap by {self.dense:.3f} (vectors) and {self.sparse:.3f} (terms), less than {least:g}"
        return ""


async def move(settings: RetrieverSettings, to: Kind, *, samples: int = SAMPLES, least: float = LEAST_OVERLAP) -> Comparison | None:
    """Builds and compares; what is built is taken at the next start that asks for `to`. None: it is of that kind already.

    Raises:
        MoveRefused: there is no index yet, one of the two does not answer, or they do not agree.
        TruthUnusable: while the retriever runs.
    """
    truth = truth_of(settings)
    folder = settings.folder / "index"
    try:
        await truth.open()
        now = _kind_in_use(folder)
        if now == to:
            log.info("index.there", kind=to)
            return None
        in_use = store_kind(settings.model_copy(update={"retriever_index": now}))
        # Brings the index in use to what is stored, as every start does, and throws away what a killed move left.
        keeper = IndexKeeper(truth, folder, now, in_use, settings.retriever_fallback_chunks)
        await keeper.open()
        healthy = keeper.healthy
        await keeper.close()
        if not healthy:
            raise MoveRefused("the index in use does not answer")
        other = store_kind(settings.model_copy(update={"retriever_index": to}))
        return await asyncio.to_thread(_Move(truth, folder, in_use, other, to).run, samples, least)
    except IndexUnusable as reason:
        raise MoveRefused(str(reason)) from reason
    finally:
        await truth.close()


async def run(settings: RetrieverSettings, arguments: Sequence[str]) -> None:
    """`move` as a command; how far it is, it logs.

    Raises:
        MoveRefused, TruthUnusable: see `move`.
    """
    parser = argparse.ArgumentParser(prog="python -m services.retriever move-index")
    parser.add_argument("kind", choices=get_args(Kind))
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--least", type=float, default=LEAST_OVERLAP)
    asked = parser.parse_args(arguments)
    await move(settings, asked.kind, samples=asked.samples, least=asked.least)


def _kind_in_use(folder: Path) -> Kind:
    try:
        found = IndexMeta.read(folder).kind
    except IndexUnusable:
        raise MoveRefused("there is no index yet: start the mesh with the store that is wanted") from None
    for kind in get_args(Kind):
        if found == kind:
            return kind  # type: ignore[no-any-return]
    raise MoveRefused(f"the index is of a kind that this release does not know: {found}")


class _Move:
    def __init__(self, truth: Truth, folder: Path, in_use: StoreKind, other: StoreKind, name: Kind) -> None:
        self._truth = truth
        self._folder = folder
        self._in_use = in_use
        self._other = other
        self._name = name

    def run(self, samples: int, least: float) -> Comparison:
        place = moved_folder(self._folder)
        new: VectorStore | None = None
        old = self._in_use.open(self._folder)
        try:
            new, counts, sample = self._build(place, samples)
            compared = compare(old, new, counts, sample)
            log.info(
                "index.compared",
                collections=len(counts),
                chunks=counts.total(),
                samples=compared.samples,
                dense=round(compared.dense, 4),
                sparse=round(compared.sparse, 4),
            )
            if refusal := compared.refusal(least):
                raise MoveRefused(refusal)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        finally:
            for store in (old, new):
                if store is not None:
                    store.close()
        return compared

    def _build(self, place: Path, samples: int) -> tuple[VectorStore, Counter[int], list[IndexedChunk]]:
        rng = random.Random(_SEED)  # chooses samples, hides nothing
        counts: Counter[int] = Counter()
        sample: list[IndexedChunk] = []
        with self._truth.beside() as connection:
            epoch = int(truth_reads.meta(connection, "epoch"))
            embedder = truth_reads.meta(connection, "embedder")
            total = truth_reads.count_indexed(connection)
            new = self._other.create(place, IndexMeta(self._name, self._truth.instance, embedder, epoch))
            try:
                for number, batch in enumerate(in_batches(truth_reads.indexed_chunks(connection, embedder))):
                    new.upsert(batch)
                    for chunk in batch:
                        _keep(rng, sample, chunk, seen=counts.total(), most=samples)
                        counts[chunk.collection] += 1
                    if number % _LOG_EVERY == 0:
                        log.info("index.moving", chunks=counts.total(), of=total)
                log.info("index.moving", chunks=counts.total(), of=total)
                new.flush(epoch, embedder)
            except BaseException:
                new.close()
                raise
        return new, counts, sample


def _keep(rng: random.Random, sample: list[IndexedChunk], chunk: IndexedChunk, *, seen: int, most: int) -> None:
    """Reservoir sampling (Vitter, "Random Sampling with a Reservoir", 1985): each chunk is as likely as any other to stay."""
    if len(sample) < most:
        sample.append(chunk)
    elif (at := rng.randrange(seen + 1)) < most:
        sample[at] = chunk


def compare(old: VectorStore, new: VectorStore, counts: Counter[int], sample: Sequence[IndexedChunk]) -> Comparison:
    """Counts by collection, and the nearest to stored vectors and to words of stored chunks."""
    rng = random.Random(_SEED)
    dense, sparse = [], []
    for chunk in sample:
        # A chunk without a word of the embedder's has no direction, and is as near to all others.
        if chunk.vector.any():
            dense.append(_overlap(lambda store, most, it=chunk: store.dense(it.vector, it.collection, most), old, new))  # type: ignore[misc]
        words = sorted(set(chunk.terms))
        terms = [(term, 1.0) for term in rng.sample(words, min(_QUERY_TERMS, len(words)))]
        if terms:
            sparse.append(_overlap(lambda store, most, it=chunk, asked=terms: store.sparse(asked, it.collection, most), old, new))  # type: ignore[misc]
    chunks = {name: (count, old.count(name), new.count(name)) for name, count in sorted(counts.items())}
    return Comparison(chunks, len(sample), _mean(dense), _mean(sparse))


def _overlap(ask: Callable[[VectorStore, int], list[Hit]], old: VectorStore, new: VectorStore) -> float:
    """Share of the ten best of `old` that `new` has among its ten; a hit that ties with the tenth stands for it."""
    known = ask(old, _TIED)
    if not known:
        return 0.0 if ask(new, _NEAREST) else 1.0
    wanted = known[:_NEAREST]
    last = wanted[-1].score
    fine = {hit.id for hit in known if hit.score >= last - _CLOSE * max(1.0, abs(last))}
    return len(fine & {hit.id for hit in ask(new, _NEAREST)}) / len(wanted)


def _mean(shares: Sequence[float]) -> float:
    return sum(shares) / len(shares) if shares else 1.0
