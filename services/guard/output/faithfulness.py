"""Whether the evidence carries what was composed: claims cut into parts, laid beside windows of evidence, judged in one batch.

    a part is supported      where one window supports it
    a part is contradicted   where one window contradicts it and none supports it
    a claim is VERIFIED      where all its parts are supported, CONTRADICTED where one is contradicted, else UNVERIFIED

What stands in the evidence letter for letter needs no model. No model, no time, another language than the model's: UNVERIFIED,
never more. An answer that comes after its time is kept and can be had once, at the end. Knows neither drafts nor segments.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence, Set
from dataclasses import dataclass

from ragmesh.evidence.v1 import evidence_pb2
from ragmesh.evidence.v1.model_pb2 import ModelRef

from services.guard.output import verifier
from services.guard.output.claims import parts, sentences
from services.guard.output.verifier import Probabilities, VerifierModel
from services.guard.output.windows import Windows
from services.mesh.errors import MeshError

WINDOWS = 2
"""That a part is laid beside. A third finds no more support and costs as much as the first (see bench/RESULTS.md)."""
MAX_FAILURES = 3
"""Calls that may fail in one draft before the model is no longer asked."""
LANGUAGE_NOT_SERVED = "LANGUAGE_NOT_SUPPORTED"
_UNKNOWN = "und"
_LATE_FACTOR = 4.0
"""A call may go on for so many times the time of a claim; then its answer is of no use to anybody."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """Something said, and what it is held against."""

    key: Hashable
    text: str
    windows: Windows
    sentences: Set[str]
    """Whole sentences of what it cites: said again letter for letter they need no model."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came out about one claim."""

    verdict: evidence_pb2.ClaimVerdict.ValueType
    support: evidence_pb2.Support.ValueType
    supported: float | None = None
    """Probability of support of its weakest part; None where no model was asked."""
    contradicted: float | None = None
    """Probability of contradiction of its worst part."""
    why: str = ""
    """Why nothing could be said: the reason of the failure."""


COPY = Judgement(evidence_pb2.CLAIM_VERDICT_VERIFIED, evidence_pb2.SUPPORT_FULL, 1.0, 0.0)


def is_copy(claim: Claimed) -> bool:
    """Whether it is made of whole sentences of what it cites. A part of a sentence may say the opposite of the whole."""
    ranges = list(sentences(claim.text))
    return bool(ranges) and all(claim.text[start:end] in claim.sentences for start, end in ranges)


def unverified(why: str) -> Judgement:
    """Nothing could be said."""
    return Judgement(evidence_pb2.CLAIM_VERDICT_UNVERIFIED, evidence_pb2.SUPPORT_UNSPECIFIED, why=why)


def concluded(found: Sequence[Sequence[Probabilities]], supported_from: float, contradicted_from: float) -> Judgement:
    """The judgement on a claim.

    Args:
        found: for each part, at least one, what the model said beside each window, at least one.
    """
    support = [max(one.supported for one in part) for part in found]
    against = [max(one.contradicted for one in part) for part in found]
    held = [value >= supported_from for value in support]
    denied = [not holds and value >= contradicted_from for holds, value in zip(held, against, strict=True)]
    if any(denied):
        verdict, how = evidence_pb2.CLAIM_VERDICT_CONTRADICTED, evidence_pb2.SUPPORT_NONE
    elif all(held):
        verdict, how = evidence_pb2.CLAIM_VERDICT_VERIFIED, evidence_pb2.SUPPORT_FULL
    else:
        verdict = evidence_pb2.CLAIM_VERDICT_UNVERIFIED
        how = evidence_pb2.SUPPORT_PARTIAL if any(held) else evidence_pb2.SUPPORT_NONE
    worst = max((value for value, holds in zip(against, held, strict=True) if not holds), default=0.0)
    return Judgement(verdict, how, min(support), worst)


class Faithfulness:
    """Judges the claims of one draft.

    Args:
        model: None where there is none.
        language: of the conversation, a BCP-47 tag.
        language_of: the language of a text, `und` where it cannot be told.
        seconds: longest wait for the model, for all claims of a segment together.
        supported_from, contradicted_from: probabilities from which on a part is so.
        keep_late: whether an answer that comes too late is waited for at the end.
    """

    def __init__(
        self,
        model: VerifierModel | None,
        *,
        language: str,
        language_of: Callable[[str], str],
        seconds: float,
        supported_from: float,
        contradicted_from: float,
        keep_late: bool,
    ) -> None:
        self._model = model
        self._served = language.partition("-")[0].lower() in (verifier.LANGUAGE, _UNKNOWN, "")
        self._language_of = language_of
        self._seconds = seconds
        self.supported_from = supported_from
        self.contradicted_from = contradicted_from
        self._keep_late = keep_late
        self._failures = 0
        self._late: list[tuple[list[Hashable], asyncio.Task[list[Judgement]]]] = []
        self.degraded = ""
        """Why claims went unjudged, where they did."""
        self.asked = 0
        """Claims that the model answered."""

    @property
    def ref(self) -> ModelRef | None:
        """The model, where it was asked and said who it is."""
        return self._model.ref if self._model is not None and self.asked else None

    async def judge(self, claims: Sequence[Claimed]) -> list[Judgement]:
        """One judgement a claim, in order; never later than the time they have."""
        found: dict[int, Judgement] = {}
        open_: list[tuple[int, Claimed]] = []
        for number, claim in enumerate(claims):
            if is_copy(claim):
                found[number] = COPY
            elif not self._served or self._language_of(claim.text) not in (verifier.LANGUAGE, _UNKNOWN):
                found[number] = self._unable(LANGUAGE_NOT_SERVED)
            elif self._model is None or self._failures >= MAX_FAILURES:
                found[number] = self._unable("MODEL_UNAVAILABLE")
            else:
                open_.append((number, claim))
        answers = await self._in_time([claim for _, claim in open_])
        found |= {number: answer for (number, _), answer in zip(open_, answers, strict=True)}
        return [found[number] for number in range(len(claims))]

    def _unable(self, why: str) -> Judgement:
        self.degraded = self.degraded or why
        return unverified(why)

    async def _in_time(self, claims: list[Claimed]) -> list[Judgement]:
        if not claims or self._model is None:
            return []
        task = asyncio.create_task(self._ask(self._model, claims))
        try:
            done, _ = await asyncio.wait({task}, timeout=self._seconds)
        except asyncio.CancelledError:
            task.cancel()
            raise
        try:
            if done:
                return task.result()
        except MeshError as failure:
            self._failures += 1
            return [self._unable(failure.reason) for _ in claims]
        self._failures += 1
        if self._keep_late:
            self._late.append(([claim.key for claim in claims], task))
        else:
            task.cancel()
        return [self._unable("DEADLINE_EXCEEDED") for _ in claims]

    async def _ask(self, model: VerifierModel, claims: Sequence[Claimed]) -> list[Judgement]:
        """All claims in one batch; those that the model's limits leave no room for are UNVERIFIED."""
        pairs: list[tuple[str, str]] = []
        owners: list[tuple[int, int]] = []
        for number, claim in enumerate(claims):
            new = [
                (place, (part, window.text))
                for place, part in enumerate(parts(claim.text))
                for window in claim.windows.nearest(part, WINDOWS)
            ]
            if new and verifier.admitted([*pairs, *(pair for _, pair in new)]):
                pairs += [pair for _, pair in new]
                owners += [(number, place) for place, _ in new]
        answers = await model.ask(pairs, seconds=self._seconds * (_LATE_FACTOR if self._keep_late else 1))
        by_part: dict[int, dict[int, list[Probabilities]]] = {}
        for (number, place), answer in zip(owners, answers, strict=True):
            by_part.setdefault(number, {}).setdefault(place, []).append(answer)
        self.asked += len(by_part)
        return [
            concluded(list(by_part[number].values()), self.supported_from, self.contradicted_from)
            if number in by_part
            else unverified("NO_EVIDENCE")
            for number in range(len(claims))
        ]

    async def late(self) -> dict[Hashable, Judgement]:
        """What came after its time, by the keys of the claims. Waits once more for as long as a claim may take."""
        tasks = [task for _, task in self._late]
        if tasks:
            await asyncio.wait(tasks, timeout=self._seconds)
        found: dict[Hashable, Judgement] = {}
        for keys, task in self._late:
            if task.done() and not task.cancelled() and task.exception() is None:
                found |= dict(zip(keys, task.result(), strict=True))
        self.close()
        return found

    def close(self) -> None:
        """Stop waiting for anything."""
        for _, task in self._late:
            task.cancel()
            # What it failed with, nobody asks any more.
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        self._late = []
