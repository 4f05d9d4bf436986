"""How sure the guard is of an answer, and how good it is: factors that are multiplied and calibrated, and a grade over five
dimensions.

Confidence is the product of the factors, moved by a logistic curve that was fitted on faithful and corrupted answers
(calibration.json: slope and intercept over the logarithm of the product, and from how many rows). A factor that nothing is known
about is left out, not guessed. The grade is for metrics: a weighted mean, and no better than D where one dimension fails. Knows
what was decided; decides nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from ragmesh.evidence.v1 import evidence_pb2
from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.output.draft import Draft
from services.guard.output.faithfulness import Judgement
from services.guard.output.plausibility import function_words
from services.guard.output.thresholds import CALIBRATION
from services.guard.output.windows import stems

_LEAST = 1e-3
_UNVERIFIED = 0.5
"""What a claim counts that nothing could be said about."""
_DOUBT = 0.6
"""For each finding that keeps a claim from being VERIFIED."""
_GARBLED, _AGAINST_ITSELF = 0.3, 0.4
_WEIGHTS = {"faithfulness": 0.4, "relevance": 0.15, "completeness": 0.2, "consistency": 0.1, "clarity": 0.15}
_GRADES = ((0.9, pb.GRADE_A), (0.8, pb.GRADE_B), (0.7, pb.GRADE_C), (0.6, pb.GRADE_D), (0.5, pb.GRADE_E))
_FAILS = 0.3
_READABLE_WORDS = 45


@dataclass(slots=True)
class Answered:
    """What became of a draft so far."""

    released: list[str] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)
    """Of released claims. A segment without claims has none, and counts in no factor."""
    cited: set[str] = field(default_factory=set)
    withheld: int = 0
    taken_back: int = 0
    garbled: int = 0
    against_itself: int = 0
    doubts: int = 0

    def add(self, text: str, judgements: Sequence[Judgement], findings: Sequence[pb.Finding], cited: Sequence[str]) -> None:
        """A segment was released."""
        self.released.append(text)
        self.judgements += judgements
        self.cited.update(cited)
        self.garbled += any(one.category == pb.CATEGORY_GARBAGE for one in findings)
        self.against_itself += any(one.category == pb.CATEGORY_CONTRADICTION for one in findings)
        self.doubts += sum(one.rule.startswith("hallucination.") for one in findings)


def _content(text: str) -> set[str]:
    return {stem for stem in stems(text) if len(stem) > 2 and stem not in function_words()}


def _weight(judgement: Judgement) -> float:
    if judgement.verdict == evidence_pb2.CLAIM_VERDICT_VERIFIED:
        return 1.0
    return 0.0 if judgement.verdict == evidence_pb2.CLAIM_VERDICT_CONTRADICTED else _UNVERIFIED


def factors(answered: Answered, draft: Draft) -> dict[str, float]:
    """The factors of the confidence, each from 0 to 1, in the order in which they are told."""
    found: dict[str, float] = {}
    passages = draft.passages.named(answered.cited) if answered.cited else []
    dense = [passage.scores.dense for passage in passages if passage.scores.HasField("dense")]
    if dense:
        # A cosine of 0.5 and more is as near as passages come; nothing is lost below zero that was not lost there.
        found["retrieval"] = 0.5 + min(1.0, max(0.0, 2 * max(dense))) / 2
    asked = _content(draft.question)
    if asked and passages:
        there = _content(
            "\n".join([*(passage.text for passage in passages), *(t for passage in passages for t in passage.title_path)])
        )
        found["sufficiency"] = 0.5 + len(asked & there) / len(asked) / 2
        said = _content("\n".join(answered.released)) | _content("\n".join(t for passage in passages for t in passage.title_path))
        found["coverage"] = 0.5 + len(asked & said) / len(asked) / 2
    if answered.judgements:
        known = [one.supported for one in answered.judgements if one.supported is not None]
        if known:
            found["support"] = math.exp(sum(math.log(max(value, _LEAST)) for value in known) / len(known))
        found["verified_claims"] = max(_LEAST, sum(map(_weight, answered.judgements)) / len(answered.judgements))
    segments = len(answered.released) + answered.withheld
    found["released_share"] = max(_LEAST, (len(answered.released) - answered.taken_back) / segments) if segments else 1.0
    found["facts"] = max(_LEAST, _DOUBT**answered.doubts)
    count = max(1, len(answered.released))
    found["well_formed"] = 1 - (1 - _GARBLED) * min(1.0, answered.garbled / count)
    found["consistent"] = 1 - (1 - _AGAINST_ITSELF) * min(1.0, answered.against_itself / count)
    return found


@cache
def _curve() -> tuple[float, float]:
    fitted = json.loads(CALIBRATION.read_text(encoding="utf-8"))
    return float(fitted["slope"]), float(fitted["intercept"])


def product(found: Mapping[str, float]) -> float:
    """The factors multiplied, not below 0.001."""
    return max(_LEAST, math.prod(found.values()))


def calibrated(value: float) -> float:
    """The probability that an answer whose factors have this product is right."""
    slope, intercept = _curve()
    return 1 / (1 + math.exp(-(slope * math.log(value) + intercept)))


def confidence(found: Mapping[str, float]) -> pb.Confidence:
    """The confidence as the contract has it."""
    told = [pb.Factor(name=name, value=value) for name, value in found.items()]
    return pb.Confidence(value=calibrated(product(found)), factors=told)


def quality(answered: Answered, draft: Draft) -> pb.Quality:
    """The grade of an answer of which something was released."""
    count = max(1, len(answered.released))
    weights = list(map(_weight, answered.judgements)) or [1.0]
    asked = _content(draft.question)
    shown = "\n".join([*answered.released, *(title for one in draft.passages.named(answered.cited) for title in one.title_path)])
    lengths = [len(text.split()) for text in answered.released]
    long = sum(length > _READABLE_WORDS for length in lengths) / count
    found = {
        "faithfulness": sum(weights) / len(weights),
        "relevance": len(asked & _content(shown)) / len(asked) if asked else 1.0,
        "completeness": max(0.0, (len(answered.released) - answered.taken_back) / (len(answered.released) + answered.withheld)),
        "consistency": 1 - min(1.0, answered.against_itself / count),
        "clarity": max(0.0, 1 - answered.garbled / count - 0.3 * long),
    }
    mean = sum(_WEIGHTS[name] * value for name, value in found.items())
    grade = next((grade for least, grade in _GRADES if mean >= least), pb.GRADE_F)
    if min(found.values()) < _FAILS:
        grade = max(grade, pb.GRADE_D)
    return pb.Quality(grade=grade, **found)
