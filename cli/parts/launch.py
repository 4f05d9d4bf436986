"""What it takes to start one program. Knows no program in particular."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class LaunchSpec:
    """How a part is started; made by the `launch_spec` function of the part's own file."""

    argv: tuple[str, ...]
    """The program and its arguments."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment of whoever starts it."""
    cwd: Path | None = None
    """Where it runs; None: where it is started from."""
