"""Personal data in answers: starred where no evidence has it, every offset where it was."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from ragmesh.evidence.v1 import evidence_pb2
from ragmesh.guard.v1 import guard_service_pb2 as pb
from ragmesh.guard.v1 import pii_pb2

from services.guard.answer_privacy import AnswerPrivacy
from services.guard.policy import Policy
from services.guard.privacy import PiiFinder
from services.mesh.assistant import load_assistants
from tests.unit.guard.guard_parts import POLICY, SETTINGS

ASSISTANT = load_assistants(SETTINGS.assistant_dir)["assistants/default"]
HIDING = replace(POLICY, pii_answer=MappingProxyType(dict.fromkeys(POLICY.pii_answer, pii_pb2.PII_ACTION_REDACT)))


def released(text: str, *, policy: Policy = HIDING, evidence: str = "") -> tuple[str, pb.Verdict]:
    start = pb.CheckOutputStart(evidence=[evidence_pb2.Evidence(text=evidence)], language="en")
    privacy = AnswerPrivacy(policy, PiiFinder(), start, ASSISTANT)
    shown = privacy.applied(pb.CheckOutputResponse(released=pb.Released(text=text))).released.text
    verdict = pb.Verdict(action=pb.ACTION_ALLOW)
    return shown, privacy.applied(pb.CheckOutputResponse(finished=pb.OutputFinished(verdict=verdict))).finished.verdict


def test_what_no_evidence_has_is_starred_and_every_byte_stays_in_place() -> None:
    text = "Schreib an jörg.müller@example.org – er hilft."
    shown, verdict = released(text)
    assert shown == "Schreib an *****.*******@*******.*** – er hilft."
    assert len(shown.encode()) == len(text.encode())
    assert (verdict.action, verdict.category, verdict.findings[0].rule) == (pb.ACTION_FLAG, pb.CATEGORY_PII, "privacy.email")


def test_what_the_evidence_has_is_shown() -> None:
    text = "Write to help@example.org."
    assert released(text, evidence="Questions? Write to help@example.org.")[0] == text
    assert released(text, evidence="Questions? Write to us.")[0] != text


def test_a_reviewed_text_is_shown() -> None:
    told = ASSISTANT.model_copy(update={"templates": {"contact": {"en": "Write to help@example.org."}}})
    privacy = AnswerPrivacy(HIDING, PiiFinder(), pb.CheckOutputStart(), told)
    answer = pb.CheckOutputResponse(released=pb.Released(text="Write to help@example.org."))
    assert privacy.applied(answer).released.text == "Write to help@example.org."


def test_by_default_an_answer_stays_as_it_is() -> None:
    text = "Write to help@example.org."
    shown, verdict = released(text, policy=POLICY)
    assert (shown, verdict.action) == (text, pb.ACTION_ALLOW)
