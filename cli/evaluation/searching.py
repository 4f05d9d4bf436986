"""`ragmesh eval search`: questions that need rewriting, searched with every way of it, with none, and without each that acted.

A row names the documents that answer it, by their path below the corpus. Knows no rule of rewriting.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import grpc
from pydantic import Field
from ragmesh.evidence.v1 import search_pb2, text_pb2
from ragmesh.retriever.v1 import retriever_service_pb2 as pb
from ragmesh.retriever.v1.retriever_service_pb2_grpc import RetrieverServiceStub

from cli.connection import in_words
from cli.errors import CliError
from cli.evaluation.corpus import COLLECTION, load, retriever_channel
from cli.evaluation.figures import reciprocal_rank
from cli.evaluation.reader import at_once
from cli.evaluation.retrieval import collapse
from cli.evaluation.rows import Asked, CorpusRow, Id, Ids, Row, read_rows
from cli.evaluation.run import EvalRun, Item
from cli.evaluation.served import RETRIEVAL_PARTS, model_refs, throwaway_mesh
from services.mesh.errors import from_rpc_error

if TYPE_CHECKING:
    from ragmesh.retriever.v1.retriever_service_pb2_grpc import RetrieverServiceAsyncStub

LIMIT = 50
KINDS = {name.removeprefix("REWRITE_KIND_").lower(): value for name, value in search_pb2.RewriteKind.items() if value}
REWRITTEN, PLAIN = "rewritten", "plain"
_MOST_FILES = 10_000
_SECONDS = 30.0
_ROLES = {"user": text_pb2.ROLE_USER, "assistant": text_pb2.ROLE_ASSISTANT}


class Said(Row):
    """Something that was said before."""

    role: Literal["user", "assistant"]
    text: Asked


class SearchRow(Row):
    """A question in its conversation, and the documents that answer it."""

    id: Id
    query: Asked
    relevant: Annotated[Ids, Field(min_length=1)]
    history: Annotated[tuple[Said, ...], Field(max_length=20)] = ()
    subject: Annotated[str, Field(max_length=256)] = ""
    language: Annotated[str, Field(max_length=35)] = ""
    every: bool = False
    """Whether all of the documents are needed."""


def read_corpus(folder: Path) -> list[CorpusRow]:
    """The Markdown files below a folder, each by its path.

    Raises:
        CliError: there is none, or one cannot be read.
    """
    paths = sorted(folder.rglob("*.md"))[:_MOST_FILES]
    if not paths:
        raise CliError(f"{folder} holds no .md file.", "Name a folder of Markdown files.")
    try:
        return [CorpusRow(id=path.relative_to(folder).as_posix(), text=path.read_text(encoding="utf-8")) for path in paths]
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"A file of {folder} cannot be read: {error}.", "Name a folder of Markdown files.") from error


def marks_of(ranked: Sequence[str], row: SearchRow, ms: float, changed: bool) -> dict[str, Any]:
    """Marks of one search: ranks count documents, each at the place of its best passage."""
    places = {name: rank for rank, name in enumerate(ranked, 1)}
    ranks = [places.get(name, math.inf) for name in row.relevant]
    best = min(ranks)
    found = [int(rank) for rank in ranks if rank < math.inf]
    return {
        "r1": float(best <= 1),
        "r5": float(best <= 5),
        "mrr10": reciprocal_rank(found, 10),
        "all5": float(max(ranks) <= 5) if row.every else None,
        "changed": float(changed),
        "ms": ms,
    }


class Searching:
    """Searches each row in several ways.

    Args:
        ids: document name -> path of the corpus.
    """

    def __init__(self, stub: RetrieverServiceAsyncStub, ids: dict[str, str]) -> None:
        self._stub = stub
        self._ids = ids

    async def item(self, name: str, row: SearchRow) -> Item:
        """One row in every way that tells something."""
        full, marks = await self._search(row, ())
        acted = sorted({change.kind for change in full.searched.rewrites})
        ways = {f"{name}: {REWRITTEN}": marks}
        ways[f"{name}: {PLAIN}"] = (await self._search(row, tuple(KINDS.values())))[1] if acted else marks
        for kind, value in KINDS.items():
            ways[f"{name}: no {kind}"] = (await self._search(row, (value,)))[1] if value in acted else marks
        seen = {"searched": full.searched.text, "first": self._ranked(full)[:3], "relevant": list(row.relevant)}
        return Item(row.id, ways, seen)

    async def _search(self, row: SearchRow, without: Sequence[int]) -> tuple[pb.SearchResponse, dict[str, Any]]:
        request = pb.SearchRequest(
            collection=COLLECTION,
            query=row.query,
            history=[text_pb2.Utterance(role=_ROLES[said.role], text=said.text) for said in row.history],
            subject=row.subject,
            language=row.language,
            limit=LIMIT,
            without=without,  # type: ignore[arg-type]  # values of the enum
        )
        began = time.perf_counter()
        found = await self._stub.Search(request, timeout=_SECONDS)
        ms = (time.perf_counter() - began) * 1000
        return found, marks_of(self._ranked(found), row, ms, bool(found.searched.rewrites))

    def _ranked(self, found: pb.SearchResponse) -> list[str]:
        return collapse([item.document for item in found.evidence], self._ids)


def rows_of(items: Sequence[Item]) -> tuple[str, ...]:
    """Rows of the table: of each file all rewriting, none, and each way that changed a figure when it was left out."""
    names = list(dict.fromkeys(name for item in items for name in item.marks))

    def tells(name: str) -> bool:
        file, _, way = name.partition(": ")
        if not way.startswith("no "):
            return True
        return any(item.marks[name] is not item.marks[f"{file}: {REWRITTEN}"] for item in items if name in item.marks)

    return tuple(name for name in names if tells(name))


async def run_searching(corpus: Path, files: Sequence[Path]) -> EvalRun:
    """
    Raises:
        CliError: a file is none, the mesh cannot start, or a search failed.
    """
    documents = read_corpus(corpus)
    asked = [(file.stem, row) for file in files for row in read_rows(file, SearchRow)]
    began = time.monotonic()
    async with throwaway_mesh(RETRIEVAL_PARTS) as mesh, retriever_channel(mesh) as channel:
        models = await model_refs(mesh.triton_target)
        loaded = await load(channel, documents, media_type="text/markdown")
        searching = Searching(RetrieverServiceStub(channel), loaded.ids)
        try:
            items = await at_once(asked, lambda one: searching.item(*one), "Searching", width=1)
        except grpc.aio.AioRpcError as error:
            raise in_words(from_rpc_error(error, service="retriever"), "the evaluation's mesh") from error
    config = {
        "corpus": corpus.name, "files": [file.name for file in files], "documents": len(documents), "chunks": loaded.chunks,
        "limit": LIMIT,
    }  # fmt: skip
    return EvalRun("search", rows_of(items), config, models, items, time.monotonic() - began)
