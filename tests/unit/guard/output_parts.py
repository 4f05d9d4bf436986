"""Checks of drafts for tests: put together as the service does, with a verifier that says what the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ragmesh.evidence.v1 import evidence_pb2 as ev
from ragmesh.evidence.v1 import text_pb2
from ragmesh.evidence.v1.model_pb2 import ModelRef
from ragmesh.guard.v1 import guard_service_pb2 as pb
from ragmesh.guard.v1 import pii_pb2, policy_pb2

from services.guard.output.begin import ClaimChecks, begin
from services.guard.output.check import MAX_RELEASED_BYTES, OutputCheck
from services.guard.output.verifier import VerifierModel
from services.guard.policy.policy import resolve
from services.guard.privacy import PiiFinder
from services.mesh.assistant import load_assistants
from services.mesh.errors import MeshError
from tests.unit.guard.guard_parts import ROOT, SETTINGS, judge, languages

ASSISTANT = load_assistants(SETTINGS.assistant_dir)["assistants/default"]
SUPPORTED, CONTRADICTED, UNKNOWN = (0.95, 0.02, 0.03), (0.02, 0.95, 0.03), (0.1, 0.1, 0.8)
REF = ModelRef(name="verifier", version="1", weights_sha256="ab" * 32)


@dataclass
class SaidVerifier:
    """Stands where Triton's client does and answers as told; what it was asked is kept."""

    says: Callable[[str, str], tuple[float, float, float]] = lambda claim, evidence: SUPPORTED
    hold: asyncio.Event | None = None
    """Set: an answer waits for it."""
    fails: str = ""
    asked: list[list[tuple[str, str]]] = field(default_factory=list)

    async def infer(
        self, model: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str], *, timeout: float
    ) -> dict[str, NDArray[Any]]:
        pairs = [(claim.decode(), text.decode()) for claim, text in zip(inputs["claims"], inputs["evidence"], strict=True)]
        self.asked.append(pairs)
        if self.fails:
            raise MeshError(self.fails, "as the test wants it", metadata={"model": model})
        if self.hold is not None:
            await self.hold.wait()
        rows = [self.says(*pair) for pair in pairs]
        return {"probabilities": np.array(rows, np.float32), "missing": np.zeros(len(rows), bool)}

    async def model_ref(self, model: str, inputs: Mapping[str, NDArray[Any]], *, timeout: float) -> ModelRef:
        return REF


def made(
    evidence: Sequence[ev.Evidence],
    *,
    verifier: SaidVerifier | None = None,
    release_unverified: bool = False,
    most: int = MAX_RELEASED_BYTES,
    language: str = "und",
    question: str = "",
    seconds: float = 5.0,
    actions: Mapping[pb.Category.ValueType, pb.Action.ValueType] | None = None,
    redact: bool = False,
    protected: Sequence[str] = (),
) -> OutputCheck:
    """A check of a draft of the default assistant."""
    start = pb.CheckOutputStart(evidence=evidence, assistant=ASSISTANT.name, language=language)
    start.budgets.max_released_bytes = most
    if question:
        start.history.add(role=text_pb2.ROLE_USER, text=question)
    policy = policy_pb2.GuardPolicy(assistant=ASSISTANT.name, release_unverified=release_unverified, persona_names=["ChatCBD"])
    for category, action in (actions or {}).items():
        policy.actions.add(category=category, action=action)
    policy.protected_texts.extend(protected)
    if redact:
        policy.pii.answer.add(action=pii_pb2.PII_ACTION_REDACT)
    model = None
    if verifier is not None:
        model = VerifierModel(verifier, probe_seconds=1)
        model.ref = REF
    claims = ClaimChecks(model, languages().find, seconds, PiiFinder())
    return begin(start, judge=judge(), policy=resolve(policy, ROOT), assistant=ASSISTANT, claims=claims)
