"""Asks the retriever of a mesh how its store of documents is: starts its own `check-truth`. Knows nothing of tables."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from cli.parts.run_state import VarLayout
from cli.parts.truth_move import TRUTH, retriever_environment

_SECONDS = 60.0
"""Longer than a server that does not answer is waited for."""
_SHOWN = 300


@dataclass(frozen=True)
class TruthCheck:
    """What was found out about one thing."""

    name: str
    good: bool
    detail: str
    remedy: str


def check_truth(folders: VarLayout) -> list[TruthCheck]:
    """How the PostgreSQL is that the settings of a mesh name; nothing where its documents are in a file."""
    environment = retriever_environment(folders)
    if environment.get(TRUTH, "sqlite") == "sqlite":
        return []
    argv = (sys.executable, "-m", "services.retriever", "check-truth")
    try:
        done = subprocess.run(argv, cwd=folders.root, env=environment, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return [TruthCheck("postgresql", False, f"nothing was found out in {_SECONDS:g} s", "look at its log")]
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        return [TruthCheck("postgresql", False, said[:_SHOWN], "see docs/operations.md, Documents in PostgreSQL")]
    # Between them may be what is meant for a log.
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"name"')]
    return [TruthCheck(**json.loads(line)) for line in lines]
