"""What of a chunk is indexed: its titles count as much as its words, for a heading often says what a paragraph does not repeat."""

from __future__ import annotations

from collections.abc import Sequence

from services.retriever.terms import terms


def embedded_text(title_path: Sequence[str], text: str) -> str:
    """What the embedder reads of a chunk."""
    return f"{' > '.join(title_path)}\n{text}"


def index_terms(topic: str, title_path: Sequence[str], text: str) -> tuple[str, ...]:
    """What BM25 counts of a chunk."""
    return tuple(terms("\n".join((topic, *title_path, text))))
