"""Embeds what a mesh has stored with the embedder that is to be served: starts Triton alone, and the retriever's own `rebuild`.

Knows nothing of documents or vectors.
"""

from __future__ import annotations

import asyncio
import os
import sys

from cli.errors import EXIT_FAILED, CliError
from cli.parts.logs import last_words
from cli.parts.run_state import VarLayout
from cli.parts.supervisor import Mesh
from cli.settings import REPOSITORY, file_environment


def has_documents(folders: VarLayout) -> bool:
    """Whether a retriever ever stored anything here."""
    folder = folders.data_dir / "retriever"
    return folder.is_dir() and any(folder.iterdir())


def retriever_environment(folders: VarLayout) -> dict[str, str]:
    """Environment of a command of the retriever that works on what this mesh has stored."""
    return {
        **os.environ,
        **file_environment(folders.root),
        "RAGMESH_RUN_DIR": str(folders.run_dir),
        "RAGMESH_DATA_DIR": str(folders.data_dir),
        "PYTHONPATH": os.pathsep.join(str(REPOSITORY / part) for part in ("", "gen/python", "deploy/triton/lib")),
    }


async def reindex(folders: VarLayout) -> None:
    """Brings vectors and index to the served embedder.

    Raises:
        CliError: a mesh runs, Triton does not start, or the rebuild failed.
    """
    async with Mesh.start(folders.root, parts=("triton",), public_port=0, local_port=0) as mesh:
        environment = {**retriever_environment(folders), "RAGMESH_TRITON": mesh.triton_target}
        log = folders.log_dir / "rebuild.log"
        with log.open("wb") as output:
            argv = (sys.executable, "-m", "services.retriever", "rebuild")
            child = await asyncio.create_subprocess_exec(*argv, cwd=folders.run_dir, env=environment, stdout=output, stderr=output)
            try:
                status = await child.wait()
            except BaseException:
                child.terminate()
                await child.wait()
                raise
    if status:
        words = last_words(log, lines=1)[:300]
        raise CliError(f"The stored documents could not be embedded anew: {words}", f"See {log}.", exit_code=EXIT_FAILED)
