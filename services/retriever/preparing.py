"""What a search found becomes what a turn reads: judged for sufficiency, within its token budget. Runs after everything that may
take a passage away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from services.mesh import telemetry
from services.mesh.deadline import Budget
from services.mesh.errors import MeshError
from services.retriever.compression.compressing import Compressing, fitting
from services.retriever.compression.header import context_header
from services.retriever.legs import timed
from services.retriever.results import Compressed, Found, Leg, Result
from services.retriever.sufficiency.judging import judge, shipped

_COMPRESSION_SHARE = 0.5
_COMPRESSION_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Preparing:
    """The last stage of a search."""

    compressing: Compressing
    chunk_tokens: int
    """Longest chunk that an import makes."""

    async def prepare(self, found: Found, max_tokens: int | None, budget: Budget) -> None:
        """Changes `found`.

        Args:
            max_tokens: most tokens of the passages and their headers; None: they stay whole.
        """
        with telemetry.span("retriever.sufficiency"):
            found.judged = judge(found, shipped())
        if max_tokens is None or not found.results or self._surely_fits(found.results, max_tokens):
            return
        limit = max_tokens

        async def compress() -> tuple[list[Result], list[Result], Compressed]:
            async with asyncio.timeout(budget.share(_COMPRESSION_SHARE, cap=_COMPRESSION_SECONDS)):
                return await self.compressing.compress(found.results, found.plan, found.lexicon, limit)

        made = await timed(found, Leg.COMPRESSION, compress)
        if isinstance(made, MeshError):
            found.results, found.cut = fitting(found.results, limit)
        else:
            found.results, found.cut, found.compressed = made

    def _surely_fits(self, results: Sequence[Result], max_tokens: int) -> bool:
        """Whether counting can be spared: no chunk is longer than imports make them, no header has more tokens than bytes."""
        headers = sum(len(context_header(result.chunk).encode()) for result in results)
        texts = sum(min(self.chunk_tokens, len(result.chunk.text.encode())) for result in results)
        return headers + texts <= max_tokens
