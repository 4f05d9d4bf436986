"""What goes wrong inside leaves as one typed error; what a caller breaks off leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from ragmesh.generator.v1 import generator_service_pb2 as generator_pb2
from ragmesh.guard.v1 import guard_service_pb2 as guard_pb2
from structlog.testing import capture_logs

from services.mesh import context
from services.mesh.errors import MeshError, from_rpc_error
from tests.service.mesh.chassis import (
    COUNT_REQUEST,
    SECONDS,
    STREAM_REQUEST,
    VISITOR,
    Served,
    bare_failure,
    collect,
    failure,
    serving,
    text,
    until,
)

pytestmark = pytest.mark.usefixtures("as_visitor")


async def test_a_defect_is_internal_and_only_the_log_has_its_cause(served: Served) -> None:
    async def count(_: Any, __: Any) -> Any:
        raise RuntimeError("the password is hunter2")

    served.servicer.on_count = count
    with capture_logs() as logs:
        error = await failure(served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS))
    assert error.reason == "INTERNAL"
    assert "hunter2" not in str(error.to_status())
    assert "Traceback" not in str(error.to_status())
    entry = next(entry for entry in logs if entry["event"] == "rpc.defect")
    assert entry["request"] == error.metadata["request"], "the id leads from the error to the log"


async def test_a_response_that_breaks_a_rule_is_a_defect_of_ours(served: Served) -> None:
    async def stream(_: Any, __: Any) -> AsyncIterator[Any]:
        yield text("first")
        yield generator_pb2.StreamGenerateResponse()

    served.servicer.on_stream = stream
    call = served.stub.StreamGenerate(STREAM_REQUEST, timeout=SECONDS)
    assert (await call.read()).text.text == "first"
    error = await failure(call.read())
    assert error.reason == "INTERNAL"


async def test_a_typed_error_arrives_whole(served: Served) -> None:
    async def count(_: Any, __: Any) -> Any:
        raise MeshError("MODEL_UNAVAILABLE", "no model", metadata={"model": "answerer"}, retry_after=2.5)

    served.servicer.on_count = count
    # UNAVAILABLE is retried by the service config; the error is the last attempt's.
    error = await failure(served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS))
    assert (error.reason, error.message, error.metadata) == ("MODEL_UNAVAILABLE", "no model", {"model": "answerer"})
    assert error.retry_after == 2.5
    assert served.servicer.calls == 3


async def test_a_stream_is_not_retried_after_its_first_message(served: Served) -> None:
    async def stream(_: Any, __: Any) -> AsyncIterator[Any]:
        yield text("first")
        raise MeshError("MODEL_UNAVAILABLE", "no model", metadata={"model": "answerer"})

    served.servicer.on_stream = stream
    call = served.stub.StreamGenerate(STREAM_REQUEST, timeout=SECONDS)
    assert (await call.read()).text.text == "first"
    assert (await failure(call.read())).reason == "MODEL_UNAVAILABLE"
    assert served.servicer.calls == 1


async def test_what_a_child_answered_is_passed_on(tmp_path: Path) -> None:
    async with serving(tmp_path / "child") as child, serving(tmp_path / "parent") as parent:

        async def fail(_: Any, __: Any) -> Any:
            raise MeshError("COLLECTION_NOT_FOUND", "no such collection", metadata={"collection": "collections/x"})

        async def ask(request: Any, _: Any) -> Any:
            return await child.stub.CountTokens(request, timeout=context.budget().share(0.5))

        child.servicer.on_count = fail
        parent.servicer.on_count = ask
        error = await failure(parent.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS))
    assert error.reason == "COLLECTION_NOT_FOUND"
    assert error.metadata == {"collection": "collections/x"}


async def test_a_service_that_is_not_there(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.server.stop()
        error = await bare_failure(served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS))
        typed = from_rpc_error(error, service="generator")
    assert typed.reason == "SERVICE_UNAVAILABLE"
    assert typed.retryable


async def test_the_deadline_of_the_caller_ends_the_handler(served: Served) -> None:
    ended = asyncio.Event()

    async def count(_: Any, __: Any) -> Any:
        assert 0 < context.remaining() < 2
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    served.servicer.on_count = count
    error = await bare_failure(served.stub.CountTokens(COUNT_REQUEST, timeout=1))
    assert from_rpc_error(error, service="generator").reason == "DEADLINE_EXCEEDED"
    await asyncio.wait_for(ended.wait(), SECONDS)


async def test_no_call_gets_more_time_than_the_cap(tmp_path: Path) -> None:
    async with serving(tmp_path, spec={"max_deadline": 0.05}) as served:

        async def count(_: Any, __: Any) -> Any:
            await asyncio.Event().wait()

        served.servicer.on_count = count
        error = await failure(served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS))
    assert error.reason == "DEADLINE_EXCEEDED"


def _rpc_lines(logs: list[Any]) -> list[Any]:
    return [entry for entry in logs if entry["event"] == "rpc"]


async def test_a_caller_that_leaves_while_the_handler_waits(served: Served) -> None:
    ended: list[str] = []

    async def stream(_: Any, __: Any) -> AsyncIterator[Any]:
        try:
            yield text("first")
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    served.servicer.on_stream = stream
    with capture_logs() as logs:
        call = served.stub.StreamGenerate(STREAM_REQUEST, timeout=SECONDS)
        assert (await call.read()).text.text == "first"
        call.cancel()
        await until(lambda: _rpc_lines(logs))
    assert ended == ["cancelled"]
    assert _rpc_lines(logs)[0]["code"] == "CANCELLED"
    assert served.server._admission.live == 0


async def test_a_caller_that_leaves_without_reading(served: Served) -> None:
    """The handler is held up in a write then. Its clean-up runs at once, in its own task, with its own context."""
    tasks: list[Any] = []
    blocked = asyncio.Event()

    async def stream(_: Any, __: Any) -> AsyncIterator[Any]:
        tasks.append(asyncio.current_task())
        sent = 0
        try:
            while True:
                sent += 1
                if sent == 3:
                    blocked.set()
                yield text("x" * 16_000)
        finally:
            tasks.append(asyncio.current_task())
            assert context.principal() == VISITOR

    served.servicer.on_stream = stream
    with capture_logs() as logs:
        call = served.stub.StreamGenerate(STREAM_REQUEST, timeout=SECONDS)
        await asyncio.wait_for(blocked.wait(), SECONDS)
        call.cancel()
        await until(lambda: _rpc_lines(logs))
    assert len(tasks) == 2
    assert tasks[0] is tasks[1]
    assert _rpc_lines(logs)[0]["code"] == "CANCELLED"
    assert served.server._admission.live == 0


async def test_a_handler_that_ends_a_stream_early_leaves_the_requests_unread(served: Served) -> None:
    async def check(requests: Any, _: Any) -> AsyncIterator[Any]:
        await anext(requests)
        return
        yield

    served.servicer.on_check = check
    call = served.guard.CheckOutput(timeout=SECONDS)
    await call.write(guard_pb2.CheckOutputRequest(text=guard_pb2.DraftText(text="a")))
    assert await collect(call) == []
    assert await call.code() is grpc.StatusCode.OK
