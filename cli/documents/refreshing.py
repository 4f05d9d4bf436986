"""A refresh that a person watches: registers a source, has it read, counts what comes. Knows how it looks; reads nothing itself."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import grpc
from ragmesh.retriever.v1 import document_service_pb2 as pb
from ragmesh.retriever.v1.document_service_pb2_grpc import DocumentServiceStub

from cli.connection import in_words, open_channel
from cli.console import document_progress, err
from cli.documents.session import MAX_SHOWN_FAILURES
from cli.errors import EXIT_UNAVAILABLE, CliError
from services.mesh.errors import from_rpc_error

_REGISTER_SECONDS = 30.0


@dataclass
class Report:
    """What became of a source."""

    source: str
    finished: pb.RefreshFinished = field(default_factory=pb.RefreshFinished)
    failures: list[pb.RefreshFailure] = field(default_factory=list)
    secret: str = ""


async def refresh(target: str, source: pb.Source, *, force: bool = False, make_secret: bool = False) -> Report:
    """Registers a source and has it read.

    Raises:
        CliError: it cannot be read at all, or there is no mesh.
    """
    report = Report(source.name)
    async with open_channel(target) as channel:
        stub = DocumentServiceStub(channel)
        try:
            request = pb.RegisterSourceRequest(source=source, make_secret=make_secret)
            report.secret = (await stub.RegisterSource(request, timeout=_REGISTER_SECONDS)).secret
            with document_progress() as progress:
                task = progress.add_task(f"Reading {source.uri}", total=None, rate="")
                begun = time.monotonic()
                async for response in stub.Refresh(pb.RefreshRequest(name=source.name, force=force)):
                    match response.WhichOneof("event"):
                        case "failure":
                            report.failures.append(response.failure)
                        case "progress":
                            now = response.progress
                            rate = now.read_count / max(time.monotonic() - begun, 1e-3)
                            words = f"{rate:.1f}/s, {now.chunk_count} passages, {now.failed_count} failed"
                            total = now.read_count + now.waiting_count
                            progress.update(task, completed=now.read_count, total=total, rate=words)
                        case "finished":
                            report.finished = response.finished
        except grpc.aio.AioRpcError as error:
            raise in_words(from_rpc_error(error, service="retriever"), target) from error
    if not report.finished.HasField("progress"):
        raise CliError(
            "The retriever ended the refresh early.", "Call it again: what was stored stays.", exit_code=EXIT_UNAVAILABLE
        )
    return report


def print_report(report: Report) -> None:
    """Counts in one line, then each failure with its reason."""
    finished, counts = report.finished, report.finished.progress
    words = [
        f"{counts.stored_count} stored",
        f"{counts.unchanged_count} unchanged",
        f"{finished.removed_count} removed",
        f"{finished.skipped_count} passed over",
        f"{counts.failed_count} failed",
    ]
    err.print(f"{', '.join(words)} in {finished.elapsed.ToTimedelta().total_seconds():.1f} s.")
    err.print(f"The store has {finished.document_count} documents of it, in {finished.chunk_count} passages.")
    if not finished.complete:
        err.print(f"It was not read to its end ({finished.limit}), so that nothing was removed.", markup=False)
    for failure in report.failures[:MAX_SHOWN_FAILURES]:
        err.print(f"  {failure.uri}: {failure.message} [{failure.reason}]", markup=False)
    if len(report.failures) > MAX_SHOWN_FAILURES:
        err.print(f"... and {len(report.failures) - MAX_SHOWN_FAILURES} more.")


def report_of(report: Report) -> dict[str, Any]:
    """The same for a program."""
    finished, counts = report.finished, report.finished.progress
    return {
        "source": report.source,
        "read": counts.read_count,
        "stored": counts.stored_count,
        "unchanged": counts.unchanged_count,
        "removed": finished.removed_count,
        "passed_over": finished.skipped_count,
        "failed": counts.failed_count,
        "documents": finished.document_count,
        "passages": finished.chunk_count,
        "index_epoch": finished.index_epoch,
        "complete": finished.complete,
        "limit": finished.limit,
        "seconds": round(finished.elapsed.ToTimedelta().total_seconds(), 3),
        "failures": [{"uri": one.uri, "reason": one.reason, "message": one.message} for one in report.failures],
    }
