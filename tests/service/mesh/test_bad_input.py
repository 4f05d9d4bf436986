"""What comes in wrong leaves as one typed error, before any servicer sees it, and the service goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from ragmesh.evidence.v1 import evidence_pb2, text_pb2
from ragmesh.generator.v1 import generator_service_pb2 as generator_pb2
from ragmesh.guard.v1 import guard_service_pb2 as guard_pb2

from services.mesh.identity import principal_metadata
from tests.service.mesh.chassis import (
    COUNT,
    COUNT_REQUEST,
    GENERATOR,
    SECONDS,
    VISITOR,
    Served,
    bare_failure,
    failure,
    serving,
)

pytestmark = pytest.mark.usefixtures("as_visitor")


@pytest.mark.parametrize(
    "raw",
    [b"\xff\xff\xff", b"\x0a\x05abc", b"\x0a\x02\xc3\x28", b"\x0a\x01\xff"],
    ids=["no message", "cut off", "broken UTF-8", "a lone byte"],
)
async def test_bytes_that_are_no_message(served: Served, raw: bytes) -> None:
    error = await failure(served.send(COUNT)(raw, timeout=SECONDS))
    assert error.reason == "MALFORMED_REQUEST"
    assert error.metadata == {"method": COUNT}
    assert served.servicer.calls == 0
    assert "Error" not in error.message, "the name of a Python class is nobody's business"


async def test_broken_bytes_inside_a_stream(served: Served) -> None:
    async def check(requests: Any, _: Any) -> AsyncIterator[Any]:
        async for _request in requests:
            yield guard_pb2.CheckOutputResponse(finished=guard_pb2.OutputFinished(verdict=guard_pb2.Verdict(action="ACTION_ALLOW")))

    served.servicer.on_check = check
    good = guard_pb2.CheckOutputRequest(text=guard_pb2.DraftText(text="a")).SerializeToString()
    method = "/ragmesh.guard.v1.GuardService/CheckOutput"
    call = served.channel.stream_stream(method, request_serializer=bytes, response_deserializer=bytes)(timeout=SECONDS)
    await call.write(good)
    assert await call.read()
    await call.write(b"\xff\xff")
    error = await failure(call.read())
    assert error.reason == "MALFORMED_REQUEST"


async def test_ten_megabytes(served: Served) -> None:
    error = await failure(served.send(COUNT)(b"\x0a" + b"x" * 10_000_000, timeout=SECONDS))
    assert error.reason == "REQUEST_TOO_LARGE"
    assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.metadata == {"limit_bytes": str(served.settings.max_request_bytes)}
    assert not error.retryable, "sending it again does not help"
    assert served.servicer.calls == 0


async def test_the_service_goes_on_after_bad_input(served: Served) -> None:
    await failure(served.send(COUNT)(b"\xff", timeout=SECONDS))
    assert (await served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)).counts == [2]


async def test_a_rule_that_is_broken_names_its_field(served: Served) -> None:
    request = generator_pb2.CountTokensRequest(texts=["fine", "x" * 70_000])
    error = await failure(served.stub.CountTokens(request, timeout=SECONDS))
    assert error.reason == "INVALID_REQUEST"
    assert error.violations == (("texts[1]", "must be at most 65536 bytes"),)
    assert "texts[1]" in error.message
    assert served.servicer.calls == 0


async def test_a_broken_rule_deep_inside_names_its_path(served: Served) -> None:
    backwards = text_pb2.TextRange(start=2, end=1)
    evidence = evidence_pb2.Evidence(name="e", text="t", spans=[backwards], chunk="c", document="d", document_version="v")
    request = generator_pb2.StreamGenerateRequest(question="Why?", assistant="assistants/default", evidence=[evidence])
    error = await failure(anext(aiter(served.stub.StreamGenerate(request, timeout=SECONDS))))
    assert {path for path, _ in error.violations} == {
        "evidence[0].chunk",
        "evidence[0].document",
        "evidence[0].document_version",
        "evidence[0].spans[0]",
    }


async def test_a_request_full_of_broken_rules_still_gets_its_answer(served: Served) -> None:
    """Trailers have a size limit: an error that does not fit would arrive as a bare status."""
    evidence = [evidence_pb2.Evidence(name="n" * 200, chunk="c", document="d", document_version="v") for _ in range(64)]
    history = [text_pb2.Utterance() for _ in range(40)]
    request = generator_pb2.StreamGenerateRequest(question="", evidence=evidence, history=history)
    error = await failure(anext(aiter(served.stub.StreamGenerate(request, timeout=SECONDS))))
    assert error.reason == "INVALID_REQUEST"
    assert 1 <= len(error.violations) <= 20


async def test_a_call_without_a_deadline_is_refused(served: Served) -> None:
    error = await failure(served.raw_stub.CountTokens(COUNT_REQUEST, metadata=[principal_metadata(VISITOR)]))
    assert error.reason == "DEADLINE_REQUIRED"
    assert error.metadata == {"method": COUNT}


async def test_a_method_may_be_allowed_to_come_without_a_deadline(tmp_path: Path) -> None:
    async with serving(tmp_path, spec={"unbounded": frozenset({COUNT})}) as served:
        assert (await served.raw_stub.CountTokens(COUNT_REQUEST, metadata=[principal_metadata(VISITOR)])).counts == [2]


async def test_a_service_may_give_a_deadline_to_those_who_have_none(tmp_path: Path) -> None:
    async with serving(tmp_path, spec={"default_deadline": 0.05}) as served:

        async def count(_: Any, __: Any) -> Any:
            await asyncio.Event().wait()

        served.servicer.on_count = count
        error = await failure(served.raw_stub.CountTokens(COUNT_REQUEST, metadata=[principal_metadata(VISITOR)]))
        assert error.reason == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("method", [f"/{GENERATOR}/Explain", "/ragmesh.none.v1.NoneService/Nothing"])
async def test_a_method_that_is_not_served(served: Served, method: str) -> None:
    error = await failure(served.send(method)(b"", timeout=SECONDS))
    assert error.reason == "METHOD_NOT_FOUND"
    assert error.code is grpc.StatusCode.UNIMPLEMENTED
    assert error.metadata == {"method": method}


async def test_a_method_of_grpc_that_is_not_served_is_left_to_grpc(served: Served) -> None:
    error = await bare_failure(served.send("/grpc.reflection.v1.Other/Nothing")(b"", timeout=SECONDS))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
