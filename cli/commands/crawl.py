"""`ragmesh crawl https://...`: registers a site, feed or git repository as a source and reads it; later only what changed."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

import orjson
import typer
from google.protobuf.duration_pb2 import Duration
from ragmesh.retriever.v1 import document_service_pb2 as pb

from cli.commands.ingest import check_collection
from cli.commands.options import VAR, Collection, Target, Var
from cli.connection import find_target
from cli.console import err, out
from cli.documents.importing import DEFAULT_COLLECTION
from cli.documents.refreshing import Report, print_report, refresh, report_of
from cli.errors import EXIT_FAILED, EXIT_USAGE, CliError
from services.retriever.sources.naming import document_id
from services.retriever.sources.urls import normal


class Kind(StrEnum):
    """How a source is read."""

    SITE = "site"
    FEED = "feed"
    GIT = "git"


_KINDS = {Kind.SITE: pb.SOURCE_KIND_SITE, Kind.FEED: pb.SOURCE_KIND_FEED, Kind.GIT: pb.SOURCE_KIND_GIT}


def crawl(
    url: Annotated[str, typer.Argument(help="First page of the site, the feed, or the repository.")],
    collection: Collection = DEFAULT_COLLECTION,
    kind: Annotated[Kind, typer.Option(help="How to read it.")] = Kind.SITE,
    name: Annotated[str, typer.Option(help="Name of the source.", show_default="the host's name")] = "",
    max_pages: Annotated[int, typer.Option(min=1, max=100_000, help="Most pages or files to read.")] = 1_000,
    max_depth: Annotated[int, typer.Option(min=0, max=64, help="How many links away from the first page.")] = 8,
    max_minutes: Annotated[float, typer.Option(min=0.02, max=1440, help="Longest time that it may take.")] = 30.0,
    delay: Annotated[float, typer.Option(min=0, max=60, help="Seconds between two requests to a host.")] = 0.5,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Let it lie in a private network or on this machine.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Remove its documents even where it suddenly has nothing.")] = False,
    make_secret: Annotated[bool, typer.Option("--make-secret", help="Print a new secret for signed refreshes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what became of everything as JSON.")] = False,
    target: Target = None,
    var: Var = VAR,
) -> None:
    """Read a web site, feed or git repository. Called again it asks only for what changed, and removes what is gone."""
    check_collection(collection)
    address = normal(url if "://" in url else f"https://{url}")
    if not address:
        raise CliError(f"{url!r} is no address of the web.", "Write it as https://example.org.", exit_code=EXIT_USAGE)
    source = pb.Source(
        name=f"{collection}/sources/{document_id((name or _name(address, kind)).encode())}",
        kind=_KINDS[kind],
        uri=address,
        allow_private=allow_private,
        limits=pb.SourceLimits(
            max_pages=max_pages, max_depth=max_depth, max_time=_duration(max_minutes * 60), delay=_duration(delay)
        ),
    )
    report = asyncio.run(refresh(find_target(target, var), source, force=force, make_secret=make_secret))
    _print(report, as_json)
    if report.failures or not report.finished.complete:
        raise typer.Exit(EXIT_FAILED)


def _print(report: Report, as_json: bool) -> None:
    if as_json:
        out.print(orjson.dumps(report_of(report), option=orjson.OPT_INDENT_2).decode(), markup=False)
    else:
        print_report(report)
    if report.secret:
        err.print("The secret of the source, shown this once:")
        out.print(report.secret, markup=False)


def _name(url: str, kind: Kind) -> str:
    parts = urlsplit(url)
    host = (parts.hostname or "").removeprefix("www.")
    # A site is its host; of feeds and repositories a host has many.
    return host if kind is Kind.SITE else f"{host}{parts.path.removesuffix('.git').rstrip('/')}"


def _duration(seconds: float) -> Duration:
    made = Duration()
    made.FromNanoseconds(int(seconds * 1e9))
    return made
