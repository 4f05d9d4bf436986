"""What it takes to start one program. Knows no program in particular."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LaunchSpec:
    """A program to start, without a shell; made by the `launch_spec` function of the part's own file."""

    argv: tuple[str, ...]
    env: dict[str, str]
    """The whole environment, not an addition to one."""
    cwd: Path
