"""What the processes of a mesh hold in memory over the course of an import, and at rest after it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from bench.usage import process_names
from cli.parts.supervisor import Mesh

Memory: TypeAlias = dict[str, tuple[float, float]]
"""MiB of each process, and of all: of its own, and pages of files."""

_SHOWN_EVERY = 10_000
"""Chunks between two of the looks that are kept."""
_REST_SECONDS = 900.0
"""Longest time that the index may take until it is optimised after an import."""
_OPTIMISING = "edge_optimise"
_LOOK_SECONDS = 2.0
_REST_LOOKS = 5
"""So many times in a row nothing is optimised: the retriever looks every five seconds whether it is due."""


@dataclass
class Sample:
    """A look at the mesh while it imports."""

    seconds: float
    chunks: int
    memory: Memory


async def rested(mesh: Mesh) -> None:
    """Returns once nothing of the index is optimised any more, or after the longest time."""
    quiet, until = 0, time.monotonic() + _REST_SECONDS
    while quiet < _REST_LOOKS and time.monotonic() < until:
        names = await asyncio.to_thread(process_names, mesh)
        quiet = 0 if any(_OPTIMISING in name for name in names) else quiet + 1
        await asyncio.sleep(_LOOK_SECONDS)


def summary(samples: Sequence[Sample], end: Memory, rest: Memory) -> dict[str, Any]:
    """MiB at a quarter of the import, at its end and at rest, of everything; what each process grew by; the course of both."""
    middle = next((one for one in samples if one.chunks >= samples[-1].chunks / 4), samples[-1])
    grown = {
        name: tuple(now - then for now, then in zip(end[name], was, strict=True))
        for name, was in middle.memory.items()
        if name in end
    }
    shown, after = [], 0
    for one in samples:
        if one.chunks >= after:
            after = one.chunks - one.chunks % _SHOWN_EVERY + _SHOWN_EVERY
            shown.append(
                {
                    "chunks": one.chunks,
                    "seconds": round(one.seconds),
                    "mib": {k: [round(v) for v in pair] for k, pair in one.memory.items()},
                }
            )
    return {
        "quarter_chunks": middle.chunks,
        "quarter_mib": middle.memory["total"],
        "end_chunks": samples[-1].chunks,
        "end_mib": end["total"],
        "rest_mib": rest["total"],
        "grown_mib": dict(sorted(grown.items(), key=lambda pair: -abs(pair[1][0]))),
        "course": shown,
    }


def doubled(course: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first look, and those where there were twice as many chunks as at the one before."""
    found = course[:1]
    for one in course[1:]:
        if one["chunks"] >= 2 * found[-1]["chunks"] or one is course[-1]:
            found.append(one)
    return found
