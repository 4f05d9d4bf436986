"""`ragmesh up` that is told to end while turns run: they end in order, it ends well, and nothing is left."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import grpc
import psutil
import pytest
from ragmesh.gateway.v1 import gateway_service_pb2 as g
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub

from cli.parts.run_state import layout, read_state
from cli.settings import REPOSITORY
from tests.faults.asking import QUESTION

UP = (sys.executable, "-c", "from cli.main import main; main()", "up", "--port", "0", "--grpc-port", "0", "--var")
SECONDS = 90.0
TURNS = 4


def with_descendants(pid: int) -> list[psutil.Process]:
    """A process and all that it started."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


async def ends(streams: Sequence[grpc.aio.UnaryStreamCall[g.StreamAnswerRequest, g.StreamAnswerResponse]]) -> list[t.TurnFinished]:
    """How each turn ended, as its reader heard it."""

    async def end(stream: grpc.aio.UnaryStreamCall[g.StreamAnswerRequest, g.StreamAnswerResponse]) -> t.TurnFinished:
        events = [response.event async for response in stream]
        assert events[-1].HasField("finished")
        return events[-1].finished

    return await asyncio.gather(*(end(stream) for stream in streams))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_turns_that_run_are_seen_to_their_end_and_nothing_is_left(tmp_path: Path, number: signal.Signals) -> None:
    pipe = asyncio.subprocess.PIPE
    up = await asyncio.create_subprocess_exec(*UP, str(tmp_path), stdout=pipe, stderr=pipe, cwd=REPOSITORY)
    assert up.stdout is not None
    assert up.stderr is not None
    try:
        async with asyncio.timeout(SECONDS):
            while "Ctrl-C" not in (line := (await up.stdout.readline()).decode()):
                assert line, "it ended before it was ready"
        state = read_state(layout(tmp_path))
        assert state is not None
        running = with_descendants(up.pid)
        assert {process.pid for process in running} > {process.pid for process in state.processes.values()}
        async with grpc.aio.insecure_channel(state.grpc_target) as channel:
            stub = GatewayServiceStub(channel)
            streams = [stub.StreamAnswer(g.StreamAnswerRequest(question=QUESTION), timeout=SECONDS) for _ in range(TURNS)]
            for stream in streams:
                assert (await anext(aiter(stream))).event.HasField("started")
            up.send_signal(number)
            for finished in await ends(streams):
                interrupted = finished.outcome == t.OUTCOME_FAILED and finished.failure.reason == "TURN_INTERRUPTED"
                assert finished.outcome == t.OUTCOME_ANSWERED or interrupted
        async with asyncio.timeout(SECONDS):
            assert await up.wait() == 0
            said = (await up.stderr.read()).decode()
    finally:
        if up.returncode is None:
            up.kill()
            await up.wait()
    _, alive = psutil.wait_procs(running, timeout=5)
    assert alive == []
    imported, *rest = said.splitlines()
    assert " stored, " in imported
    assert rest == ["Stopped."]
    assert read_state(layout(tmp_path)) is None
