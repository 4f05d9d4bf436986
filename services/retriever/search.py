"""A search: a question becomes queries, each query two legs, what they found is fused, reranked, and spread over documents.

A step that fails or is late is left out and named. Knows no gRPC message but the kinds of rewriting.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from services.mesh.deadline import Budget
from services.mesh.errors import MeshError
from services.retriever import truth_reads
from services.retriever.fusion import Method, fuse, interleave, led, spread
from services.retriever.index_keeper import IndexKeeper
from services.retriever.legs import Joined, Legs, Scope, timed
from services.retriever.near_duplicates import without_repeats
from services.retriever.query import Query
from services.retriever.records import Reader
from services.retriever.reranking import Reranking
from services.retriever.results import Found, Leg, Result, Trace
from services.retriever.rewriting.keeper import LexiconKeeper
from services.retriever.rewriting.plan import Asked
from services.retriever.rewriting.rewriter import Rewriter
from services.retriever.truth import Connection, Truth


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a search is to bring."""

    limit: int
    dense_weight: float
    rerank_depth: int
    """How many candidates the reranker's cross-encoder may read; 0 leaves the fusion's order."""
    fusion: Method
    max_tokens: int | None = None
    """Token budget of the passages and their headers; None: they stay whole."""
    by_leg: bool = False
    """Whether each leg is to be seen whole, also where the index could fuse both itself."""


class Search:
    """Searches collections.

    Args:
        lexicons: what the collections say about words.
        rewriter: what makes queries of questions.
        reranking: what orders the best of them again.
        overfetch: how many times more hits than wanted each leg brings.
        per_document: chunks of one document that come before the best of the others. The rest moves behind them instead of being
            dropped: a question that one document alone answers still gets all of its passages, and one that many documents answer
            does not get eight passages of the longest.
    """

    def __init__(
        self,
        truth: Truth,
        index: IndexKeeper,
        legs: Legs,
        lexicons: LexiconKeeper,
        rewriter: Rewriter,
        reranking: Reranking,
        *,
        overfetch: int,
        per_document: int,
    ) -> None:
        self._truth = truth
        self._index = index
        self._legs = legs
        self._lexicons = lexicons
        self._rewriter = rewriter
        self._reranking = reranking
        self._overfetch = overfetch
        self._per_document = per_document
        self._counts: dict[tuple[int, int, Reader], int] = {}

    async def run(self, reader: Reader, collection: str, asked: Asked, wanted: Wanted, budget: Budget) -> Found | None:
        """The best passages that the reader may see; None where there is no such collection.

        Raises:
            MeshError: where no leg works.
        """
        scope, documents, embedder = await self._truth.read(lambda connection: self._scope(connection, reader, collection))
        if scope is None:
            return None
        lexicon = await self._lexicons.of(reader, scope, self._index.epoch)
        plan = self._rewriter.plan(asked, lexicon)
        found = Found(plan, lexicon, documents=documents, epoch=self._index.epoch)
        queries = [query for query in plan.queries if query.terms] if documents else []
        if not queries:
            return found
        where = Scope(reader, scope, embedder, budget)
        # Beside its parts the whole is searched by both legs, and not reranked, which would cost as much as a part more.
        whole = [self._trace(where, plan.whole, replace(wanted, rerank_depth=0), found)] if plan.whole is not None else []
        traces = await asyncio.gather(*(self._trace(where, query, wanted, found) for query in queries), *whole)
        found.traces = list(traces[: len(queries)])
        spreads = [
            spread([replace(one, query=number) for one in trace.ranked], _document, self._per_document)
            for number, trace in enumerate(found.traces)
        ]
        # What linked documents both say comes once, from the one that was found first.
        together = interleave(spreads, _chunk)
        heads = len({_chunk(one[0]) for one in spreads if one})
        for trace in traces[len(queries) :]:
            # Which of the parts' best comes first, the question as a whole knows better than their order does.
            together = [*led(together[:heads], trace.fused, _document), *together[heads:]]
        once = without_repeats(together, _cluster, _document, _text)
        found.repeated = {_chunk(one) for one in together} - {_chunk(one) for one in once}
        found.results = once[: wanted.limit]
        return found

    def _scope(self, connection: Connection, reader: Reader, collection: str) -> tuple[int | None, int, str]:
        scope = truth_reads.find_collection(connection, reader.tenant, collection)
        embedder = truth_reads.meta(connection, "embedder")
        if scope is None:
            return None, 0, embedder
        # Counting is the one thing here whose cost grows with the collection; it changes with the epoch only.
        key = (int(truth_reads.meta(connection, "epoch")), scope, reader)
        if key not in self._counts:
            if len(self._counts) >= 1024:
                self._counts.clear()
            self._counts[key] = truth_reads.count_readable(connection, reader, scope)
        return scope, self._counts[key], embedder

    async def _trace(self, scope: Scope, query: Query, wanted: Wanted, found: Found) -> Trace:
        first = max(wanted.limit * self._overfetch, self._reranking.candidates if wanted.rerank_depth else 0)
        joined = await self._legs.find(
            scope,
            query,
            found,
            dense_weight=wanted.dense_weight,
            limit=wanted.limit,
            wanted=first,
            # Its answer by ranks would not say what each leg gave, which the reranker and the judgement of sufficiency need.
            fused=wanted.fusion == "relative" and not wanted.by_leg,
        )
        fused = _fused(joined, wanted)
        return Trace(joined.dense, joined.sparse, fused, await self._reranked(scope, query, wanted, found, fused))

    async def _reranked(self, scope: Scope, query: Query, wanted: Wanted, found: Found, ranked: list[Result]) -> list[Result]:
        if not wanted.rerank_depth or not ranked:
            return ranked

        async def rerank() -> list[Result]:
            question = query.named or query.asked or query.text
            order, skipped = await self._reranking.order(question, ranked, wanted.rerank_depth, scope.budget)
            if skipped:
                found.degraded[Leg.RERANK] = skipped
            return order

        ordered = await timed(found, Leg.RERANK, rerank)
        return ranked if isinstance(ordered, MeshError) else ordered


def _fused(joined: Joined, wanted: Wanted) -> list[Result]:
    scores = joined.fused or fuse(joined.dense, joined.sparse, wanted.dense_weight, wanted.fusion)
    # Equal scores are ordered by id, so that the same search gives the same order.
    ranked = sorted(scores, key=lambda chunk: (-scores[chunk], chunk))
    return [Result(joined.chunks[chunk], joined.dense.get(chunk), joined.sparse.get(chunk), scores[chunk]) for chunk in ranked]


def _cluster(result: Result) -> int:
    return result.chunk.cluster


def _text(result: Result) -> str:
    return result.chunk.text


def _document(result: Result) -> int:
    return result.chunk.document_id


def _chunk(result: Result) -> int:
    return result.chunk.id
