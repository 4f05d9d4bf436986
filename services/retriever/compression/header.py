"""The line above a passage for a reader that sees its text alone: source, section, date. No part of the evidence's text."""

from __future__ import annotations

from datetime import UTC, datetime

from services.retriever.records import FoundChunk

MAX_CHARS = 300
_NANOSECONDS = 1_000_000_000


def context_header(chunk: FoundChunk) -> str:
    """`[What cannabidiol is > A short history | pharmacology/what-cannabidiol-is.md | 2026-11-21]`."""
    date = datetime.fromtimestamp(chunk.version_time / _NANOSECONDS, UTC).date().isoformat() if chunk.version_time else ""
    parts = [" > ".join(chunk.title_path), chunk.source_uri, date]
    line = " | ".join(" ".join(part.split()) for part in parts if part)
    return f"[{line[:MAX_CHARS]}]"
