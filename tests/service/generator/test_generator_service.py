"""The generator over gRPC, with the shipped models in a real Triton; what it drafts passes the guard's check of copies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from ragmesh.evidence.v1 import evidence_pb2 as ev
from ragmesh.evidence.v1 import text_pb2
from ragmesh.generator.v1 import generator_service_pb2 as pb

from services.mesh.assistant import load_assistants
from tests.service.generator.generator_fixture import (
    ASSISTANT,
    PASSAGES,
    ROOT,
    TIMEOUT,
    RunningGenerator,
    asked,
    drafted,
    evidence,
    failure,
    generator,
    kinds,
    text_of,
)
from tests.service.triton_fixture import RunningTriton, triton_server
from tests.unit.guard.output_parts import made

__all__ = ["triton_server"]

REVIEWED = load_assistants(ROOT / "corpus" / "assistants")[ASSISTANT]


@pytest.fixture
async def running(tmp_path: Path, triton_server: RunningTriton) -> AsyncIterator[RunningGenerator]:
    async with generator(tmp_path, triton_server.grpc) as found:
        # Ready means that a real inference came back, and only then do the models have names.
        async with asyncio.timeout(TIMEOUT):
            while not await found.server.ready():
                await asyncio.sleep(0.01)
        yield found


async def test_an_answer_is_copied_from_the_evidence(running: RunningGenerator) -> None:
    steps = await drafted(running, asked("How many members does the Scottish Parliament have?", "cafe", "parliament"))
    assert kinds(steps)[:3] == ["decision", "text", "segment_end"]
    assert kinds(steps)[-1] == "finished"
    decision = steps[0].decision
    assert decision.kind == pb.DECISION_KIND_ANSWER
    assert decision.answerability >= decision.threshold
    assert decision.model.name == "answerer"
    assert "The Parliament has 129 members, who are elected for five years." in text_of(steps)
    whole = text_of(steps).encode()
    documents = {f"ev_{name}": b"." * 500 + text.encode() for name, text in PASSAGES.items()}
    for segment in (step.segment_end for step in steps if step.HasField("segment_end")):
        (claim,) = segment.claims
        (cited,) = claim.refs
        quote = b"".join(documents[cited.evidence][item.start : item.end] for item in cited.quotes)
        assert quote == whole[claim.range.start : claim.range.end]


async def test_what_is_only_quoted_is_never_drafted(running: RunningGenerator) -> None:
    question = "How many members does the Scottish Parliament have?"
    request = asked(question, "cafe", "parliament")
    passage = request.evidence[1]
    answer = "The Parliament has 129 members, who are elected for five years."
    start = passage.spans[0].start + passage.text.encode().index(answer.encode())
    passage.quoted.add(start=start, end=start + len(answer.encode()))
    assert "129" not in text_of(await drafted(running, request))
    # Nothing but orders is nothing to answer from.
    request = asked(question, "parliament")
    request.evidence[0].quoted.add(start=0, end=100_000)
    steps = await drafted(running, request)
    assert steps[0].decision.kind == pb.DECISION_KIND_ABSTAIN
    assert text_of(steps) == REVIEWED.template("abstain", "en")


async def test_the_owner_chooses_the_engine(tmp_path: Path, triton_server: RunningTriton) -> None:
    question = "How many members does the Scottish Parliament have?"
    async with generator(tmp_path, triton_server.grpc, generator_engine="first") as found:
        steps = await drafted(found, asked(question, "cafe", "parliament"))
    assert text_of(steps) == "The café — the oldest of Zürich’s “Kaffeehäuser” — opened in 1911."


async def test_the_owner_may_want_surer_answers(tmp_path: Path, triton_server: RunningTriton) -> None:
    request = asked("How many members does the Scottish Parliament have?", "cafe", "parliament")
    async with generator(tmp_path, triton_server.grpc, generator_least_answerability=1.0) as found:
        steps = await drafted(found, request)
    assert (steps[0].decision.kind, steps[0].decision.threshold) == (pb.DECISION_KIND_ABSTAIN, 1)
    assert text_of(steps) == REVIEWED.template("abstain", "en")


async def test_usage_and_models_come_last(running: RunningGenerator) -> None:
    steps = await drafted(running, asked("How many members does the Scottish Parliament have?", "parliament"))
    finished = steps[-1].finished
    words = len(PASSAGES["parliament"].split())
    assert words < finished.usage.input_tokens < 4 * words
    assert 0 < finished.usage.output_tokens < finished.usage.input_tokens
    assert [model.name for model in finished.models] == ["answerer"]
    assert len(finished.models[0].weights_sha256) == 64


@pytest.mark.parametrize("most", [1, 2])
async def test_no_more_segments_than_asked_for(running: RunningGenerator, most: int) -> None:
    request = asked("What is the Scottish Parliament and how many members does it have?", "parliament", max_segments=most)
    assert 1 <= kinds(await drafted(running, request)).count("segment_end") <= most


async def test_the_guard_releases_every_segment_of_a_draft(running: RunningGenerator) -> None:
    shown = evidence("cafe", "parliament")
    for question in ("When did the oldest café of Zürich open?", "Where does the Scottish Parliament meet?"):
        steps = await drafted(running, asked(question, "cafe", "parliament"))
        check = made(shown)
        for step in steps:
            if step.HasField("text"):
                check.text(step.text.text)
            elif step.HasField("segment_end"):
                (answer,) = await check.segment(step.segment_end)
                assert answer.HasField("released")
                assert all(claim.verdict == ev.CLAIM_VERDICT_VERIFIED for claim in answer.released.claims)
        assert (await check.finish())[-1].finished.withheld_segments == 0


@pytest.mark.parametrize(
    ("language", "reviewed"), [("en", "en"), ("de", "de"), ("de-AT", "de"), ("fr", "en"), ("und", "en"), ("", "en")]
)
async def test_nothing_in_the_evidence_is_an_abstention(running: RunningGenerator, language: str, reviewed: str) -> None:
    steps = await drafted(running, asked("Who won the 1998 World Cup?", "parliament", language=language))
    assert kinds(steps) == ["decision", "text", "segment_end", "finished"]
    decision = steps[0].decision
    assert decision.kind == pb.DECISION_KIND_ABSTAIN
    assert decision.answerability < decision.threshold
    assert text_of(steps) == REVIEWED.template("abstain", reviewed)
    segment = steps[2].segment_end
    assert (segment.origin, segment.template_id) == (ev.ORIGIN_TEMPLATE, "abstain")


async def test_no_evidence_is_an_abstention_without_a_model(running: RunningGenerator) -> None:
    steps = await drafted(running, asked("What is CBD?"))
    assert steps[0].decision.kind == pb.DECISION_KIND_ABSTAIN
    assert not steps[0].decision.HasField("answerability")
    assert list(steps[-1].finished.models) == []
    assert text_of(steps) == REVIEWED.template("abstain", "en")


@pytest.mark.parametrize(
    ("intent", "template"),
    [
        (text_pb2.INTENT_GREETING, "greeting"),
        (text_pb2.INTENT_THANKS, "thanks"),
        (text_pb2.INTENT_GOODBYE, "goodbye"),
        (text_pb2.INTENT_IDENTITY, "identity"),
        (text_pb2.INTENT_CAPABILITIES, "capabilities"),
        (text_pb2.INTENT_WELLBEING, "wellbeing"),
    ],
)
async def test_small_talk_is_answered_by_its_reviewed_text(running: RunningGenerator, intent: Any, template: str) -> None:
    steps = await drafted(running, asked("hi", "parliament", intent=intent))
    assert steps[0].decision.kind == pb.DECISION_KIND_TEMPLATE
    assert text_of(steps) == REVIEWED.template(template, "en")
    assert steps[2].segment_end.template_id == template


async def test_an_unknown_assistant_is_an_error(running: RunningGenerator) -> None:
    error = await failure(drafted(running, asked("hi", assistant="assistants/nobody")))
    assert (error.reason, error.metadata) == ("ASSISTANT_NOT_FOUND", {"assistant": "assistants/nobody"})


async def test_tokens_are_counted(running: RunningGenerator) -> None:
    request = pb.CountTokensRequest(texts=["", "cannabidiol", "cannabidiol oil", "Zürich 🥐"])
    answer = await running.stub.CountTokens(request, timeout=TIMEOUT)
    assert answer.counts[0] == 0
    assert 0 < answer.counts[1] < answer.counts[2]
    assert answer.counts[3] > 0
    assert answer.model.name == "tokenizer"


async def test_models_name_themselves_and_share_a_tokenizer(running: RunningGenerator) -> None:
    models = (await running.stub.GetModel(pb.GetModelRequest(), timeout=TIMEOUT)).models
    assert [model.name for model in models] == ["answerer", "tokenizer"]
    assert len({model.tokenizer_sha256 for model in models}) == 1


@pytest.mark.parametrize(
    "broken",
    [
        asked("", "parliament"),
        asked("x" * 8193, "parliament"),
        asked("x", max_segments=17),
        asked("x", assistant="somebody"),
    ],
    ids=["no question", "too long", "too many segments", "no name"],
)
async def test_a_broken_request_is_a_typed_error(running: RunningGenerator, broken: Message) -> None:
    assert isinstance(broken, pb.StreamGenerateRequest)
    assert (await failure(drafted(running, broken))).reason == "INVALID_REQUEST"
