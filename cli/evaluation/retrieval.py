"""`ragmesh eval retrieval`: a corpus imported into a throw-away store, each query searched in four ways.

Ranks count corpus ids: chunks of one document are one result, at the place of the best. R@k is the share of queries with a relevant
document among the first k. The baselines order the passages of the hybrid search again: by the overlap of the query with the first
sentence of each, by the overlap with all of it, and by the features of the reranker without its cross-encoder.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
from ragmesh.evidence.v1.evidence_pb2 import Evidence
from ragmesh.retriever.v1 import retriever_service_pb2 as pb
from ragmesh.retriever.v1.retriever_service_pb2_grpc import RetrieverServiceStub
from ragmesh_models import sentences as splitter
from ragmesh_models.lexical import words_of

from cli.connection import in_words
from cli.evaluation.corpus import COLLECTION, Loaded, load, retriever_channel
from cli.evaluation.figures import ndcg, reciprocal_rank
from cli.evaluation.reader import at_once
from cli.evaluation.rows import CorpusRow, QueryRow, read_rows
from cli.evaluation.run import EvalRun, Item
from cli.evaluation.served import PATIENT, RETRIEVAL_PARTS, installed, model_refs, texts, throwaway_mesh
from services.mesh.errors import from_rpc_error
from services.mesh.triton import TritonClient

if TYPE_CHECKING:
    from ragmesh.retriever.v1.retriever_service_pb2_grpc import RetrieverServiceAsyncStub

LIMIT = 200
"""Chunks asked for, the most that a search gives: enough for 50 documents of four chunks each."""
WAYS: dict[str, dict[str, Any]] = {
    "bm25": {"dense_weight": 0.0, "rerank_depth": 0},
    "dense": {"dense_weight": 1.0, "rerank_depth": 0},
    "hybrid": {"rerank_depth": 0},
    "reranked": {},
}
"""Row -> what the search is asked for; the rest is as shipped."""
_MOST_PASSAGES = 100  # that the reranker takes
_SECONDS = 30.0
_ATTEMPTS = 30
"""How often a search is asked that comes late: the mesh itself ends each after ten seconds, and behind an import of thousands a
busy machine is still learning their words for some minutes."""
_WARM_UP = 5


class Overlap:
    """Inverse document frequencies of the corpus, and how much of a query's weight a text holds."""

    def __init__(self, rows: Sequence[CorpusRow]) -> None:
        seen: Counter[str] = Counter()
        for row in rows:
            seen.update(set(words_of(f"{row.title} {row.text}").stems))
        self._idf = {stemmed: math.log(1 + (len(rows) - n + 0.5) / (n + 0.5)) for stemmed, n in seen.items()}

    def of(self, query: str, text: str) -> float:
        words = words_of(query)
        wanted = {stemmed for stemmed, stop in zip(words.stems, words.stops, strict=True) if not stop}
        return sum(self._idf.get(stemmed, 0.0) for stemmed in wanted & _stems(text))


@lru_cache(maxsize=100_000)
def _stems(text: str) -> frozenset[str]:
    return frozenset(words_of(text).stems)


def collapse(documents: Sequence[str], ids: dict[str, str]) -> list[str]:
    """Corpus ids of chunks' documents, each once, best first."""
    return list(dict.fromkeys(ids[name] for name in documents if name in ids))


def mark(ranked: Sequence[str], relevant: Sequence[str], ms: float) -> dict[str, Any]:
    """Marks of one query searched in one way."""
    wanted = set(relevant)
    ranks = [rank for rank, name in enumerate(ranked, 1) if name in wanted]
    best = min(ranks, default=math.inf)
    return {
        **{f"r{depth}": float(best <= depth) for depth in (1, 5, 20, 50)},
        "mrr10": reciprocal_rank(ranks, 10),
        "ndcg10": ndcg(ranks, len(wanted), 10),
        "ms": ms,
    }


class _Asking:
    """Searches, and orders again what was found."""

    def __init__(
        self, stub: RetrieverServiceAsyncStub, loaded: Loaded, overlap: Overlap, triton: TritonClient, reranks: bool
    ) -> None:
        self._stub = stub
        self._loaded = loaded
        self._overlap = overlap
        self._triton = triton
        self._reranks = reranks
        self.degraded: Counter[str] = Counter()
        self.late = 0
        """Searches that were asked once more."""

    async def search(self, query: str, **how: Any) -> tuple[list[Evidence], float]:
        """Passages best first, and milliseconds."""
        request = pb.SearchRequest(collection=COLLECTION, query=query, language="en", limit=LIMIT, **how)
        answer, ms = await self._answered(request)
        self.degraded.update(pb.SearchLeg.Name(leg.leg).removeprefix("SEARCH_LEG_").lower() for leg in answer.degraded)
        return list(answer.evidence), ms

    async def _answered(self, request: pb.SearchRequest) -> tuple[pb.SearchResponse, float]:
        # A thousand searches take many minutes, and one that a busy machine leaves waiting is not to take all of them with it.
        for attempt in range(1, _ATTEMPTS + 1):
            began = time.perf_counter()
            try:
                answer = await self._stub.Search(request, timeout=_SECONDS)
            except grpc.aio.AioRpcError as error:
                typed = from_rpc_error(error, service="retriever")
                if attempt == _ATTEMPTS or not (typed.retryable or typed.reason == "DEADLINE_EXCEEDED"):
                    raise
                self.late += 1
            else:
                return answer, (time.perf_counter() - began) * 1000
        raise AssertionError

    async def item(self, row: QueryRow) -> Item:
        marks: dict[str, dict[str, Any]] = {}
        ranked: dict[str, list[str]] = {}
        pool: list[Evidence] = []
        for name, how in WAYS.items():
            found, ms = await self.search(row.text, **how)
            pool = found if name == "hybrid" else pool
            ranked[name] = self._ids(found)
            marks[name] = mark(ranked[name], row.relevant, ms)
        for name, (ordered, ms) in (await self._baselines(row.text, pool)).items():
            marks[name] = mark(self._ids(ordered), row.relevant, ms)
        return Item(row.id, marks, {"relevant": list(row.relevant), "first": {name: ids[:3] for name, ids in ranked.items()}})

    def _ids(self, found: Sequence[Evidence]) -> list[str]:
        return collapse([item.document for item in found], self._loaded.ids)

    async def _baselines(self, query: str, pool: list[Evidence]) -> dict[str, tuple[list[Evidence], float]]:
        def by(score: Any) -> tuple[list[Evidence], float]:
            began = time.perf_counter()
            ordered = sorted(pool, key=lambda item: -score(item))
            return ordered, (time.perf_counter() - began) * 1000

        found = {
            "first_sentence": by(lambda item: self._overlap.of(query, _first_sentence(item.text))),
            "idf_overlap": by(lambda item: self._overlap.of(query, item.text)),
        }
        if self._reranks:
            found["feature_scorer"] = await self._by_features(query, pool)
        return found

    async def _by_features(self, query: str, pool: list[Evidence]) -> tuple[list[Evidence], float]:
        head = pool[:_MOST_PASSAGES]
        if not head:
            return pool, 0.0
        scores = [[_score(item, leg) for leg in ("dense", "sparse", "fused")] for item in head]
        inputs = {
            "question": texts([query]),
            "passages": texts([item.text for item in head]),
            "titles": texts([" > ".join(item.title_path) for item in head]),
            "retrieval_scores": np.array(scores, dtype=np.float32),
            "depth": np.array([0], dtype=np.int32),
        }
        began = time.perf_counter()
        answer = await self._triton.infer("reranker", inputs, ["scores"], timeout=_SECONDS)
        order = np.argsort(-answer["scores"].reshape(-1), kind="stable")
        return [*(head[n] for n in order), *pool[_MOST_PASSAGES:]], (time.perf_counter() - began) * 1000


def _score(item: Evidence, leg: str) -> float:
    return float(getattr(item.scores, leg)) if item.scores.HasField(leg) else math.nan  # type: ignore[arg-type]


@lru_cache(maxsize=100_000)
def _first_sentence(text: str) -> str:
    cut = next(iter(splitter.split(text)), None)
    return text[cut.start : cut.end] if cut else ""


async def run_retrieval(corpus: Path, queries: Path) -> EvalRun:
    """
    Raises:
        CliError: a file is none, the mesh cannot start, or a search failed.
    """
    rows, asked = read_rows(corpus, CorpusRow), read_rows(queries, QueryRow)
    began = time.monotonic()
    async with throwaway_mesh(RETRIEVAL_PARTS, PATIENT) as mesh, retriever_channel(mesh) as channel:
        models = await model_refs(mesh.triton_target)
        loaded = await load(channel, rows)
        reranks = await installed(mesh.triton_target, "reranker")
        triton = TritonClient(mesh.triton_target)
        asking = _Asking(RetrieverServiceStub(channel), loaded, Overlap(rows), triton, reranks)
        try:
            items = await _ask_all(asking, asked)
        except grpc.aio.AioRpcError as error:
            raise in_words(from_rpc_error(error, service="retriever"), "the evaluation's mesh") from error
        finally:
            await triton.close()
    known = set(loaded.ids.values())
    config = {
        "corpus": corpus.name, "queries": queries.name, "rows": len(rows), "chunks": loaded.chunks, "limit": LIMIT,
        "import_seconds": round(loaded.seconds, 1), "refused": dict(loaded.refused), "ways": WAYS,
        "patience": PATIENT, "degraded": dict(asking.degraded), "late": asking.late,
        "relevant_not_in_corpus": sum(name not in known for row in asked for name in row.relevant),
    }  # fmt: skip
    return EvalRun("retrieval", tuple(WAYS), config, models, items, time.monotonic() - began)


async def _ask_all(asking: _Asking, asked: Sequence[QueryRow]) -> list[Item]:
    """One query at a time, so that times are those of a quiet mesh."""
    for row in asked[:_WARM_UP]:
        await asking.search(row.text)
    return await at_once(asked, asking.item, "Searching", width=1)
