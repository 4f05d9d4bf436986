"""`ragmesh search "..."`: what a search finds, and with `--explain` why: each step's places, what was rewritten, what was dropped.

It asks the retriever itself, over the sockets of the mesh that runs here: no turn, no guard, no answer.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import grpc
import typer
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from ragmesh.evidence.v1 import search_pb2, text_pb2
from ragmesh.identity.v1.principal_pb2 import Principal
from ragmesh.retriever.v1 import retriever_service_pb2 as pb
from ragmesh.retriever.v1.retriever_service_pb2_grpc import RetrieverServiceStub
from rich.markup import escape
from rich.table import Table

from cli.commands.options import VAR, Var
from cli.connection import in_words, running_mesh
from cli.console import out
from cli.documents.importing import DEFAULT_COLLECTION
from cli.errors import EXIT_USAGE, CliError
from services.mesh import context
from services.mesh.channel import open_channel
from services.mesh.errors import from_rpc_error
from services.mesh.settings import MeshSettings

if TYPE_CHECKING:
    from ragmesh.retriever.v1.retriever_service_pb2_grpc import RetrieverServiceAsyncStub

KINDS = {name.removeprefix("REWRITE_KIND_").lower(): value for name, value in search_pb2.RewriteKind.items() if value}
_LOCAL = Principal(tenant="default", subject="users/local", roles=["visitor", "editor"])
_EXCERPT = 72
_SHOWN = 30


def search(
    question: Annotated[str, typer.Argument(help="What to search for.")],
    explain: Annotated[bool, typer.Option("--explain", help="Say what each step thought of each passage.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")] = False,
    after: Annotated[list[str] | None, typer.Option(help="A question asked before, oldest first; may be repeated.")] = None,
    subject: Annotated[str, typer.Option(help="What the assistant is about.")] = "",
    language: Annotated[str, typer.Option(help="Language of the question, for example de.", show_default="found out")] = "",
    without: Annotated[
        list[str] | None, typer.Option(help=f"A way of rewriting to leave out: {', '.join(KINDS)}; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Passages to find.")] = 8,
    max_tokens: Annotated[int, typer.Option(min=0, max=65536, help="Token budget of the passages; 0: they stay whole.")] = 0,
    reformulate: Annotated[bool, typer.Option("--reformulate", help="As a turn searches after a search that fell short.")] = False,
    collection: Annotated[str, typer.Option(help="Where to search.")] = DEFAULT_COLLECTION,
    timeout: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds that it may take.")] = 10.0,
    var: Var = VAR,
) -> None:
    """Search the documents, without asking for an answer."""
    unknown = [name for name in without or () if name not in KINDS]
    if unknown:
        raise CliError(f"{unknown[0]!r} is no way of rewriting.", f"There are: {', '.join(KINDS)}.", exit_code=EXIT_USAGE)
    request = pb.SearchRequest(
        collection=collection,
        query=question,
        history=[text_pb2.Utterance(role=text_pb2.ROLE_USER, text=text) for text in after or () if text.strip()],
        language=language,
        limit=limit,
        subject=subject,
        without=[KINDS[name] for name in without or ()],
        max_tokens=max_tokens or None,
        reformulate=reformulate,
    )
    answer = asyncio.run(_ask(request, explain, timeout, running_mesh(var).run_dir))
    if as_json:
        out.out(MessageToJson(answer, preserving_proto_field_name=True), highlight=False)
    elif isinstance(answer, pb.ExplainResponse):
        _print_explained(answer)
    elif isinstance(answer, pb.SearchResponse):
        _print_found(answer)


async def _ask(request: pb.SearchRequest, explained: bool, seconds: float, run_dir: Path) -> Message:
    settings = MeshSettings(_env_file=None, run_dir=run_dir)  # type: ignore[call-arg]  # pydantic-settings' own
    with context.as_principal(_LOCAL):
        async with open_channel(settings, "retriever", caller="gateway") as channel:
            stub: RetrieverServiceAsyncStub = RetrieverServiceStub(channel)
            try:
                if explained:
                    return await stub.Explain(pb.ExplainRequest(search=request), timeout=seconds)
                return await stub.Search(request, timeout=seconds)
            except grpc.aio.AioRpcError as error:
                raise in_words(from_rpc_error(error, service="retriever"), "this folder") from error


def _print_found(answer: pb.SearchResponse) -> None:
    _print_searched(answer)
    table = Table("", "Document", "Section", "Passage", box=None)
    for number, one in enumerate(answer.evidence, 1):
        title, *section = one.title_path or [one.source_uri]
        table.add_row(str(number), *(escape(words) for words in (title, " > ".join(section), _excerpt(one.text))))
    out.print(table)


def _print_explained(answer: pb.ExplainResponse) -> None:
    _print_searched(answer.response)
    for query in answer.queries:
        terms = ", ".join(f"{term.term} {term.weight:.2g}" for term in query.terms)
        out.print(f"Terms: {terms}", markup=False)
    fusion = pb.FusionMethod.Name(answer.fusion).removeprefix("FUSION_METHOD_").lower()
    out.print(
        f"Fusion by {'scores' if fusion == 'relative' else 'ranks'}, dense {answer.dense_weight:.2f}; "
        f"{answer.rerank_depth} passages read.",
        markup=False,
    )
    table = Table("", "Dense", "BM25", "Fused", "Reranked", "Passage", "", box=None)
    for one in answer.candidates[:_SHOWN]:
        places = (_place(one, name) for name in ("dense", "sparse", "fused", "reranked"))
        dropped = pb.DropReason.Name(one.dropped).removeprefix("DROP_REASON_").replace("_", " ").lower() if one.dropped else ""
        words = escape(f"{' > '.join(one.title_path)}: {_excerpt(one.excerpt)}")
        table.add_row(str(one.rank) if one.HasField("rank") else "", *places, words, dropped)
    out.print(table)
    if len(answer.candidates) > _SHOWN:
        out.print(f"and {len(answer.candidates) - _SHOWN} more; --json shows all.")


def _print_searched(answer: pb.SearchResponse) -> None:
    for change in answer.searched.rewrites:
        kind = search_pb2.RewriteKind.Name(change.kind).removeprefix("REWRITE_KIND_").lower()
        weight = f" ({change.weight:.2g})" if change.HasField("weight") else ""
        out.print(f"{kind}: {change.before or 'the question'} -> {change.after}{weight}", markup=False)
    if answer.searched.rewrites:
        out.print(f"Searched: {answer.searched.text}", markup=False)
    for skipped in answer.degraded:
        leg = pb.SearchLeg.Name(skipped.leg).removeprefix("SEARCH_LEG_").lower()
        out.print(f"Left out: {leg} ({skipped.reason})", markup=False)
    judged = answer.sufficiency
    if judged.decision:
        decision = search_pb2.SufficiencyDecision.Name(judged.decision).removeprefix("SUFFICIENCY_DECISION_")
        chance = f", {judged.probability:.0%}" if judged.HasField("probability") else ""
        lacking = f"; missing: {'; '.join(judged.missing)}" if judged.missing else ""
        out.print(f"Sufficiency: {decision.replace('_', ' ').lower()}{chance}{lacking}", markup=False)
    if answer.HasField("compression"):
        made = answer.compression
        out.print(f"Compressed from {made.tokens_before} to {made.tokens_after} tokens of {made.max_tokens}.", markup=False)


def _place(one: pb.ExplainedCandidate, name: str) -> str:
    if not one.HasField(name):  # type: ignore[arg-type]  # one of four names
        return "-"
    place: pb.Place = getattr(one, name)
    return f"{place.rank}  {place.score:.3g}"


def _excerpt(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _EXCERPT else f"{flat[:_EXCERPT]}…"
