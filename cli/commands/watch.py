"""`ragmesh watch DIR`: keeps the stored documents of a folder as the folder is, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer

from cli.commands.ingest import Prefix, check_collection, look, source_name
from cli.commands.options import VAR, Collection, Target, Var
from cli.connection import find_target
from cli.console import err, print_error
from cli.documents.importing import DEFAULT_COLLECTION, Fate, Hashes
from cli.documents.session import import_folder, print_tally
from cli.documents.watching import follow


def watch(
    folder: Annotated[Path, typer.Argument(help="Folder of documents, looked through to its depth.")],
    collection: Collection = DEFAULT_COLLECTION,
    prefix: Prefix = "",
    prune: Annotated[bool, typer.Option(help="Remove stored documents of this folder whose files go away.")] = True,
    target: Target = None,
    var: Var = VAR,
) -> None:
    """Store the documents of a folder, and follow its changes. What happened while nobody watched is caught up with."""
    check_collection(collection)
    look(folder, prefix, empty=True)
    asyncio.run(_watch(folder, prefix, source_name(collection, folder, prefix), prune, target, var))


async def _watch(folder: Path, prefix: str, source: str, prune: bool, target: str | None, var: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    hashes = Hashes()
    told = False

    async def bring() -> None:
        nonlocal told
        content = await asyncio.to_thread(look, folder, prefix, empty=True)
        address = find_target(target, var)
        tally = await import_folder(address, source, content, f"Storing {folder.name or folder}", prune=prune, hashes=hashes)
        if not told or tally.removed or tally.counts[Fate.STORED] or tally.counts[Fate.REJECTED]:
            print_tally(tally, content)
        if not told:
            err.print(f"Watching {folder}. Ctrl-C ends it.", markup=False)
        told = True

    await follow(folder, bring, print_error, stop)
