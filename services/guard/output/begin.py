"""The start of a draft's check: from the request, the policy and the assistant to an `OutputCheck`. The one place that joins
them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ragmesh.evidence.v1 import text_pb2
from ragmesh.guard.v1 import guard_service_pb2 as pb

from services.guard.judge import Judge
from services.guard.output.check import MAX_RELEASED_BYTES, OutputCheck
from services.guard.output.draft import Draft
from services.guard.output.faithfulness import Faithfulness
from services.guard.output.quotes import Passages, QuoteError
from services.guard.output.segments import SegmentCheck
from services.guard.output.thresholds import Thresholds, shipped
from services.guard.output.verifier import VerifierModel
from services.guard.policy import Policy
from services.guard.privacy import PiiFinder
from services.mesh.assistant import Assistant
from services.mesh.errors import MeshError
from services.mesh.quoting import without_quoted


@dataclass(frozen=True, slots=True)
class ClaimChecks:
    """What judges composed claims, for all drafts."""

    verifier: VerifierModel | None
    language_of: Callable[[str], str]
    """The language of a text, `und` where it cannot be told."""
    seconds: float
    """Longest wait for the claims of a segment, where the request does not say."""
    finder: PiiFinder | None = None
    thresholds: Thresholds = field(default_factory=shipped)
    """Where the policy names none."""


def begin(start: pb.CheckOutputStart, *, judge: Judge, policy: Policy, assistant: Assistant, claims: ClaimChecks) -> OutputCheck:
    """
    Raises:
        MeshError: INVALID_REQUEST where the evidence is not sound.
    """
    try:
        passages = Passages(without_quoted(start.evidence))
    except QuoteError as error:
        raise MeshError("INVALID_REQUEST", str(error), violations=[("start.evidence", str(error))]) from None
    asked = [utterance.text for utterance in start.history if utterance.role == text_pb2.ROLE_USER]
    draft = Draft(
        passages,
        assistant,
        language=start.language,
        question=asked[-1] if asked else "",
        persona_names=policy.persona_names,
        protected=policy.protected_texts,
        actions=policy.actions,
        release_unverified=policy.release_unverified,
        finder=claims.finder,
        pii_actions=policy.pii_answer,
    )
    budgets = start.budgets
    faithfulness = Faithfulness(
        claims.verifier,
        language=start.language,
        language_of=claims.language_of,
        seconds=budgets.per_claim.ToTimedelta().total_seconds() if budgets.HasField("per_claim") else claims.seconds,
        supported_from=policy.supported if policy.supported is not None else claims.thresholds.supported,
        contradicted_from=claims.thresholds.contradicted,
        keep_late=policy.release_unverified,
    )
    most = budgets.max_released_bytes if budgets.HasField("max_released_bytes") else MAX_RELEASED_BYTES
    return OutputCheck(SegmentCheck(judge, draft, faithfulness), max_released_bytes=most)
