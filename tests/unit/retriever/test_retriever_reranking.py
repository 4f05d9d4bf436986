"""The stage after the fusion: who is ordered again, how deep there is time to read, what fits into a request."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from services.mesh.deadline import Budget
from services.mesh.errors import MeshError
from services.retriever.models import RerankCandidate
from services.retriever.records import DocumentKey, FoundChunk
from services.retriever.reranking import MAX_TEXT_BYTES, Reranking
from services.retriever.results import Result


class ByLength:
    """Scores a passage by the length of its text; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[RerankCandidate], int, float]] = []

    async def rerank(
        self, question: str, candidates: Sequence[RerankCandidate], depth: int, *, timeout: float
    ) -> NDArray[np.float32]:
        self.asked.append((list(candidates), depth, timeout))
        return np.array([len(one.text) for one in candidates], dtype=np.float32)


def result(number: int, text: str, dense: float | None = None) -> Result:
    key = DocumentKey("t", "c", f"d{number}")
    chunk = FoundChunk(number, f"k{number}", number, key, "v", 0, ("Title", "Part"), text, 0, len(text), "")
    return Result(chunk, dense, 1.0, 1.0 / (1 + number))


def stage(models: ByLength, candidates: int = 50, seconds: float = 1.0) -> Reranking:
    return Reranking(models, candidates=candidates, seconds=seconds)  # type: ignore[arg-type]


async def test_the_best_are_ordered_again_and_the_rest_follows() -> None:
    models = ByLength()
    ranked = [result(number, "x" * length) for number, length in enumerate([3, 9, 5, 99])]
    ordered, skipped = await stage(models, candidates=3).order("q", ranked, 20, Budget(10))
    assert [one.chunk.id for one in ordered] == [1, 2, 0, 3]
    assert [one.rerank for one in ordered] == [9.0, 5.0, 3.0, None]
    assert skipped == ""
    ((candidates, depth, seconds),) = models.asked
    assert depth == 3
    assert seconds == 1.0
    assert candidates[0] == RerankCandidate("xxx", "Title > Part", None, 1.0, 1.0)


async def test_what_the_model_cannot_tell_apart_stays_as_it_was() -> None:
    ranked = [result(number, "same") for number in range(5)]
    ordered, _ = await stage(ByLength()).order("q", ranked, 20, Budget(10))
    assert [one.chunk.id for one in ordered] == [0, 1, 2, 3, 4]


async def test_without_time_to_read_features_alone_order_and_it_is_said() -> None:
    models = ByLength()
    ranked = [result(number, "x" * (number + 1)) for number in range(40)]
    ordered, skipped = await stage(models, seconds=0.1).order("q", ranked, 20, Budget(10))
    assert skipped == "DEADLINE_EXCEEDED"
    assert models.asked[0][1] == 0
    assert ordered[0].chunk.id == 39
    assert (await stage(models, seconds=0.1).order("q", ranked, 4, Budget(10)))[1] == ""
    assert models.asked[1][1] == 4


@pytest.mark.parametrize(("seconds", "depth"), [(0.05, 0), (0.109, 0), (0.11, 5), (0.17, 10), (0.289, 19)])
async def test_as_many_are_read_as_there_is_time_for(seconds: float, depth: int) -> None:
    models = ByLength()
    ranked = [result(number, "x" * (number + 1)) for number in range(40)]
    skipped = (await stage(models, seconds=seconds).order("q", ranked, 20, Budget(10)))[1]
    assert (models.asked[0][1], skipped) == (depth, "DEADLINE_EXCEEDED")
    assert (await stage(models, seconds=0.29).order("q", ranked, 20, Budget(10)))[1] == ""
    assert models.asked[1][1] == 20


async def test_without_any_time_the_model_is_not_asked() -> None:
    models = ByLength()
    for budget in (Budget(0), Budget(0.06)):
        with pytest.raises(MeshError) as caught:
            await stage(models).order("q", [result(0, "x")], 20, budget)
        assert caught.value.reason == "DEADLINE_EXCEEDED"
    assert models.asked == []


async def test_a_request_holds_no_more_text_than_the_model_takes() -> None:
    models = ByLength()
    ranked = [result(number, "ü" * 32_000) for number in range(6)]
    ordered, _ = await stage(models).order("q", ranked, 20, Budget(10))
    sent = models.asked[0][0]
    assert len(sent) == MAX_TEXT_BYTES // 64_012
    assert len(ordered) == 6
    assert ordered[-1].rerank is None


async def test_nothing_found_is_nothing_asked() -> None:
    models = ByLength()
    assert await stage(models).order("q", [], 20, Budget(10)) == ([], "")
    assert models.asked == []
