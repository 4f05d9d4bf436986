"""What the guard holds back of the documents, asked of the retriever that runs here: listing and release."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from ragmesh.guard.v1.guard_service_pb2 import Category
from ragmesh.identity.v1.principal_pb2 import Principal
from ragmesh.retriever.v1 import quarantine_service_pb2 as pb
from ragmesh.retriever.v1.quarantine_service_pb2_grpc import QuarantineServiceStub
from rich.markup import escape

from cli.connection import in_words
from cli.console import out
from services.mesh import context
from services.mesh.channel import open_channel
from services.mesh.errors import from_rpc_error
from services.mesh.settings import MeshSettings

if TYPE_CHECKING:
    from ragmesh.retriever.v1.quarantine_service_pb2_grpc import QuarantineServiceAsyncStub

_LOCAL = Principal(tenant="default", subject="users/local", roles=["visitor", "editor"])
_SECONDS = 10.0
_EXCERPT = 200


async def listed(run_dir: Path, collection: str) -> list[pb.QuarantinedPassage]:
    """Everything that is held back of a collection.

    Raises:
        CliError: the retriever refuses or does not answer.
    """
    found: list[pb.QuarantinedPassage] = []
    request = pb.ListQuarantinedPassagesRequest(parent=collection)
    with context.as_principal(_LOCAL):
        async with open_channel(_settings(run_dir), "retriever", caller="gateway") as channel:
            stub: QuarantineServiceAsyncStub = QuarantineServiceStub(channel)
            try:
                while True:
                    page = await stub.ListQuarantinedPassages(request, timeout=_SECONDS)
                    found += page.passages
                    if not page.next_page_token:
                        return found
                    request.page_token = page.next_page_token
            except grpc.aio.AioRpcError as error:
                raise in_words(from_rpc_error(error, service="retriever"), "this folder") from error


async def released(run_dir: Path, name: str) -> bool:
    """Let a passage go; whether it can be found now.

    Raises:
        CliError: no such passage is held back, or the retriever does not answer.
    """
    with context.as_principal(_LOCAL):
        async with open_channel(_settings(run_dir), "retriever", caller="gateway") as channel:
            stub: QuarantineServiceAsyncStub = QuarantineServiceStub(channel)
            try:
                return (await stub.ReleasePassage(pb.ReleasePassageRequest(name=name), timeout=_SECONDS)).found
            except grpc.aio.AioRpcError as error:
                raise in_words(from_rpc_error(error, service="retriever"), "this folder") from error


def show(passages: list[pb.QuarantinedPassage]) -> None:
    """Print what is held back for a person."""
    for passage in passages:
        reason = Category.Name(passage.category).removeprefix("CATEGORY_").lower()
        rules = ", ".join(passage.rules) or "-"
        out.print(f"[bold]{escape(passage.name)}[/bold]")
        where = " > ".join(passage.title_path)
        stored = "" if passage.stored else "; its document is not stored: import it again after a release"
        since = passage.create_time.ToDatetime().isoformat(timespec="seconds")
        out.print(f"  {reason} ({rules}), since {since}Z{f', in {where}' if where else ''}{stored}", markup=False)
        text = " ".join(passage.text.split())
        out.print(f"  {text if len(text) <= _EXCERPT else text[: _EXCERPT - 1] + '…'}", markup=False)


def _settings(run_dir: Path) -> MeshSettings:
    return MeshSettings(_env_file=None, run_dir=run_dir)  # type: ignore[call-arg]  # pydantic-settings' own
