"""Explain: each candidate's place in every step, and the one reason why it is not in the answer."""

from __future__ import annotations

from services.retriever.explaining import Drop, Standing, explain
from services.retriever.query import Query
from services.retriever.records import DocumentKey, FoundChunk
from services.retriever.results import Found, Result, Trace
from services.retriever.rewriting.lexicon import Lexicon
from services.retriever.rewriting.plan import Plan


def result(number: int, document: int, *, rerank: float | None = None, query: int = 0) -> Result:
    key = DocumentKey("t", "c", f"d{document}")
    chunk = FoundChunk(number, f"k{number}", document, key, "v", 0, ("Title",), "text", 0, 4, "")
    return Result(chunk, 0.5, 1.0, 1.0 / (1 + number), rerank, query)


def found(results: list[Result], traces: list[Trace]) -> Found:
    return Found(Plan("q", (Query("q", (("q", 1.0),)),)), Lexicon(), results=results, traces=traces)


def test_ranks_and_scores_of_every_step() -> None:
    first, second = result(1, 1, rerank=0.2), result(2, 2, rerank=0.9)
    trace = Trace({2: 0.7, 1: 0.5}, {1: 3.0}, [first, second], [second, first])
    best, other = explain(found([second, first], [trace]), 3)
    assert (best.result.chunk.id, best.rank, best.dropped) == (2, 1, None)
    assert (best.dense, best.sparse) == (Standing(1, 0.7), None)
    assert (best.fused, best.reranked) == (Standing(2, second.fused), Standing(1, 0.9))
    assert (other.dense, other.sparse) == (Standing(2, 0.5), Standing(1, 3.0))


def test_what_is_dropped_says_why() -> None:
    ranked = [result(1, 1), result(2, 1), result(3, 1), result(4, 2), result(5, 3)]
    trace = Trace({}, {one.chunk.id: 1.0 for one in ranked}, ranked, ranked)
    kept = found([ranked[0], ranked[1]], [trace])
    kept.cut = [ranked[4]]
    reasons = {one.result.chunk.id: one.dropped for one in explain(kept, 2)}
    assert reasons == {1: None, 2: None, 3: Drop.SAME_DOCUMENT, 4: Drop.LIMIT, 5: Drop.TOKENS}
    kept.repeated, kept.held_back = {3, 4}, {4}
    reasons = {one.result.chunk.id: one.dropped for one in explain(kept, 2)}
    assert (reasons[3], reasons[4]) == (Drop.REPEAT, Drop.HELD_BACK)


def test_what_two_parts_found_stands_where_it_was_nearer() -> None:
    shared, own = result(1, 1, query=1), result(2, 2, query=0)
    traces = [Trace({}, {2: 2.0, 1: 1.0}, [own, shared], [own, shared]), Trace({}, {1: 9.0}, [shared], [shared])]
    candidates = explain(found([own, shared], traces), 3)
    assert [(one.result.chunk.id, one.query, one.rank, one.dropped) for one in candidates] == [
        (2, 0, 1, None),
        (1, 1, 2, None),
        (1, 0, None, Drop.FOUND_TWICE),
    ]
