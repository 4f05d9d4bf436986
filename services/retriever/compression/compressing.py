"""Compresses the results of a search to a budget of tokens of the mesh's tokenizer. Knows no gRPC message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.retriever.compression.header import context_header
from services.retriever.compression.selecting import Passage, Sentence, select, sentence_ranges
from services.retriever.models import Models
from services.retriever.results import Compressed, CompressedResult, Result
from services.retriever.rewriting.lexicon import Lexicon
from services.retriever.rewriting.plan import Plan

LEAST_BYTES = 2
"""Bytes of a token, at least on average: 4 in English text, 2.5 where it is full of numbers and names."""


@dataclass(frozen=True, slots=True)
class Compressing:
    """Makes results shorter."""

    models: Models

    async def compress(
        self, results: Sequence[Result], plan: Plan, lexicon: Lexicon, max_tokens: int
    ) -> tuple[list[Result], list[Result], Compressed]:
        """What is left, what was dropped, and what became of each.

        Raises:
            MeshError: MODEL_UNAVAILABLE, DEADLINE_EXCEEDED, from the tokenizer.
        """
        headers = [context_header(result.chunk) for result in results]
        ranges = [sentence_ranges(result.chunk.text) for result in results]
        pieces = list(headers)
        for result, found in zip(results, ranges, strict=True):
            data = result.chunk.text.encode()
            pieces += [data[start:end].decode() for start, end in found]
        counts = iter([len(offsets) for offsets in await self.models.tokenize(pieces)])
        header_tokens = [next(counts) for _ in headers]
        passages = [
            Passage(result.chunk.text, [Sentence(start, end, next(counts)) for start, end in found], tokens)
            for result, found, tokens in zip(results, ranges, header_tokens, strict=True)
        ]
        asked = {term: weight for query in plan.queries for term, weight in query.terms}
        kept = select(passages, asked, lexicon.rarity, max_tokens, plan.language)
        left = [_cut(results[one.passage], one.spans) for one in kept]
        told = [CompressedResult(headers[one.passage], passages[one.passage].tokens, one.tokens) for one in kept]
        stays = {one.passage for one in kept}
        dropped = [result for number, result in enumerate(results) if number not in stays]
        before = sum(passage.tokens for passage in passages)
        return left, dropped, Compressed(max_tokens, before, sum(one.tokens for one in kept), told, len(dropped))


def _cut(result: Result, spans: Sequence[tuple[int, int]]) -> Result:
    """The result with the bytes `spans` of its text alone."""
    data = result.chunk.text.encode()
    text = b"".join(data[start:end] for start, end in spans).decode()
    return replace(result, kept=tuple((result.chunk.start + start, result.chunk.start + end) for start, end in spans), text=text)


def fitting(results: Sequence[Result], max_tokens: int) -> tuple[list[Result], list[Result]]:
    """As many whole results as surely fit, and the rest: where nobody counts tokens."""
    left: list[Result] = []
    size = 0
    for number, result in enumerate(results):
        size += (len(result.chunk.text.encode()) + len(context_header(result.chunk).encode())) // LEAST_BYTES
        if size > max_tokens:
            return left, list(results[number:])
        left.append(result)
    return left, []
