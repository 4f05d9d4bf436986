"""`ragmesh eval goldens`: asks the golden questions of a running mesh and says how many were answered rightly, and how fast."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import grpc
import typer
from google.protobuf.json_format import MessageToDict
from ragmesh.evidence.v1.model_pb2 import ModelRef
from ragmesh.gateway.v1 import gateway_service_pb2 as gateway
from ragmesh.gateway.v1 import turn_pb2 as turn
from ragmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from rich.table import Table

from cli.commands.options import VAR, Target, Var
from cli.connection import find_target, in_words, open_channel
from cli.console import document_progress, err, out
from cli.evaluation.run import keep
from cli.goldens import Golden, Judgement, golden_files, golden_run, judge, read_goldens, summary
from cli.settings import REPOSITORY
from services.mesh.errors import from_rpc_error

if TYPE_CHECKING:
    from ragmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceAsyncStub

_SECONDS = 60.0
_COLUMNS = ("right_outcome", "shows_answer", "shows_quote", "cites_document")


def goldens(
    files: Annotated[list[Path] | None, typer.Argument(help="Files of golden questions.", show_default="goldens/*.jsonl")] = None,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Questions asked at a time; latency is honest with 1.")] = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file, each question beside it.")
    ] = None,
    target: Target = None,
    var: Var = VAR,
) -> None:
    """Ask the golden questions, and count right answers, right citations and seconds."""
    asked = read_goldens(files or golden_files(REPOSITORY / "goldens"))
    began = time.monotonic()
    answered = asyncio.run(_ask_all(asked, find_target(target, var), parallel))
    judgements = [judgement for judgement, _ in answered]
    _print(judgements)
    models = {model.name: MessageToDict(model, preserving_proto_field_name=True) for _, found in answered for model in found}
    config = {"files": sorted({golden.id[0] for golden in asked}), "parallel": parallel}
    run = golden_run(judgements, config, list(models.values()), time.monotonic() - began)
    err.print(f"Kept in {keep(run, json_file, var)}", markup=False)


async def _ask_all(goldens: list[Golden], target: str, parallel: int) -> list[tuple[Judgement, list[ModelRef]]]:
    room = asyncio.Semaphore(parallel)
    with document_progress() as progress:
        task = progress.add_task("Asking", total=len(goldens), rate="")
        async with open_channel(target) as channel:
            stub = GatewayServiceStub(channel)

            async def one(golden: Golden) -> tuple[Judgement, list[ModelRef]]:
                async with room:
                    answered = await ask_golden(stub, golden)
                    progress.advance(task)
                    return answered

            failed: BaseException | None = None
            try:
                async with asyncio.TaskGroup() as group:
                    asked = [group.create_task(one(golden)) for golden in goldens]
            except* grpc.aio.AioRpcError as errors:
                failed = errors.exceptions[0]
            if isinstance(failed, grpc.aio.AioRpcError):
                # Out here: before Python 3.11.4 what is raised in there is wrapped in a group.
                raise in_words(from_rpc_error(failed, service="gateway"), target) from failed
    return [task.result() for task in asked]


async def ask_golden(stub: GatewayServiceAsyncStub, golden: Golden) -> tuple[Judgement, list[ModelRef]]:
    """Asks one question in a conversation of its own, which is deleted afterwards; the judged turn, and which models took part.

    Raises:
        grpc.aio.AioRpcError: the gateway did not take the question.
    """
    begun = time.perf_counter()
    first: float | None = None
    name = ""
    async for response in stub.StreamAnswer(gateway.StreamAnswerRequest(question=golden.question), timeout=_SECONDS):
        name = response.event.turn
        if first is None and response.event.WhichOneof("event") == "delta":
            first = time.perf_counter() - begun
    total = time.perf_counter() - begun
    answer = await stub.GetTurn(gateway.GetTurnRequest(name=name), timeout=_SECONDS)
    conversation = name.partition("/turns/")[0]
    await stub.DeleteConversation(gateway.DeleteConversationRequest(name=conversation), timeout=_SECONDS)
    found: turn.Turn = answer.turn
    return judge(golden, found, first, total), list(found.finished.models)


def _print(judgements: list[Judgement]) -> None:
    table = Table("Questions", "Count", "Right outcome", "Shows the answer", "Shows the sentence", "Cites the document", box=None)
    found = summary(judgements)
    for kind, marks in found.items():
        if kind != "latency":
            shares = (marks[column] for column in _COLUMNS)
            cells = ["" if share is None else f"{share:.1%}" for share in shares]
            table.add_row(kind.replace("_", " "), str(marks["count"]), *cells)
    out.print(table)
    times = {name: f"{(seconds or 0.0) * 1000:.0f} ms" for name, seconds in found["latency"].items()}
    out.print(
        f"First text p50 {times['first_text_p50']}, p95 {times['first_text_p95']}; "
        f"whole turn p50 {times['total_p50']}, p95 {times['total_p95']}."
    )
