"""What is kept of a question: what the guard lets, and nothing before it has said so. Whoever asks sees what he asked."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from ragmesh.evidence.v1 import search_pb2 as s
from ragmesh.gateway.v1 import gateway_service_pb2 as g
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.guard.v1 import guard_service_pb2 as guard

from services.gateway.fold import fold
from services.mesh.errors import MeshError
from tests.service.gateway import fake_services as fake
from tests.service.gateway.test_gateway_sufficiency import found
from tests.service.gateway.visitors import GatewayUnderTest, Visitor, failure

ASKED = "May zebulon@example.org take CBD?"
KEPT = "May [EMAIL] take CBD?"


def _on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in (folder / "data").rglob("*") if path.is_file())


def _lets(gateway: GatewayUnderTest, kept: str | None, seen: str = "") -> None:
    async def check(_: guard.CheckInputRequest) -> guard.CheckInputResponse:
        checked = fake.allow(text=seen)
        if kept is not None:
            checked.kept = kept
        return checked

    gateway.guard.check = check


async def test_only_what_the_guard_lets_is_kept_and_whoever_asks_sees_what_he_asked(
    gateway: GatewayUnderTest, anna: Visitor, folder: Path
) -> None:
    _lets(gateway, KEPT, seen=KEPT)
    stream = await anna.asked(ASKED)
    assert fold(stream.seen).question == ASKED
    assert (await anna.turn(stream.turn)).question == KEPT
    assert (await anna.resume(stream.turn).rest())[0].started.question == KEPT
    conversation = stream.seen[0].started.conversation
    assert [turn.question for turn in (await anna.call("ListTurns", g.ListTurnsRequest(parent=conversation))).turns] == [KEPT]
    listed = await anna.call("ListConversations", g.ListConversationsRequest())
    assert [item.title for item in listed.conversations] == [KEPT]
    assert (await anna.answer(ASKED, conversation=conversation)).question == ASKED
    assert gateway.guard.input.requests[-1].history[0].text == KEPT
    assert b"zebulon" not in _on_disk(folder)


async def test_a_request_that_is_repeated_is_the_same_one_whatever_of_it_is_kept(gateway: GatewayUnderTest, anna: Visitor) -> None:
    _lets(gateway, KEPT)
    again = str(uuid.uuid4())
    first = await anna.asked(ASKED, request_id=again)
    assert (await anna.asked(ASKED, request_id=again)).seen == first.seen
    assert await anna.answer(ASKED, request_id=again) == fold(first.seen)
    assert (await failure(anna.asked(KEPT, request_id=again))).reason == "REQUEST_ID_REUSED", "another question, if alike"
    assert len(gateway.generator.drafts.requests) == 1


@pytest.mark.parametrize("hidden", [False, True])
async def test_what_repeats_the_question_is_kept_only_where_the_question_is(
    gateway: GatewayUnderTest, anna: Visitor, folder: Path, hidden: bool
) -> None:
    _lets(gateway, KEPT if hidden else None, seen=ASKED)
    gateway.retriever.found = found(s.SUFFICIENCY_DECISION_ANSWER_WITH_GAP, missing=["zebulon@example.org"])
    gateway.retriever.found.searched.text = ASKED
    stream = await anna.asked(ASKED)
    assert gateway.retriever.searches.requests[0].query == ASKED, "what services see is said by another line of the policy"
    assert stream.finished.outcome == t.OUTCOME_PARTIAL
    assert (b"zebulon" in _on_disk(folder)) is not hidden
    assert len(stream.finished.gaps) == (0 if hidden else 1)


async def test_nothing_of_a_question_that_nobody_judged_is_kept(gateway: GatewayUnderTest, anna: Visitor, folder: Path) -> None:
    async def fail(_: guard.CheckInputRequest) -> guard.CheckInputResponse:
        raise MeshError("OVERLOADED", "busy")

    gateway.guard.check = fail
    stream = await anna.asked(ASKED)
    assert stream.finished.outcome == t.OUTCOME_FAILED
    assert stream.seen[0].started.question == ASKED
    assert (await anna.turn(stream.turn)).question == ""
    assert b"zebulon" not in _on_disk(folder)
