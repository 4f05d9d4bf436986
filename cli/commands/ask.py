"""`ragmesh ask "..."`: asks one question and shows the turn while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import Annotated

import grpc
import typer
from google.protobuf.json_format import MessageToJson
from ragmesh.gateway.v1 import gateway_service_pb2 as gateway
from ragmesh.gateway.v1 import turn_pb2 as turn
from ragmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub

from cli.answers import AnswerPrinter
from cli.commands.options import VAR, Target, Var
from cli.connection import find_target, in_words, open_channel
from cli.console import out
from cli.errors import EXIT_FAILED, EXIT_USAGE, CliError
from services.mesh.errors import from_rpc_error

MAX_QUESTION_BYTES = 8192


def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    conversation: Annotated[str, typer.Option(help="Go on with conversations/{c}.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, max=110, help="Seconds that the answer may take.")] = 60.0,
    target: Target = None,
    var: Var = VAR,
) -> None:
    """Ask a question and read the answer with its sources."""
    if not question.strip():
        raise CliError("The question is empty.", 'Write it in quotes: ragmesh ask "..."', exit_code=EXIT_USAGE)
    if len(question.encode("utf8", "surrogateescape")) > MAX_QUESTION_BYTES:
        raise CliError(f"The question is longer than {MAX_QUESTION_BYTES} bytes.", "Ask a shorter one.", exit_code=EXIT_USAGE)
    try:
        request = gateway.StreamAnswerRequest(question=question, conversation=conversation, request_id=str(uuid.uuid4()))
    except ValueError as error:  # a command line may hold bytes that are no text
        raise CliError("The question is not valid UTF-8 text.", "Write it again.", exit_code=EXIT_USAGE) from error
    asyncio.run(_ask(request, find_target(target, var), timeout, as_json))


async def _ask(request: gateway.StreamAnswerRequest, target: str, seconds: float, as_json: bool) -> None:
    printer = AnswerPrinter()
    running = ""
    async with open_channel(target) as channel:
        stub = GatewayServiceStub(channel)
        call = stub.StreamAnswer(request, timeout=seconds)
        try:
            async for response in call:
                running = response.event.turn
                if as_json:
                    print_json(response.event, printer)
                else:
                    printer.event(response.event)
        except grpc.aio.AioRpcError as error:
            raise in_words(from_rpc_error(error, service="gateway"), target) from error
        except asyncio.CancelledError:
            call.cancel()
            if running:  # leaving the stream would not end the turn
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await stub.StopAnswer(gateway.StopAnswerRequest(turn=running), timeout=2.0)
            raise
    _judge(printer.finished)


def print_json(event: turn.TurnEvent, printer: AnswerPrinter) -> None:
    """One event as one line, and its end remembered."""
    out.out(MessageToJson(event, indent=None, preserving_proto_field_name=True), highlight=False)
    if event.WhichOneof("event") == "finished":
        printer.finished = event.finished


def _judge(finished: turn.TurnFinished | None) -> None:
    if finished is None:
        raise CliError("The connection was lost before the end of the answer.", "Ask again.")
    if finished.outcome == turn.OUTCOME_FAILED:
        again = "Ask again." if finished.failure.retryable else ""
        raise CliError(f"{finished.failure.message} [{finished.failure.reason}]", again, exit_code=EXIT_FAILED)
