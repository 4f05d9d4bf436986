"""Reads `tools.toml`: programs with their version and source. Knows how to find a program; not what it is for."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from cli.settings import REPOSITORY

TOOLS_FILE = REPOSITORY / "tools.toml"
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_PROGRAM_SECONDS = 20.0


class Tool(BaseModel):
    """One program."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    needed: Literal["run", "make", "user"]
    """Who needs it: `ragmesh up`, a maker, or a command that a person may never call."""
    version: Annotated[str, Field(pattern=r"^\d+(\.\d+)*$")]
    source: str
    licence: str
    remedy: str
    versions: tuple[str, ...] = ()
    distribution: str | None = None
    distribution_version: str | None = None
    find: str | None = None
    check: tuple[str, ...] = ()
    minimum: bool = False
    """Whether a newer version does as well."""
    folder: str | None = None


def read_tools() -> dict[str, Tool]:
    """Name -> tool, as `tools.toml` has them."""
    with TOOLS_FILE.open("rb") as file:
        return {name: Tool.model_validate(entry) for name, entry in tomllib.load(file)["tools"].items()}


def find_program(name: str) -> Path | None:
    """The program beside this Python, in .tools, or on PATH."""
    for folder in (Path(sys.executable).parent, REPOSITORY / ".tools", REPOSITORY / ".tools" / name):
        if (folder / name).is_file():
            return folder / name
    found = shutil.which(name)
    return Path(found) if found else None


def program_version(program: Path, arguments: tuple[str, ...]) -> str:
    """The version that a program prints.

    Raises:
        OSError: it does not run, or prints none.
    """
    try:
        done = subprocess.run((str(program), *arguments), capture_output=True, text=True, timeout=_PROGRAM_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{program} does not answer") from error
    said = done.stdout + done.stderr
    found = _VERSION.search(said)
    if done.returncode != 0 or found is None:
        raise OSError(f"{program} does not run: {said.strip().splitlines()[-1] if said.strip() else done.returncode}")
    return found[0]


def installed_version(distribution: str) -> str | None:
    """Version of an installed Python distribution; None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def fits(found: str, wanted: str, *, minimum: bool) -> bool:
    """Whether a version is the wanted one, or with `minimum` not older."""
    have, want = (tuple(int(part) for part in text.split(".")) for text in (found, wanted))
    return have >= want if minimum else have[: len(want)] == want
