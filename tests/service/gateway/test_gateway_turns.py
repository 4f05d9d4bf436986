"""Turns from question to end, between scripted services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from ragmesh.evidence.v1 import evidence_pb2 as e
from ragmesh.evidence.v1.text_pb2 import INTENT_GREETING, ROLE_ASSISTANT, ROLE_USER, Intent
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.generator.v1 import generator_service_pb2 as gen
from ragmesh.guard.v1 import guard_service_pb2 as guard
from ragmesh.retriever.v1 import retriever_service_pb2 as ret

from services.gateway.automaton import TurnAutomaton
from services.gateway.fold import fold
from services.mesh.errors import MeshError
from tests.service.gateway import fake_services as fake
from tests.service.gateway.visitors import QUESTION, GatewayUnderTest, Visitor
from tests.unit.gateway import turn_events as ev
from tests.unit.gateway.waiting import until

TEXT = "".join(fake.SENTENCES)


async def test_answered(gateway: GatewayUnderTest, anna: Visitor) -> None:
    stream = await anna.asked()
    assert stream.kinds() == [
        "started",
        "stage",
        "understood",
        "stage",
        "evidence",
        "stage",
        "stage",
        "delta",
        "claim",
        "delta",
        "claim",
        "finished",
    ]
    automaton = TurnAutomaton()
    for event in stream.seen:
        automaton.accept(event)
    stages = [event.stage.stage for event in stream.seen if event.HasField("stage")]
    assert stages == [t.STAGE_CHECKING, t.STAGE_SEARCHING, t.STAGE_READING, t.STAGE_WRITING]
    turn = fold(stream.seen)
    assert (turn.question, turn.text) == (QUESTION, TEXT)
    assert turn.evidence[0] == ev.evidence()
    assert [claim.verdict for claim in turn.claims] == [e.CLAIM_VERDICT_VERIFIED] * 2
    ended = stream.finished
    assert (ended.outcome, ended.verdict) == (t.OUTCOME_ANSWERED, t.OVERALL_VERDICT_VERIFIED)
    assert ended.confidence == pytest.approx(0.9)
    assert [timing.stage for timing in ended.timings] == stages
    assert (ended.usage.input_tokens, ended.usage.output_tokens, ended.usage.passages) == (40, 12, 1)
    assert not ended.HasField("failure")


async def test_the_services_get_what_they_need(gateway: GatewayUnderTest, anna: Visitor) -> None:
    await anna.asked("  How is oil stored?\t")
    assert gateway.guard.input.requests[0].text == "  How is oil stored?\t"
    search = gateway.retriever.searches.requests[0]
    assert (search.query, search.collection, search.language) == ("How is oil stored?", "collections/default", "en")
    assert search.limit == gateway.settings.passages
    draft = gateway.generator.drafts.requests[0]
    assert (draft.question, draft.assistant) == ("How is oil stored?", "assistants/default")
    assert list(draft.evidence) == [ev.evidence()] and draft.max_segments == gateway.settings.max_segments
    begin = gateway.guard.reviewed[0].start
    assert list(begin.evidence) == [ev.evidence()]
    assert [(item.role, item.text) for item in begin.history] == [(ROLE_USER, "How is oil stored?")]
    # The work is done on behalf of the asker, in a task of its own.
    for recorder in (gateway.guard.input, gateway.guard.output, gateway.retriever.searches, gateway.generator.drafts):
        assert [principal and principal.subject for principal in recorder.principals] == ["sessions/anna"]


async def test_each_visitors_work_is_done_on_its_own_behalf(gateway: GatewayUnderTest) -> None:
    visitors = [gateway.visitor(ev.visitor(f"v{n}")) for n in range(8)]
    await asyncio.gather(*(visitor.asked(f"I am v{n}?") for n, visitor in enumerate(visitors)))
    calls = zip(gateway.generator.drafts.requests, gateway.generator.drafts.principals, strict=True)
    assert {(request.question, principal.subject) for request, principal in calls if principal} == {
        (f"I am v{n}?", f"sessions/v{n}") for n in range(8)
    }


async def test_a_conversation_carries_its_history(gateway: GatewayUnderTest, anna: Visitor) -> None:
    first = await anna.asked("one?")
    await anna.asked("two?", conversation=first.seen[0].started.conversation)
    said = [(item.role, item.text) for item in gateway.retriever.searches.requests[1].history]
    assert said == [(ROLE_USER, "one?"), (ROLE_ASSISTANT, TEXT)]
    starts = [request.start for request in gateway.guard.reviewed if request.HasField("start")]
    assert [item.text for item in starts[1].history] == ["one?", TEXT, "two?"]
    assert [item.text for item in gateway.guard.input.requests[1].history] == ["one?", TEXT]


async def test_answer_is_the_fold_of_the_same_log(gateway: GatewayUnderTest, anna: Visitor) -> None:
    stream = await anna.asked()
    folded = fold(stream.seen)
    assert await anna.turn(stream.turn) == folded
    answered = await anna.answer(request_id="5f2f3a3e-0000-4000-8000-000000000001")
    same = await anna.asked(request_id="5f2f3a3e-0000-4000-8000-000000000001")
    assert answered == fold(same.seen)
    assert len(gateway.generator.drafts.requests) == 2


async def test_abstained(gateway: GatewayUnderTest, anna: Visitor) -> None:
    async def abstain(_: gen.StreamGenerateRequest) -> fake.Steps:
        yield fake.decided(gen.DECISION_KIND_ABSTAIN, 0.04)
        yield fake.wrote("I could not find it.")
        yield fake.segment(0, "I could not find it.", origin=e.ORIGIN_TEMPLATE)
        yield fake.done()

    gateway.generator.script = abstain
    ended = (await anna.asked()).finished
    assert ended.outcome == t.OUTCOME_ABSTAINED
    assert ended.confidence == pytest.approx(0.04)
    assert ended.abstention.documents_searched == 63
    assert [item.title for item in ended.abstention.nearest] == ["Title of d"]


async def test_nothing_found_is_told_to_the_generator(gateway: GatewayUnderTest, anna: Visitor) -> None:
    gateway.retriever.found = ret.SearchResponse(documents_searched=63)

    async def abstain(request: gen.StreamGenerateRequest) -> fake.Steps:
        assert not request.evidence
        yield fake.decided(gen.DECISION_KIND_ABSTAIN, None)
        yield fake.wrote("Nothing.")
        yield fake.segment(0, "Nothing.", origin=e.ORIGIN_TEMPLATE)
        yield fake.done()

    gateway.generator.script = abstain
    stream = await anna.asked()
    assert stream.finished.outcome == t.OUTCOME_ABSTAINED
    assert not stream.finished.HasField("confidence")
    assert t.STAGE_READING not in [event.stage.stage for event in stream.seen]


@pytest.mark.parametrize(
    ("category", "reason"),
    [
        (guard.CATEGORY_OVERRIDE, t.BLOCK_REASON_INSTRUCTION_OVERRIDE),
        (guard.CATEGORY_MALFORMED, t.BLOCK_REASON_UNREADABLE),
        (guard.CATEGORY_TOO_LONG, t.BLOCK_REASON_TOO_LONG),
        (guard.CATEGORY_OFF_TOPIC, t.BLOCK_REASON_OFF_TOPIC),
        (guard.CATEGORY_LANGUAGE, t.BLOCK_REASON_LANGUAGE),
        (guard.CATEGORY_PII, t.BLOCK_REASON_PERSONAL_DATA),
        (guard.CATEGORY_SECRET, t.BLOCK_REASON_PERSONAL_DATA),
    ],
)
async def test_blocked(
    gateway: GatewayUnderTest, anna: Visitor, category: guard.Category.ValueType, reason: t.BlockReason.ValueType
) -> None:
    async def check(_: guard.CheckInputRequest) -> guard.CheckInputResponse:
        return fake.refuse(category)

    gateway.guard.check = check
    stream = await anna.asked()
    assert stream.kinds() == ["started", "stage", "understood", "finished"]
    assert (stream.finished.outcome, stream.finished.block_reason) == (t.OUTCOME_BLOCKED, reason)
    assert [timing.stage for timing in stream.finished.timings] == [t.STAGE_CHECKING]
    assert gateway.retriever.searches.requests == gateway.generator.drafts.requests == []


@pytest.mark.parametrize(("action", "passes"), [(0, False), (1, True), (2, True), (3, True), (4, False), (9, False)])
async def test_only_what_is_known_to_pass_passes(gateway: GatewayUnderTest, anna: Visitor, action: int, passes: bool) -> None:
    async def check(_: guard.CheckInputRequest) -> guard.CheckInputResponse:
        made = fake.allow(text="normalised?")
        made.verdict.action = action  # type: ignore[assignment]
        return made

    # A guard of ours never sends such a verdict, and its server would not let it.
    checked = await check(guard.CheckInputRequest())
    assert checked.verdict.action == action
    gateway.guard.check = check
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.mesh.interceptors.validation.ValidationLink.on_response", lambda *_: None)
        ended = (await anna.asked()).finished
    assert ended.outcome == (t.OUTCOME_ANSWERED if passes else t.OUTCOME_BLOCKED)
    assert len(gateway.retriever.searches.requests) == passes


@pytest.mark.parametrize(("intent", "searches"), [(0, 1), (1, 1), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (42, 1)])
async def test_only_small_talk_is_not_searched_for(
    gateway: GatewayUnderTest, anna: Visitor, intent: Intent.ValueType, searches: int
) -> None:
    async def check(request: guard.CheckInputRequest) -> guard.CheckInputResponse:
        return fake.allow(intent, request.text)

    async def talk(_: gen.StreamGenerateRequest) -> fake.Steps:
        yield fake.decided(gen.DECISION_KIND_TEMPLATE, None)
        yield fake.wrote("Hello!")
        yield fake.segment(0, "Hello!", origin=e.ORIGIN_TEMPLATE)
        yield fake.done()

    gateway.guard.check = check
    gateway.generator.script = talk
    stream = await anna.asked("hi")
    assert len(gateway.retriever.searches.requests) == searches
    assert stream.finished.outcome == t.OUTCOME_ANSWERED
    assert fold(stream.seen).text == "Hello!"
    if intent == INTENT_GREETING:
        assert "evidence" not in stream.kinds()


async def test_partial(gateway: GatewayUnderTest, anna: Visitor) -> None:
    async def decide(_: fake.FakeGuard, requests: AsyncIterator[guard.CheckOutputRequest]) -> fake.Decisions:
        first = True
        async for request in requests:
            if request.HasField("segment_end"):
                part = request.segment_end
                if first:
                    yield fake.withheld(part.range.start, part.range.end)
                else:
                    text = fake.SENTENCES[1].encode()
                    yield fake.released(text, part.range.start, 0, part.claims)
                first = False
        yield fake.concluded()

    gateway.guard.decide = decide
    stream = await anna.asked()
    assert stream.finished.outcome == t.OUTCOME_PARTIAL
    turn = fold(stream.seen)
    assert turn.text == fake.SENTENCES[1]
    assert (turn.claims[0].range.start, turn.claims[0].range.end) == (0, len(fake.SENTENCES[1]))


async def test_an_answer_that_is_withheld_as_a_whole_is_blocked(gateway: GatewayUnderTest, anna: Visitor) -> None:
    async def decide(_: fake.FakeGuard, requests: AsyncIterator[guard.CheckOutputRequest]) -> fake.Decisions:
        async for request in requests:
            if request.HasField("segment_end"):
                yield fake.withheld(request.segment_end.range.start, request.segment_end.range.end)
        yield fake.concluded()

    gateway.guard.decide = decide
    ended = (await anna.asked()).finished
    assert (ended.outcome, ended.block_reason) == (t.OUTCOME_BLOCKED, t.BLOCK_REASON_UNSUPPORTED)


@pytest.mark.parametrize(("leg", "named"), [(ret.SEARCH_LEG_DENSE, "dense search"), (ret.SEARCH_LEG_RERANK, "reranking")])
async def test_degraded(gateway: GatewayUnderTest, anna: Visitor, leg: ret.SearchLeg.ValueType, named: str) -> None:
    skipped = ret.SearchDegradation(leg=leg, reason="MODEL_UNAVAILABLE")
    gateway.retriever.found.degraded.append(skipped)
    stream = await anna.asked()
    [event] = [event.degraded for event in stream.seen if event.HasField("degraded")]
    assert (event.stage, event.skipped, event.reason) == (t.STAGE_SEARCHING, named, "MODEL_UNAVAILABLE")
    assert stream.finished.outcome == t.OUTCOME_ANSWERED


async def test_retracted(gateway: GatewayUnderTest, anna: Visitor) -> None:
    first, second = (text.encode() for text in fake.SENTENCES)

    async def decide(_: fake.FakeGuard, requests: AsyncIterator[guard.CheckOutputRequest]) -> fake.Decisions:
        async for decision in fake.release_all(_, requests):
            if decision.HasField("finished"):
                yield fake.taken_back(0, len(first))
            yield decision

    gateway.guard.decide = decide
    stream = await anna.asked()
    turn = fold(stream.seen)
    assert turn.text == " " * len(first) + fake.SENTENCES[1]
    assert len(turn.text.encode()) == len(first) + len(second)
    assert (turn.retractions[0].range.end, turn.retractions[0].reason) == (len(first), t.BLOCK_REASON_UNSUPPORTED)
    assert stream.finished.outcome == t.OUTCOME_PARTIAL
    assert await anna.turn(stream.turn) == turn
    again = await anna.resume(stream.turn).rest()
    assert [event.delta.text for event in again if event.HasField("delta")] == [" " * len(first), fake.SENTENCES[1]]


@pytest.mark.parametrize(
    ("verdict", "overall", "claims"),
    [
        (e.CLAIM_VERDICT_UNVERIFIED, t.OVERALL_VERDICT_PARTLY, 3),
        (e.CLAIM_VERDICT_UNSPECIFIED, t.OVERALL_VERDICT_VERIFIED, 2),
    ],
)
async def test_annotated(
    gateway: GatewayUnderTest, anna: Visitor, verdict: e.ClaimVerdict.ValueType, overall: t.OverallVerdict.ValueType, claims: int
) -> None:
    async def decide(_: fake.FakeGuard, requests: AsyncIterator[guard.CheckOutputRequest]) -> fake.Decisions:
        last = None
        async for decision in fake.release_all(_, requests):
            if decision.HasField("released"):
                last = decision.released.claims[-1].range
            if decision.HasField("finished"):
                assert last is not None
                yield guard.CheckOutputResponse(annotated=guard.Annotated(range=last, verdict=verdict, score=0.4))
                # Of words that are no claim's.
                yield guard.CheckOutputResponse(annotated=guard.Annotated(range=ev.span(1, 2), verdict=verdict))
            yield decision

    gateway.guard.decide = decide
    stream = await anna.asked()
    told = [event.claim.claim for event in stream.seen if event.HasField("claim")]
    assert len(told) == claims
    turn = fold(stream.seen)
    assert len(turn.claims) == 2
    assert turn.claims[-1].verdict == (verdict or e.CLAIM_VERDICT_VERIFIED)
    assert stream.finished.verdict == overall
    assert await anna.turn(stream.turn) == turn


async def test_steps_of_a_later_version_are_passed_over(gateway: GatewayUnderTest, anna: Visitor) -> None:
    async def later(request: gen.StreamGenerateRequest) -> fake.Steps:
        async for step in fake.answer(request):
            yield step
            yield gen.StreamGenerateResponse.FromString(b"\x9a\x06\x01x")

    async def decide(guard_: fake.FakeGuard, requests: AsyncIterator[guard.CheckOutputRequest]) -> fake.Decisions:
        async for decision in fake.release_all(guard_, requests):
            yield guard.CheckOutputResponse.FromString(b"\x9a\x06\x01x")
            yield decision

    gateway.generator.script, gateway.guard.decide = later, decide
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.mesh.interceptors.validation.ValidationLink.on_response", lambda *_: None)
        stream = await anna.asked()
    assert stream.finished.outcome == t.OUTCOME_ANSWERED
    assert fold(stream.seen).text == TEXT


async def test_a_claim_that_cites_nothing_of_this_turn_never_leaves(gateway: GatewayUnderTest, anna: Visitor) -> None:
    async def invent(_: gen.StreamGenerateRequest) -> fake.Steps:
        yield fake.decided()
        async for step in fake.sentences(fake.SENTENCES[0]):
            yield step
        async for step in fake.sentences("Made up.", cites="ev_invented", start=len(fake.SENTENCES[0].encode())):
            yield step
        yield fake.done()

    gateway.generator.script = invent
    stream = await anna.asked()
    assert (stream.finished.outcome, stream.finished.failure.reason) == (t.OUTCOME_FAILED, "INTERNAL")
    turn = fold(stream.seen)
    assert turn.text == fake.SENTENCES[0], "the sentence and its claim come together or not at all"
    assert len(turn.claims) == 1
    await until(lambda: gateway.generator.drafts.live == 0, "the generator's call ends")


async def test_unknown_assistants_are_refused(gateway: GatewayUnderTest, anna: Visitor) -> None:
    with pytest.raises(MeshError, match="ASSISTANT_NOT_FOUND"):
        await anna.asked(assistant="assistants/nobody")
