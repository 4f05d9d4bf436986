"""What a search brings: the chunks with the marks they got on the way, and what it says about itself. Plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from services.retriever.records import FoundChunk
from services.retriever.rewriting.lexicon import Lexicon
from services.retriever.rewriting.plan import Plan

if TYPE_CHECKING:
    from services.retriever.sufficiency.judging import Judged


class Leg(Enum):
    """A part of a search."""

    DENSE = "dense"
    SPARSE = "sparse"
    INDEX = "index"
    RERANK = "rerank"
    COMPRESSION = "compression"


@dataclass(frozen=True, slots=True)
class Result:
    """A chunk with what the legs and the reranker thought of it."""

    chunk: FoundChunk
    dense: float | None
    sparse: float | None
    fused: float
    rerank: float | None = None
    query: int = 0
    """The query that found it, from 0."""
    kept: tuple[tuple[int, int], ...] = ()
    """What compression left of it: bytes of the canonical text, in order; empty: all of it."""
    text: str = ""
    """The text of `kept`."""
    quoted: tuple[tuple[int, int], ...] = ()
    """Sentences that give orders to an assistant, in a passage that may be found all the same: bytes of the canonical text."""


@dataclass(frozen=True, slots=True)
class Trace:
    """How one query went: what each step left, best first. Of what the reader may read alone."""

    dense: Mapping[int, float]
    """Chunk id -> score."""
    sparse: Mapping[int, float]
    fused: Sequence[Result]
    ranked: Sequence[Result]
    """After reranking; as fused where there was none. Those that were reranked have a score and come first."""


@dataclass(frozen=True, slots=True)
class CompressedResult:
    """What became of one result."""

    header: str
    """Its context header."""
    tokens_before: int
    """With the header."""
    tokens_after: int


@dataclass(frozen=True, slots=True)
class Compressed:
    """What a token budget did to the results."""

    max_tokens: int
    tokens_before: int
    tokens_after: int
    results: Sequence[CompressedResult]
    """In the order of what is left."""
    dropped: int


@dataclass(slots=True)
class Found:
    """What a search brought."""

    plan: Plan
    lexicon: Lexicon
    """By which it was planned."""
    results: list[Result] = field(default_factory=list)
    documents: int = 0
    """Documents that were searched."""
    epoch: int = 0
    degraded: dict[Leg, str] = field(default_factory=dict)
    """Leg that was left out -> ErrorReason."""
    seconds: dict[Leg, float] = field(default_factory=dict)
    traces: list[Trace] = field(default_factory=list)
    """One for each query that was searched for, in the order of the plan's queries."""
    cut: list[Result] = field(default_factory=list)
    """What would have been in the answer if the token budget had had room."""
    compressed: Compressed | None = None
    judged: Judged | None = None
    """Whether the results hold the answer."""
    repeated: set[int] = field(default_factory=set)
    """Ids of chunks that say what a chunk of another document says before them."""
    held_back: set[int] = field(default_factory=set)
    """Ids of chunks that the guard held back when they were found."""
