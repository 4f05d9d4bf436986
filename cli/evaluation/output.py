"""`ragmesh eval output`: which answers the guard would hold back or mark, of garbage and clean ones, of faithful and corrupted
ones.

Judges in this process by what the guard serves with: the check of drafts, and the shipped verifier behind it. An answer is one
composed segment that cites its evidence, under a policy that lets UNVERIFIED claims out marked, so that all three verdicts are
seen. Knows no method.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from ragmesh.evidence.v1 import evidence_pb2, text_pb2
from ragmesh.evidence.v1.model_pb2 import ModelRef
from ragmesh.guard.v1 import guard_service_pb2 as pb
from ragmesh_models.verifying import Verifier

from cli.evaluation.figures import auroc, calibration_error
from cli.evaluation.guard import wilson
from cli.evaluation.rows import Row
from cli.settings import REPOSITORY
from services.guard.checks import CheckBuilder
from services.guard.output.begin import ClaimChecks, begin
from services.guard.output.check import MAX_UNREVIEWED_BYTES
from services.guard.output.garbage import garbage
from services.guard.output.quality import product
from services.guard.output.thresholds import Thresholds, shipped
from services.guard.output.verifier import MODEL, VerifierModel
from services.guard.policy.policy import load
from services.guard.settings import GuardSettings
from services.mesh.assistant import load_assistants

_DOCUMENT = "collections/evaluation/documents/row"
_SECONDS = 30.0
_PASSAGE_BYTES = 32_768
_CHARACTERS_A_TOKEN = 4
_LABELS = {True: ("clean", "garbage"), False: ("faithful", "corrupted")}
Values = NDArray[np.float64]


class OutputRow(Row):
    """An answer, and what it is. White space around it is part of it."""

    model_config = ConfigDict(str_strip_whitespace=False)

    text: Annotated[str, Field(max_length=MAX_UNREVIEWED_BYTES)]
    label: Literal["garbage", "clean", "faithful", "corrupted"]
    kind: Annotated[str, Field(max_length=64)] = ""
    evidence: Annotated[str, Field(max_length=1024 * 1024)] = ""
    question: Annotated[str, Field(max_length=8 * 1024)] = ""
    lang: Annotated[str, Field(max_length=35)] = "und"
    half: Annotated[str, Field(max_length=16)] = ""
    """What the row is for: `tune` or `test`."""


@dataclass(frozen=True)
class Judged:
    """What became of one row."""

    held_back: bool
    """Nothing of it would be shown."""
    verified: bool
    rules: tuple[str, ...]
    confidence: float | None = None
    product: float | None = None
    """Of the confidence's factors, before calibration."""


@dataclass(frozen=True)
class Group:
    """The rows of one label and kind."""

    label: str
    kind: str
    n: int
    held_back: int
    verified: int
    rate: float
    """Share held back."""
    low: float
    high: float


class InProcess:
    """The shipped verifier as Triton's client would bring it."""

    def __init__(self) -> None:
        self._verifier = Verifier(REPOSITORY / "deploy" / "triton" / "model_repository" / "verifier" / "1")
        self._known: dict[tuple[bytes, bytes], tuple[NDArray[Any], bool]] = {}
        self.claims = 0
        """Asked for the first time, and how much of the processor's time that took."""
        self.seconds = 0.0

    async def infer(
        self, model: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str], *, timeout: float
    ) -> dict[str, NDArray[Any]]:
        """One inference."""
        pairs = list(zip(inputs["claims"].tolist(), inputs["evidence"].tolist(), strict=True))
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        if new:
            began = time.process_time()
            found = self._verifier([claim.decode() for claim, _ in new], [text.decode() for _, text in new])
            self.seconds += time.process_time() - began
            self.claims += len({claim for claim, _ in new})
            self._known |= dict(zip(new, zip(found.probabilities, found.missing, strict=True), strict=True))
        known = [self._known[pair] for pair in pairs]
        return {"probabilities": np.array([row for row, _ in known]), "missing": np.array([lacks for _, lacks in known])}

    async def model_ref(self, model: str, inputs: Mapping[str, NDArray[Any]], *, timeout: float) -> ModelRef:
        """Who it is."""
        return ModelRef(name=MODEL, version="1")


@dataclass(frozen=True)
class OutputRun:
    """What was found."""

    rows: Sequence[OutputRow]
    judged: Sequence[Judged]
    us_a_token: float | None
    """Of the garbage methods; four characters count as a token."""
    ms_a_claim: float | None
    """Of the processor, for the verifier, in batches of one answer's claims."""


def _start(row: OutputRow, assistant: str) -> pb.CheckOutputStart:
    text = row.evidence.encode()[:_PASSAGE_BYTES].decode(errors="ignore")
    span = text_pb2.TextRange(start=0, end=len(text.encode()))
    version = f"{_DOCUMENT}/versions/1"
    shown = evidence_pb2.Evidence(
        name="e1", chunk=f"{version}/chunks/1", document=_DOCUMENT, document_version=version, text=text, spans=[span]
    )
    start = pb.CheckOutputStart(evidence=[shown], assistant=assistant, language=row.lang)
    if row.question:
        start.history.add(role=text_pb2.ROLE_USER, text=row.question)
    start.budgets.per_claim.FromSeconds(int(_SECONDS))
    return start


def _segment(row: OutputRow, start: pb.CheckOutputStart) -> evidence_pb2.Segment:
    whole = text_pb2.TextRange(start=0, end=len(row.text.encode()))
    ref = evidence_pb2.EvidenceRef(evidence="e1", quotes=[start.evidence[0].spans[0]])
    claim = evidence_pb2.Claim(range=whole, refs=[ref], origin=evidence_pb2.ORIGIN_COMPOSED)
    return evidence_pb2.Segment(range=whole, origin=evidence_pb2.ORIGIN_COMPOSED, claims=[claim])


def judge_by_patterns(row: OutputRow) -> Judged:
    """Whether a text is garbage."""
    found = garbage(row.text)
    return Judged(bool(found), False, tuple(one.rule for one in found))


def checker(var: Path, client: InProcess, thresholds: Thresholds | None = None) -> Callable[[OutputRow], Judged]:
    """What judges an answer beside its evidence, by these thresholds or the shipped ones."""
    settings = GuardSettings(assistant_dir=REPOSITORY / "corpus" / "assistants", data_dir=var / "data")
    assistants = load_assistants(settings.assistant_dir)
    name, assistant = next(iter(assistants.items()))
    builder = CheckBuilder(settings, assistants)
    policy = load(settings.policy_dir / "default.yaml")
    judge = builder(policy).judge
    marked = replace(policy, release_unverified=True)
    model = VerifierModel(client, probe_seconds=_SECONDS)
    claims = ClaimChecks(model, builder.languages.find, _SECONDS, thresholds=thresholds or shipped())

    async def one(row: OutputRow) -> Judged:
        start = _start(row, name)
        check = begin(start, judge=judge, policy=marked, assistant=assistant, claims=claims)
        check.text(row.text)
        answers = [*await check.segment(_segment(row, start)), *await check.finish()]
        finished = answers[-1].finished
        verdicts = [claim.verdict for answer in answers for claim in answer.released.claims]
        rules = tuple(finding.rule for finding in finished.verdict.findings)
        if not verdicts:
            return Judged(True, False, rules)
        made = product({factor.name: factor.value for factor in finished.confidence.factors})
        verified = all(verdict == evidence_pb2.CLAIM_VERDICT_VERIFIED for verdict in verdicts)
        return Judged(False, verified, rules, finished.confidence.value, made)

    return lambda row: asyncio.run(one(row))


def run_output(rows: Sequence[OutputRow], var: Path) -> OutputRun:
    """Judges every row, one after the other."""
    client = InProcess()
    beside = checker(var, client) if any(row.label in _LABELS[False] for row in rows) else None
    alone = [row for row in rows if row.label in _LABELS[True]]
    began = time.process_time()
    by_patterns = [judge_by_patterns(row) for row in alone]
    spent = time.process_time() - began
    left = iter(by_patterns)
    judged = [next(left) if row.label in _LABELS[True] or beside is None else beside(row) for row in rows]
    tokens = sum(len(row.text) for row in alone) / _CHARACTERS_A_TOKEN
    return OutputRun(
        rows,
        judged,
        spent / tokens * 1e6 if tokens else None,
        client.seconds / client.claims * 1e3 if client.claims else None,
    )


def grouped(run: OutputRun) -> list[Group]:
    """By label and kind, and each label as a whole (kind `all`)."""
    held: dict[tuple[str, str], list[Judged]] = defaultdict(list)
    for row, one in zip(run.rows, run.judged, strict=True):
        held[row.label, "all"].append(one)
        held[row.label, row.kind].append(one)
    found = []
    for (label, kind), marks in sorted(held.items()):
        count = sum(one.held_back for one in marks)
        low, high = wilson(count, len(marks))
        found.append(Group(label, kind, len(marks), count, sum(one.verified for one in marks), count / len(marks), low, high))
    return [one for one in found if one.kind]


def _columns(run: OutputRun) -> tuple[Values, Values, Values]:
    """Of the rows with evidence: whether they are faithful, whether they were released, and the confidence (0 where not)."""
    pairs = [(row, one) for row, one in zip(run.rows, run.judged, strict=True) if row.label in _LABELS[False]]
    faithful = np.array([row.label == "faithful" for row, _ in pairs], dtype=np.float64)
    released = np.array([not one.held_back for _, one in pairs], dtype=np.float64)
    return faithful, released, np.array([one.confidence or 0.0 for _, one in pairs], dtype=np.float64)


def figures(run: OutputRun) -> dict[str, float | None]:
    """auroc: of the confidence, faithful against corrupted, 0 where held back. ece: of the confidence of what was released."""
    faithful, released, confidence = _columns(run)
    shown = released > 0
    verified = np.array([one.verified for row, one in zip(run.rows, run.judged, strict=True) if row.label in _LABELS[False]])
    return {
        "auroc": auroc(confidence, faithful) if len(faithful) else None,
        "ece": calibration_error(confidence[shown], faithful[shown]) if shown.any() else None,
        "balanced_accuracy": float((verified[faithful > 0].mean() + (~verified[faithful == 0]).mean()) / 2)
        if 0 < faithful.sum() < len(faithful)
        else None,
        "us_a_token": run.us_a_token,
        "ms_a_claim": run.ms_a_claim,
    }


def fitted(run: OutputRun) -> dict[str, float]:
    """The logistic curve over the logarithm of the product that fits what was released best, by Newton's method.

    Raises:
        ValueError: there are not both faithful and corrupted rows.
    """
    known = [
        (one.product, row.label == "faithful") for row, one in zip(run.rows, run.judged, strict=True) if one.product is not None
    ]
    if len({right for _, right in known}) < 2:
        raise ValueError("faithful and corrupted rows are needed")
    x = np.array([[math.log(value), 1.0] for value, _ in known])
    y = np.array([float(right) for _, right in known])
    weights = np.array([1.0, 0.0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ weights))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(2)
        weights = weights + np.linalg.solve(hessian, x.T @ (y - p) - 1e-3 * weights)
    return {"slope": round(float(weights[0]), 4), "intercept": round(float(weights[1]), 4), "rows": len(known)}


def as_json(run: OutputRun) -> dict[str, Any]:
    """The document of a run: the figures, and the groups with their 95 % intervals."""
    short = {name: round(value, 6) if value is not None else None for name, value in figures(run).items()}
    return {"n": len(run.rows), **short, "groups": [asdict(group) for group in grouped(run)]}
