"""A retriever that serves from a real Weaviate: fused there as here, a reader's rights, and a server that hangs."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from ragmesh.retriever.v1 import retriever_service_pb2 as pb

from cli.parts.weaviate import NodePorts
from services.mesh.errors import from_rpc_error
from services.retriever.index_keeper import IndexKeeper
from tests.real.weaviate_fixture import Node
from tests.service.retriever.retriever_fixture import EDITOR, VISITOR, RetrieverClient, running_retriever, short_folder
from tests.service.triton_fixture import RunningTriton, triton_server

__all__ = ["triton_server"]

TOPICS = ("zebra stable", "liver enzyme", "hemp oil", "sleep dose", "travel law", "pain relief")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node("n1", tmp_path, NodePorts.choose())
    made.start()
    try:
        made.wait_until_ready()
        yield made
    finally:
        made.server.send(signal.SIGCONT)
        made.stop()


@pytest.fixture
async def client(node: Node, triton_server: RunningTriton) -> AsyncIterator[RetrieverClient]:
    with short_folder() as folder:
        async with running_retriever(
            folder, triton_server.grpc, retriever_index="weaviate", retriever_weaviate=node.settings(search_seconds=1.5)
        ) as made:
            yield made


def found_by(response: Any) -> list[tuple[str, str]]:
    return [(one.document, one.text) for one in response.evidence]


def without_fusion(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an index that does not fuse: each leg is asked for alone."""
    monkeypatch.setattr(IndexKeeper, "fuses", property(lambda self: False))


@pytest.mark.timeout(300)
async def test_what_is_fused_there_is_what_is_fused_here(client: RetrieverClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(18):
        await client.put(
            f"d{number}", f"# Note {number}\n\nThe {TOPICS[number % 6]} of note {number} is kept in box {number * 7}.\n"
        )
    asked: list[str] = []
    right = IndexKeeper.hybrid

    async def hybrid(self: IndexKeeper, *args: Any, **named: Any) -> Any:
        found = await right(self, *args, **named)
        asked.append("answered" if found is not None else "not")
        return found

    monkeypatch.setattr(IndexKeeper, "hybrid", hybrid)
    for query in ("Where is the zebra stable?", "liver enzyme box", "Which note is about travel law in box 28?"):
        there = await client.search(query, rerank_depth=0)
        with monkeypatch.context() as patch:
            without_fusion(patch)
            here = await client.search(query, rerank_depth=0)
        assert not there.degraded
        assert found_by(there) == found_by(here)
        for one, other in zip(there.evidence, here.evidence, strict=True):
            assert one.scores.dense == pytest.approx(other.scores.dense, abs=1e-3)
            assert one.scores.sparse == pytest.approx(other.scores.sparse, abs=1e-3)
            assert one.scores.fused == pytest.approx(other.scores.fused, abs=1e-3)
    assert asked == ["answered"] * 3
    request = pb.ExplainRequest(search=pb.SearchRequest(collection="collections/default", query="hemp oil"))
    await client.call(client.stub.Explain, request)
    assert len(asked) == 3  # an explanation needs each leg whole


@pytest.mark.timeout(300)
async def test_what_a_reader_may_not_see_moves_nothing(client: RetrieverClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        await client.put(f"open{number}", f"# Open {number}\n\nThe hemp oil of note {number} is kept in box {number}.\n")
    before = await client.search("hemp oil box", principal=VISITOR, rerank_depth=0)
    for number in range(4):
        await client.put(f"secret{number}", f"# Hidden {number}\n\nHemp oil, hemp oil: hemp oil box {number}.\n", labels=["staff"])
    after = await client.search("hemp oil box", principal=VISITOR, rerank_depth=0)
    with monkeypatch.context() as patch:
        without_fusion(patch)
        here = await client.search("hemp oil box", principal=VISITOR, rerank_depth=0)
    assert {name for name, _ in found_by(after)} == {name for name, _ in found_by(before)}
    assert found_by(after) == found_by(here)
    assert [one.scores.fused for one in after.evidence] == pytest.approx([one.scores.fused for one in here.evidence])


@pytest.mark.timeout(300)
async def test_a_server_that_hangs_is_named_in_time_and_taken_again(client: RetrieverClient, node: Node) -> None:
    await client.put("d1", "# One\n\nThe zebra lives in stable 7.\n")
    assert found_by(await client.search("zebra stable"))
    node.server.send(signal.SIGSTOP)
    # Too little time to find out about the server: an error with a reason, before the deadline and not by it.
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.search("zebra stable", timeout=1.0, dense_weight=0.0)
    assert from_rpc_error(caught.value, service="retriever").reason == "STORE_UNAVAILABLE"
    # Enough: the stand-in answers, and says so.
    answered = await client.search("zebra stable", timeout=15.0)
    assert found_by(answered)
    assert [one.leg for one in answered.degraded if one.leg == pb.SEARCH_LEG_INDEX] == [pb.SEARCH_LEG_INDEX]
    # What is stored meanwhile is found too.
    await client.put("d2", "# Two\n\nThe okapi lives in stable 9.\n")
    assert found_by(await client.search("okapi", principal=EDITOR, timeout=15.0))
    node.server.send(signal.SIGCONT)
    deadline = time.monotonic() + 120
    while (answered := await client.search("okapi stable", timeout=15.0)).degraded:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    assert {name.rpartition("/")[2] for name, _ in found_by(answered)} == {"d1", "d2"}
