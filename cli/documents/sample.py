"""The sample documents of the assistant ChatCBD, and how they get into a mesh. Knows nothing of what they say."""

from __future__ import annotations

import asyncio

from cli.documents.folder import FolderContent, read_folder
from cli.documents.importing import DEFAULT_COLLECTION
from cli.documents.session import Tally, import_files
from cli.settings import REPOSITORY

SAMPLE_CORPUS = REPOSITORY / "corpus" / "chatcbd"


async def load_sample(target: str) -> tuple[Tally, FolderContent]:
    """Stores the sample documents through the gRPC address of a mesh; what is stored already is passed over.

    Raises:
        CliError: the import as a whole could not go on.
        OSError: the folder cannot be read.
    """
    content = await asyncio.to_thread(read_folder, SAMPLE_CORPUS, SAMPLE_CORPUS.name)
    # As `ragmesh ingest corpus/chatcbd` would say, so that neither stores again what the other stored.
    source = f"{DEFAULT_COLLECTION}/sources/{SAMPLE_CORPUS.name}"
    return await import_files(target, DEFAULT_COLLECTION, content.files, "Loading the sample documents", source=source), content
