"""What a turn does with what the search thinks of its evidence: answer, search again, name a gap, ask back, abstain."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from ragmesh.evidence.v1 import evidence_pb2 as e
from ragmesh.evidence.v1 import search_pb2 as s
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.generator.v1 import generator_service_pb2 as gen
from ragmesh.retriever.v1 import retriever_service_pb2 as ret

from services.gateway.fold import fold
from services.mesh.errors import MeshError
from tests.service.gateway.visitors import GatewayUnderTest, Visitor
from tests.unit.gateway import turn_events as ev


def found(
    decision: s.SufficiencyDecision.ValueType, probability: float | None = 0.9, name: str = "ev_1", **more: object
) -> ret.SearchResponse:
    judged = s.Sufficiency(decision=decision, probability=probability, **more)  # type: ignore[arg-type]
    return ret.SearchResponse(evidence=[ev.evidence(name)], documents_searched=63, sufficiency=judged)


async def says_template(request: gen.StreamGenerateRequest) -> AsyncIterator[gen.StreamGenerateResponse]:
    """As the generator meets a question without evidence."""
    kind = gen.DECISION_KIND_TEMPLATE if request.ask_back else gen.DECISION_KIND_ABSTAIN
    yield gen.StreamGenerateResponse(decision=gen.Decision(kind=kind))
    yield gen.StreamGenerateResponse(text=gen.GeneratedText(text="Reviewed."))
    segment = e.Segment(range=ev.span(0, 9), origin=e.ORIGIN_TEMPLATE, template_id="clarify" if request.ask_back else "abstain")
    yield gen.StreamGenerateResponse(segment_end=segment)
    yield gen.StreamGenerateResponse(finished=gen.GenerationFinished())


async def test_the_completed_question_is_answered_and_told(gateway: GatewayUnderTest, anna: Visitor) -> None:
    gateway.retriever.found = found(s.SUFFICIENCY_DECISION_ANSWER)
    gateway.retriever.found.searched.text = "How is CBD oil stored?"
    stream = await anna.asked("How is it stored?")
    assert gateway.generator.drafts.requests[0].question == "How is CBD oil stored?"
    (told,) = [event.evidence for event in stream.seen if event.HasField("evidence")]
    assert told.searched.text == "How is CBD oil stored?"
    assert told.sufficiency.probability == pytest.approx(0.9)
    assert stream.finished.outcome == t.OUTCOME_ANSWERED
    search = gateway.retriever.searches.requests[0]
    assert search.subject == "cannabidiol (CBD)"
    assert 1024 < search.max_tokens < gateway.settings.window_tokens
    assert not search.reformulate


async def test_a_search_that_falls_short_is_made_once_more(gateway: GatewayUnderTest, anna: Visitor) -> None:
    async def search(request: ret.SearchRequest) -> ret.SearchResponse:
        if request.reformulate:
            return found(s.SUFFICIENCY_DECISION_ANSWER, 0.7, "ev_2")
        return found(s.SUFFICIENCY_DECISION_ABSTAIN, 0.01)

    gateway.retriever.search = search
    stream = await anna.asked()
    assert [request.reformulate for request in gateway.retriever.searches.requests] == [False, True]
    assert [one.name for one in gateway.generator.drafts.requests[0].evidence] == ["ev_2"]
    turn = fold(stream.seen)
    assert [one.name for one in turn.evidence] == ["ev_1", "ev_2"]


async def test_two_searches_that_fall_short_end_in_abstention(gateway: GatewayUnderTest, anna: Visitor) -> None:
    async def search(request: ret.SearchRequest) -> ret.SearchResponse:
        return found(s.SUFFICIENCY_DECISION_ABSTAIN, 0.01, "ev_2" if request.reformulate else "ev_1")

    gateway.retriever.search = search
    gateway.generator.script = says_template
    stream = await anna.asked()
    assert len(gateway.retriever.searches.requests) == 2
    assert list(gateway.generator.drafts.requests[0].evidence) == []
    assert stream.finished.outcome == t.OUTCOME_ABSTAINED
    assert stream.finished.abstention.documents_searched == 63
    assert len(stream.finished.abstention.nearest) == 1


async def test_a_second_search_that_fails_costs_nothing(gateway: GatewayUnderTest, anna: Visitor) -> None:
    async def search(request: ret.SearchRequest) -> ret.SearchResponse:
        if request.reformulate:
            raise MeshError("STORE_UNAVAILABLE", "gone", metadata={"store": "index"})
        return found(s.SUFFICIENCY_DECISION_ABSTAIN, 0.01)

    gateway.retriever.search = search
    gateway.generator.script = says_template
    stream = await anna.asked()
    assert stream.finished.outcome == t.OUTCOME_ABSTAINED
    (degraded,) = fold(stream.seen).degradations
    assert (degraded.skipped, degraded.reason) == ("second search", "STORE_UNAVAILABLE")


async def test_a_gap_is_named_and_the_answer_is_partial(gateway: GatewayUnderTest, anna: Visitor) -> None:
    gateway.retriever.found = found(s.SUFFICIENCY_DECISION_ANSWER_WITH_GAP, missing=["Who invented it?"])
    stream = await anna.asked()
    assert (stream.finished.outcome, list(stream.finished.gaps)) == (t.OUTCOME_PARTIAL, ["Who invented it?"])


async def test_a_question_that_names_nothing_is_asked_back(gateway: GatewayUnderTest, anna: Visitor) -> None:
    gateway.retriever.found = found(s.SUFFICIENCY_DECISION_ASK_BACK, None)
    gateway.generator.script = says_template
    stream = await anna.asked("what about it?")
    draft = gateway.generator.drafts.requests[0]
    assert (draft.ask_back, list(draft.evidence)) == (True, [])
    assert stream.finished.outcome == t.OUTCOME_CLARIFICATION
    assert "Can CBD make a drug test positive?" in stream.finished.suggestions
    assert len(gateway.retriever.searches.requests) == 1
