"""Which sentences of the passages stay within a budget. Pure: tokens are counted by whoever asks.

A sentence scores by how much of the question's weight it holds (inverse document frequency of the collection), and by the place of
its passage; a sentence beside a good one scores half of that, for an answer seldom stands in one sentence alone. The best by score
for a token stay, in the order of the text. Headers are paid for as well; a passage without room for a sentence is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from services.retriever.sentences import text_sentences
from services.retriever.terms import terms

MAX_SPANS = 64
"""Of one passage: what Evidence holds."""
_NEIGHBOUR = 0.5
_FIRST = 0.15
"""A passage's first sentence says what it is about."""
_PLACE = 0.5
"""How much less the last passage counts than the first, at most."""
_LENGTH = 0.7
"""Power of the number of tokens that a score is divided by: below 1, so that short sentences do not crowd out full ones."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """Bytes [start, end) of a passage's text, white space behind it included, and its tokens."""

    start: int
    end: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Passage:
    """What is to be compressed."""

    text: str
    sentences: Sequence[Sentence]
    header_tokens: int

    @property
    def tokens(self) -> int:
        """Of header and text."""
        return self.header_tokens + sum(one.tokens for one in self.sentences)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is left of a passage."""

    passage: int
    """Its place among those that came in."""
    spans: tuple[tuple[int, int], ...]
    """Bytes of its text, in order, joined where they touch."""
    tokens: int
    """With the header."""


def sentence_ranges(text: str) -> list[tuple[int, int]]:
    """Bytes [start, end) of the sentences of a passage, together all of it: white space belongs to the sentence before it."""
    starts = [start for start, _ in text_sentences(text)]
    if not starts:
        return [(0, len(text.encode()))]
    bounds = [0, *starts[1:], len(text.encode())]
    return list(pairwise(bounds))


def select(
    passages: Sequence[Passage], asked: Mapping[str, float], weight: Callable[[str], float], budget: int, language: str
) -> list[Kept]:
    """What stays of the passages, best first, within `budget` tokens.

    Args:
        asked: terms of the question, each with its weight.
        weight: inverse document frequency of a term.
    """
    if sum(passage.tokens for passage in passages) <= budget:
        return [Kept(number, ((0, len(passage.text.encode())),), passage.tokens) for number, passage in enumerate(passages)]
    total = sum(share * weight(term) for term, share in asked.items()) or 1.0
    candidates: list[tuple[float, int, int]] = []
    for number, passage in enumerate(passages):
        data = passage.text.encode()
        held = [set(terms(data[one.start : one.end].decode(), language)) for one in passage.sentences]
        own = [sum(share * weight(term) for term, share in asked.items() if term in found) / total for found in held]
        near = [max(own[max(0, at - 1) : at + 2]) * _NEIGHBOUR for at in range(len(own))]
        place = 1 - _PLACE * number / max(1, len(passages) - 1)
        for at, one in enumerate(passage.sentences):
            score = (max(own[at], near[at]) + own[at] * _NEIGHBOUR + (_FIRST if at == 0 else 0.0) + 1e-3) * place
            candidates.append((score / math.pow(max(1, one.tokens), _LENGTH), number, at))
    candidates.sort(key=lambda item: (-item[0], item[1], item[2]))
    chosen: dict[int, set[int]] = {}
    left = budget
    for _, number, at in candidates:
        passage = passages[number]
        cost = passage.sentences[at].tokens + (0 if number in chosen else passage.header_tokens)
        if cost <= left and _fits(chosen.get(number, set()), at):
            chosen.setdefault(number, set()).add(at)
            left -= cost
    return [_kept(number, passages[number], sorted(chosen[number])) for number in sorted(chosen)]


def _fits(chosen: set[int], at: int) -> bool:
    return at - 1 in chosen or at + 1 in chosen or len(chosen) < MAX_SPANS


def _kept(number: int, passage: Passage, chosen: Sequence[int]) -> Kept:
    spans: list[tuple[int, int]] = []
    for at in chosen:
        one = passage.sentences[at]
        if spans and spans[-1][1] == one.start:
            spans[-1] = (spans[-1][0], one.end)
        else:
            spans.append((one.start, one.end))
    # Nothing follows the last one: its white space is not needed.
    data = passage.text.encode()
    start, end = spans[-1]
    spans[-1] = (start, start + len(data[start:end].rstrip()))
    return Kept(number, tuple(spans), passage.header_tokens + sum(passage.sentences[at].tokens for at in chosen))
