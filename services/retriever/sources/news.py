"""What reading a source brings, piece by piece. Plain values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from services.retriever.canonical import CanonicalText
from services.retriever.truth_sources import Known

Parse: TypeAlias = Callable[[bytes, str, str], Awaitable[CanonicalText]]
"""(bytes, media type, where they come from) -> canonical text; raises DocumentRejected."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far reading goes."""

    pages: int = 1_000
    depth: int = 8
    page_bytes: int = 10 * 1024 * 1024
    seconds: float = 1_800.0
    delay: float = 0.5


@dataclass(frozen=True, slots=True)
class Page:
    """A document that is there."""

    known: Known
    """What is known of it now; its `document` is the one to store it as."""
    uri: str
    """Where a reader finds it."""
    parsed: CanonicalText | None
    """What it says; None where it did not change."""
    media_type: str = ""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Passed:
    """An address that is no document of its own: forbidden, without text, or the same as another."""

    known: Known | None
    uri: str


@dataclass(frozen=True, slots=True)
class Unread:
    """A document that could not be read, and is not taken for gone."""

    uri: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Reading ended before its end."""

    limit: str
    """Field of SourceLimits."""


News: TypeAlias = Page | Passed | Unread | Ended
