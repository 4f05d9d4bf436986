"""The interceptor chain: its order on a real call, all four kinds of method, methods that pass by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ragmesh.guard.v1 import guard_service_pb2 as guard_pb2

from services.mesh.interceptors.chain import ORDER, Chain
from tests.service.mesh.chassis import COUNT_REQUEST, SECONDS, STREAM_REQUEST, Served, collect, serving

NAMES = [
    "telemetry",
    "error_boundary",
    "request_context",
    "peer_identity",
    "edge_claims",
    "deadline",
    "admission",
    "validation",
]


@pytest.fixture
def trail(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the links in the order in which they are entered and left."""
    walked: list[str] = []
    for link in ORDER:

        def watched(link: Any = link, around: Any = link.around) -> Any:
            async def spy(self: Any, call: Any, proceed: Any) -> Any:
                async def behind(call: Any) -> Any:
                    walked.append(f"+{link.name}")
                    return await proceed(call)

                answer = await around(self, call, behind)
                walked.append(f"-{link.name}")
                return answer

            return spy

        monkeypatch.setattr(link, "around", watched())
    return walked


def test_the_order_is_what_the_design_says() -> None:
    assert [link.name for link in ORDER] == NAMES


def test_another_order_is_refused() -> None:
    with pytest.raises(ValueError, match="out of order"):
        Chain([], 1024)


@pytest.mark.usefixtures("as_visitor")
async def test_links_are_walked_in_order_around_the_handler(served: Served, trail: list[str]) -> None:
    plain = served.servicer.on_count

    async def count(request: Any, context: Any) -> Any:
        trail.append("handler")
        return await plain(request, context)

    served.servicer.on_count = count
    await served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)
    assert trail == [f"+{name}" for name in NAMES] + ["handler"] + [f"-{name}" for name in reversed(NAMES)]


@pytest.mark.usefixtures("as_visitor")
async def test_server_streams_pass_the_chain(served: Served, trail: list[str]) -> None:
    found = await collect(served.stub.StreamGenerate(STREAM_REQUEST, timeout=SECONDS))
    assert [item.text.text for item in found] == ["Why?"]
    assert trail[: len(NAMES)] == [f"+{name}" for name in NAMES]


@pytest.mark.usefixtures("as_visitor")
async def test_bidi_streams_pass_the_chain_message_by_message(served: Served) -> None:
    async def check(requests: Any, _: Any) -> AsyncIterator[Any]:
        async for request in requests:
            verdict = guard_pb2.Verdict(action=guard_pb2.ACTION_ALLOW)
            finished = guard_pb2.OutputFinished(verdict=verdict, released_bytes=len(request.text.text))
            yield guard_pb2.CheckOutputResponse(finished=finished)

    served.servicer.on_check = check
    call = served.guard.CheckOutput(timeout=SECONDS)
    for words in ("a", "bcd"):
        await call.write(guard_pb2.CheckOutputRequest(text=guard_pb2.DraftText(text=words)))
        assert (await call.read()).finished.released_bytes == len(words)
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_the_services_of_grpc_pass_by(served: Served, trail: list[str]) -> None:
    """Without a principal and without a deadline."""
    answer = await health_pb2_grpc.HealthStub(served.raw).Check(health_pb2.HealthCheckRequest())
    assert answer.status in (health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING)
    assert trail == []


@pytest.mark.usefixtures("as_visitor")
async def test_two_services_do_not_share_a_chain(tmp_path: Any, trail: list[str]) -> None:
    async with serving(tmp_path / "a") as first, serving(tmp_path / "b") as second:
        await first.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)
        await second.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)
        assert first.servicer.calls == second.servicer.calls == 1
    assert trail.count("+telemetry") == 2
