"""What a search brings: the chunks with the marks they got on the way, and what it says about itself. Plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from services.retriever.records import FoundChunk


class Leg(Enum):
    """A part of a search."""

    DENSE = "dense"
    SPARSE = "sparse"
    INDEX = "index"
    RERANK = "rerank"


@dataclass(frozen=True, slots=True)
class Result:
    """A chunk with what the legs and the reranker thought of it."""

    chunk: FoundChunk
    dense: float | None
    sparse: float | None
    fused: float
    rerank: float | None = None


@dataclass(slots=True)
class Found:
    """What a search brought."""

    results: list[Result] = field(default_factory=list)
    documents: int = 0
    """Documents that were searched."""
    epoch: int = 0
    degraded: dict[Leg, str] = field(default_factory=dict)
    """Leg that was left out -> ErrorReason."""
    seconds: dict[Leg, float] = field(default_factory=dict)
