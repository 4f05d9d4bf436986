"""Copies the documents of a mesh that does not run to PostgreSQL: starts the retriever's own `move-truth`.

Knows nothing of tables.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cli.console import out
from cli.errors import EXIT_FAILED, CliError
from cli.parts import run_state
from cli.settings import REPOSITORY, env_file, file_environment

TRUTH = "RAGMESH_RETRIEVER_TRUTH"
DSN = "RAGMESH_RETRIEVER_POSTGRES__DSN"
PASSWORD_FILE = "RAGMESH_RETRIEVER_POSTGRES__PASSWORD_FILE"  # noqa: S105  # the name of a setting


def retriever_environment(folders: run_state.VarLayout) -> dict[str, str]:
    """What the retriever of a mesh is told, for one of its commands."""
    return {
        **os.environ,
        **file_environment(folders.root),
        "RAGMESH_RUN_DIR": str(folders.run_dir),
        "RAGMESH_DATA_DIR": str(folders.data_dir),
        "PYTHONPATH": os.pathsep.join(str(REPOSITORY / part) for part in ("", "gen/python", "deploy/triton/lib")),
    }


def to_postgresql(var: Path, dsn: str | None, password_file: Path | None) -> None:
    """Copies all tables and compares them; the settings of the mesh name the server where the arguments do not.

    Raises:
        CliError: there is nothing to copy, a mesh runs, the server cannot be used, or the copy is not the same.
    """
    folders = run_state.layout(var)
    if not (folders.data_dir / "retriever" / "truth.db").is_file():
        raise CliError(f"Nothing is stored in {folders.data_dir}.", "Point --var at the folder of the mesh.", exit_code=EXIT_FAILED)
    folders.make()
    environment = retriever_environment(folders)
    if dsn is not None:
        environment[DSN] = dsn
    if password_file is not None:
        environment[PASSWORD_FILE] = str(password_file.resolve())
    # Its words are for the person who called: progress and the reason of a failure come from it.
    argv = (sys.executable, "-m", "services.retriever", "move-truth")
    if subprocess.run(argv, cwd=folders.run_dir, env=environment).returncode:
        raise CliError("The documents were not moved; the SQLite file is as it was.", "See the lines above.", exit_code=EXIT_FAILED)
    out.print(
        "\nEvery table is the same in both. From the next start on PostgreSQL is used with these lines in", env_file(folders.root)
    )
    for name in (TRUTH, DSN, PASSWORD_FILE):
        if value := {**environment, TRUTH: "postgresql"}.get(name):
            out.print(f"  {name}={value}", markup=False, highlight=False, soft_wrap=True)
