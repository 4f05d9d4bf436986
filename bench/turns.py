"""Turns through the whole mesh: time to the first released text, what the mesh adds, many streams at once, memory, starts.

Starts its own mesh on a folder of its own; asks the answerable golden questions of the sample corpus over gRPC through Envoy.
`python -m bench.run` calls it and writes the figures down.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil
from ragmesh.gateway.v1 import gateway_service_pb2 as g
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub

from bench.otlp_receiver import OtlpReceiver, ReceivedSpan, union_millis
from cli.documents.sample import load_sample
from cli.goldens import Golden, judge, percentile, read_goldens, summary
from cli.parts.supervisor import Mesh
from cli.parts.telemetry_state import write_telemetry

GOLDENS = Path(__file__).resolve().parents[1] / "goldens"
_STREAMS = 32
_ROUNDS = 3
_TURN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One turn as its reader saw it. Seconds; None where there was no text."""

    first_text: float | None
    end: float
    outcome: t.Outcome.ValueType
    trace_id: str


def goldens() -> list[Golden]:
    """All golden questions of the sample corpus."""
    return read_goldens(sorted(GOLDENS.glob("*.jsonl")))


def questions() -> list[str]:
    """The answerable ones."""
    return [golden.question for golden in goldens() if golden.kind == "answerable"]


async def ask(stub: GatewayServiceStub, question: str) -> Asked:
    """Ask and time one turn."""
    began = time.perf_counter()
    first = None
    finished = t.TurnFinished()
    async for response in stub.StreamAnswer(g.StreamAnswerRequest(question=question), timeout=_TURN_SECONDS):
        if response.event.HasField("delta") and first is None:
            first = time.perf_counter() - began
        if response.event.HasField("finished"):
            finished = response.event.finished
    return Asked(first, time.perf_counter() - began, finished.outcome, finished.trace_id)


async def _warm_up(stub: GatewayServiceStub) -> None:
    # The last ones: what was read for a question is kept for some fifty more, and what is measured is asked for the first time.
    for question in questions()[-10:]:
        await ask(stub, question)


async def one_stream(stub: GatewayServiceStub) -> dict[str, float]:
    """All questions, one after the other."""
    await _warm_up(stub)
    asked = [await ask(stub, question) for question in questions()]
    first = [turn.first_text for turn in asked if turn.first_text is not None]
    return {
        "n": len(asked),
        "first_text_p50_ms": percentile(first, 0.5) * 1000,
        "first_text_p95_ms": percentile(first, 0.95) * 1000,
        "turn_p50_ms": percentile([turn.end for turn in asked], 0.5) * 1000,
    }


async def many_streams(stub: GatewayServiceStub) -> dict[str, float]:
    """32 questions at a time."""
    pool = questions()
    asked: list[Asked] = []
    began = time.perf_counter()
    for round_number in range(_ROUNDS):
        batch = [pool[(round_number * _STREAMS + i) % len(pool)] for i in range(_STREAMS)]
        asked += await asyncio.gather(*(ask(stub, question) for question in batch))
    seconds = time.perf_counter() - began
    first = [turn.first_text for turn in asked if turn.first_text is not None]
    return {
        "streams": _STREAMS,
        "n": len(asked),
        "errors": sum(turn.outcome in (t.OUTCOME_UNSPECIFIED, t.OUTCOME_FAILED) for turn in asked),
        "turns_per_second": len(asked) / seconds,
        "first_text_p50_ms": percentile(first, 0.5) * 1000,
        "first_text_p95_ms": percentile(first, 0.95) * 1000,
    }


def _added(trace: list[ReceivedSpan]) -> dict[str, float] | None:
    roots = [span for span in trace if span.service == "envoy" and not span.parent_id]
    inference = [span for span in trace if span.name.startswith("triton ")]
    stores = [span for span in trace if "ragmesh.store" in span.attributes]
    if len(roots) != 1 or not inference or not stores:
        return None
    root = roots[0]
    return {"root_ms": root.millis, "mesh_ms": root.millis - union_millis(inference + stores, root.start, root.end)}


async def mesh_adds(mesh: Mesh, stub: GatewayServiceStub, receiver: OtlpReceiver) -> dict[str, float]:
    """Root span of a turn less the union of its Triton and store spans, one stream, every turn sampled."""
    await trace_from_now_on(mesh, receiver.endpoint)
    await _warm_up(stub)
    wanted = {(await ask(stub, question)).trace_id for question in questions()}
    for service in ("envoy", "triton", "retriever"):
        await receiver.wait(lambda spans, name=service: wanted <= {s.trace_id for s in spans if s.service == name}, 30)
    found = [added for trace_id in wanted if (added := _added(receiver.trace(trace_id))) is not None]
    return {
        "n": len(found),
        "root_p50_ms": statistics.median(item["root_ms"] for item in found),
        "mesh_adds_p50_ms": statistics.median(item["mesh_ms"] for item in found),
    }


async def trace_from_now_on(mesh: Mesh, endpoint: str) -> None:
    """Turn sampling to 100 %, as `ragmesh traces` does."""
    write_telemetry(mesh.run_dir, endpoint)
    await mesh.envoy_admin.set_sampling(100)


async def quality(stub: GatewayServiceStub) -> dict[str, Any]:
    """All golden questions, judged as `ragmesh eval goldens` judges them: shares by kind of question."""
    judged = []
    for golden in goldens():
        answer = await stub.Answer(g.AnswerRequest(question=golden.question), timeout=_TURN_SECONDS)
        judged.append(judge(golden, answer.turn, None, 0.0))
    return {kind: shares for kind, shares in summary(judged).items() if kind != "latency"}


def memory(mesh: Mesh) -> dict[str, float]:
    """Proportional set size of every process of the mesh, MiB."""
    processes: dict[int, psutil.Process] = {}
    for pid in mesh.pids.values():
        parent = psutil.Process(pid)
        processes.update({process.pid: process for process in [parent, *parent.children(recursive=True)]})
    sizes = {process.pid: process.memory_full_info().pss / 2**20 for process in processes.values()}
    named = {f"{name}_mib": sizes[pid] for name, pid in mesh.pids.items()}
    return {"total_mib": sum(sizes.values()), "processes": len(sizes), **named}


async def run() -> dict[str, Any]:
    """All of it, on a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="ragmesh-bench-") as folder:
        figures: dict[str, Any] = {}
        async with OtlpReceiver() as receiver:
            settings: dict[str, Any] = {"public_port": 0, "local_port": 0, "otlp_endpoint": receiver.endpoint, "trace_ratio": 0.0}
            began = time.perf_counter()
            async with Mesh.start(Path(folder), **settings) as mesh:
                await load_sample(mesh.grpc_target)
                figures["first_start_s"] = time.perf_counter() - began
            began = time.perf_counter()
            async with Mesh.start(Path(folder), **settings) as mesh:
                await load_sample(mesh.grpc_target)
                figures["second_start_s"] = time.perf_counter() - began
                figures |= await measure(mesh, receiver)
    return figures


async def measure(mesh: Mesh, receiver: OtlpReceiver) -> dict[str, Any]:
    """Everything that is measured on a mesh that runs."""
    figures: dict[str, Any] = {}
    async with grpc.aio.insecure_channel(mesh.grpc_target) as channel:
        stub = GatewayServiceStub(channel)
        figures["idle_memory"] = memory(mesh)
        figures["one_stream"] = await one_stream(stub)
        figures["many_streams"] = await many_streams(stub)
        figures["mesh"] = await mesh_adds(mesh, stub, receiver)
        figures["goldens"] = await quality(stub)
        figures["memory_after_load"] = memory(mesh)
    return figures
