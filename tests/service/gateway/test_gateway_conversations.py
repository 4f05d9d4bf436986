"""What is kept: conversations, turns, ratings, passages; whose it is; and what is refused before anything happens."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from ragmesh.gateway.v1 import gateway_service_pb2 as g
from ragmesh.gateway.v1 import turn_pb2 as t
from ragmesh.retriever.v1 import retriever_service_pb2 as ret

from services.gateway.fold import fold
from services.mesh.errors import MeshError, from_rpc_error
from services.mesh.identity import local_principal
from tests.service.gateway import fake_services as fake
from tests.service.gateway.conftest import Start
from tests.service.gateway.visitors import QUESTION, SECONDS, GatewayUnderTest, Visitor, failure
from tests.unit.gateway import turn_events as ev
from tests.unit.gateway.waiting import until

NOT_FOUND = {"TURN_NOT_FOUND", "CONVERSATION_NOT_FOUND"}
SERVICE = "ragmesh.gateway.v1.GatewayService"


def _methods() -> dict[str, Any]:
    """Name of every method -> the class of its request."""
    service = g.DESCRIPTOR.services_by_name["GatewayService"]
    return {method.name: getattr(g, method.input_type.name) for method in service.methods}


def _naming(method: str, turn: str, conversation: str) -> Any:
    """A request of `method` that names the turn or the conversation; None where it names neither."""
    fields: dict[str, dict[str, Any] | None] = {
        "StreamAnswer": {"question": QUESTION, "conversation": conversation},
        "Answer": {"question": QUESTION, "conversation": conversation},
        "ResumeAnswer": {"turn": turn},
        "StopAnswer": {"turn": turn},
        "GetPassage": {"turn": turn, "evidence": "ev_1"},
        "GetConversation": {"name": conversation},
        "ListTurns": {"parent": conversation},
        "GetTurn": {"name": turn},
        "DeleteConversation": {"name": conversation},
        "RateAnswer": {"turn": turn, "rating": t.Rating(thumb=t.THUMB_DOWN)},
        "ListConversations": None,
        "CreateSession": None,
        "GetAssistant": None,
    }
    known = fields[method]
    return None if known is None else _methods()[method](**known)


async def _outcome(visitor: Visitor, method: str, request: Any) -> str:
    """The reason that a call fails with, or OK."""
    try:
        call = getattr(visitor.stub, method)(request, metadata=visitor.metadata, timeout=SECONDS)
        if isinstance(call, grpc.aio.UnaryStreamCall):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error, service="gateway").reason
    return "OK"


@pytest.mark.parametrize("live", [False, True])
async def test_nobody_reaches_what_is_anothers_by_any_method(gateway: GatewayUnderTest, anna: Visitor, live: bool) -> None:
    if live:
        gateway.retriever.search = fake.hang
    stream = anna.ask()
    conversation = (await stream.until("started")).started.conversation
    if not live:
        await stream.rest()
    before = await anna.turn(stream.turn) if not live else None
    others = [
        gateway.visitor(ev.visitor("bert")),
        gateway.visitor(local_principal()),
        gateway.visitor(type(local_principal())(tenant="other", subject="sessions/anna", roles=["visitor"])),
    ]
    for method in _methods():
        mine = _naming(method, stream.turn, conversation)
        if mine is None:
            continue
        missing = _naming(method, "conversations/none/turns/none", "conversations/none")
        for other in others:
            assert await _outcome(other, method, mine) in NOT_FOUND, method
            assert await _outcome(other, method, mine) == await _outcome(other, method, missing), "the two are not told apart"
    for other in others:
        assert not (await other.call("ListConversations", g.ListConversationsRequest())).conversations
    if live:
        assert (await anna.stop(stream.turn)).finished.outcome == t.OUTCOME_STOPPED
    else:
        assert await anna.turn(stream.turn) == before


async def test_without_an_identity_only_two_methods_answer(gateway: GatewayUnderTest) -> None:
    nobody = gateway.visitor(None)
    for method, request_type in _methods().items():
        request = _naming(method, "conversations/c/turns/t", "conversations/c") or request_type()
        reason = await _outcome(nobody, method, request)
        expected = {"GetAssistant": "OK", "CreateSession": "STORE_UNAVAILABLE"}.get(method, "UNAUTHENTICATED")
        assert reason == expected, method


async def test_a_visitor_gets_a_session(gateway: GatewayUnderTest) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    path = gateway.settings.data_dir / "keys" / "session.pem"
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    made = await gateway.visitor(None).call("CreateSession", g.CreateSessionRequest())
    claims = jwt.decode(made.token, private.public_key(), algorithms=["ES256"], audience="ragmesh-gateway", issuer="ragmesh")
    assert claims["sub"] == made.subject and claims["exp"] == made.expire_time.ToSeconds()


async def test_who_answers_here(gateway: GatewayUnderTest) -> None:
    nobody = gateway.visitor(None)
    found = (await nobody.call("GetAssistant", g.GetAssistantRequest())).assistant
    assert (found.name, found.display_name, found.document_count) == ("assistants/default", "ChatCBD", 63)
    assert len(found.sample_questions) == 4 and found.introduction and found.disclaimer
    error = await failure(nobody.call("GetAssistant", g.GetAssistantRequest(name="assistants/nobody")))
    assert (error.reason, error.metadata) == ("ASSISTANT_NOT_FOUND", {"assistant": "assistants/nobody"})
    await gateway.services.stop("retriever")
    alone = (await nobody.call("GetAssistant", g.GetAssistantRequest())).assistant
    assert alone.display_name == "ChatCBD" and not alone.HasField("document_count")


async def test_the_number_of_documents_is_told_once_it_is_known(gateway: GatewayUnderTest, anna: Visitor) -> None:
    await anna.call("GetAssistant", g.GetAssistantRequest())
    stages = {event.stage.stage: event.stage for event in (await anna.asked()).seen if event.HasField("stage")}
    assert stages[t.STAGE_SEARCHING].count == 63
    assert stages[t.STAGE_READING].count == 1
    assert not stages[t.STAGE_CHECKING].HasField("count")


async def test_conversations_are_paged_by_last_use(anna: Visitor) -> None:
    streams = [await anna.asked(f"Question {n}?") for n in range(5)]
    names = [stream.seen[0].started.conversation for stream in streams]
    await anna.asked("again?", conversation=names[1])
    expected = [names[1], names[4], names[3], names[2], names[0]]
    seen: list[g.Conversation] = []
    token, pages = "", 0
    while True:
        page = await anna.call("ListConversations", g.ListConversationsRequest(page_size=2, page_token=token))
        seen += page.conversations
        token, pages = page.next_page_token, pages + 1
        if not token:
            break
    assert pages == 3 and [one.name for one in seen] == expected
    assert [one.title for one in seen] == [f"Question {n}?" for n in (1, 4, 3, 2, 0)]
    assert [one.turn_count for one in seen] == [2, 1, 1, 1, 1]
    assert {one.assistant for one in seen} == {"assistants/default"}
    whole = await anna.call("ListConversations", g.ListConversationsRequest(page_size=5))
    assert len(whole.conversations) == 5 and not whole.next_page_token


async def test_turns_are_paged_from_the_oldest(anna: Visitor) -> None:
    first = await anna.asked("1?")
    conversation = first.seen[0].started.conversation
    streams = [first] + [await anna.asked(f"{n}?", conversation=conversation) for n in range(2, 6)]
    seen: list[t.Turn] = []
    token = ""
    while True:
        page = await anna.call("ListTurns", g.ListTurnsRequest(parent=conversation, page_size=2, page_token=token))
        assert len(page.turns) <= 2
        seen += page.turns
        token = page.next_page_token
        if not token:
            break
    assert seen == [fold(stream.seen) for stream in streams]


async def test_a_page_of_turns_fits_into_a_message(gateway: GatewayUnderTest, anna: Visitor) -> None:
    passages = [ev.evidence(f"ev_{n}", text="p" * 32_000) for n in range(40)]
    gateway.retriever.found = ret.SearchResponse(evidence=passages, documents_searched=63)
    conversation, names = "", []
    for n in range(4):
        stream = await anna.asked(f"{n}?", conversation=conversation)
        conversation = stream.seen[0].started.conversation
        names.append(stream.turn)
    seen: list[str] = []
    token, pages = "", 0
    while token or not pages:
        page = await anna.call("ListTurns", g.ListTurnsRequest(parent=conversation, page_token=token))
        assert page.ByteSize() < 4 * 1024 * 1024
        seen += [turn.name for turn in page.turns]
        token, pages = page.next_page_token, pages + 1
    assert seen == names and pages > 1


async def test_page_tokens_are_of_one_listing_and_one_visitor(gateway: GatewayUnderTest, anna: Visitor) -> None:
    bert = gateway.visitor(ev.visitor("bert"))
    conversations = []
    for visitor in (anna, bert):
        first = (await visitor.asked("1?")).seen[0].started.conversation
        await visitor.asked("2?", conversation=first)
        await visitor.asked("3?")
        conversations.append(first)
    listing = await anna.call("ListConversations", g.ListConversationsRequest(page_size=1))
    turns = await anna.call("ListTurns", g.ListTurnsRequest(parent=conversations[0], page_size=1))
    tries = [
        (bert, "ListConversations", g.ListConversationsRequest(page_token=listing.next_page_token)),
        (anna, "ListConversations", g.ListConversationsRequest(page_token=turns.next_page_token)),
        (anna, "ListConversations", g.ListConversationsRequest(page_token=listing.next_page_token[:-2])),
        (anna, "ListConversations", g.ListConversationsRequest(page_token="x" * 1000)),
        (anna, "ListTurns", g.ListTurnsRequest(parent=conversations[0], page_token=listing.next_page_token)),
        (bert, "ListTurns", g.ListTurnsRequest(parent=conversations[1], page_token=turns.next_page_token)),
    ]
    for visitor, method, request in tries:
        error = await failure(visitor.call(method, request))
        assert (error.reason, error.metadata) == ("PAGE_TOKEN_INVALID", {"field": "page_token"})


async def test_a_page_has_at_most_two_hundred(gateway: GatewayUnderTest) -> None:
    owner = gateway.visitor(local_principal())
    await asyncio.gather(*(owner.asked() for _ in range(205)))
    page = await owner.call("ListConversations", g.ListConversationsRequest(page_size=2**32 - 1))
    assert len(page.conversations) == 200 and page.next_page_token
    assert len((await owner.call("ListConversations", g.ListConversationsRequest())).conversations) == 50


async def test_an_answer_is_rated(gateway: GatewayUnderTest, anna: Visitor) -> None:
    stream = await anna.asked()
    for rating in (t.Rating(thumb=t.THUMB_DOWN, comment="Quelle fehlt"), t.Rating(thumb=t.THUMB_UP)):
        kept = await anna.call("RateAnswer", g.RateAnswerRequest(turn=stream.turn, rating=rating))
        assert kept.rating == rating
        assert (await anna.turn(stream.turn)).rating == rating
    gateway.retriever.search = fake.hang
    live = anna.ask()
    await live.until("started")
    error = await failure(anna.call("RateAnswer", g.RateAnswerRequest(turn=live.turn, rating=t.Rating(thumb=t.THUMB_UP))))
    assert (error.reason, error.metadata) == ("TURN_NOT_FINISHED", {"turn": live.turn})


async def test_passages_behind_citations(gateway: GatewayUnderTest, anna: Visitor) -> None:
    stream = await anna.asked()
    found = await anna.call("GetPassage", g.GetPassageRequest(turn=stream.turn, evidence="ev_1"))
    assert found.passage.text == f"around {ev.evidence().chunk}"
    request = gateway.retriever.passages.requests[0]
    assert request.chunk == ev.evidence().chunk and not request.HasField("neighbours")
    assert [who and who.subject for who in gateway.retriever.passages.principals] == ["sessions/anna"]
    await anna.call("GetPassage", g.GetPassageRequest(turn=stream.turn, evidence="ev_1", neighbours=0))
    request = gateway.retriever.passages.requests[1]
    assert request.HasField("neighbours") and request.neighbours == 0, "0 is a value"
    for name in ("ev_2", ev.evidence().chunk, "' OR 1=1"):
        error = await failure(anna.call("GetPassage", g.GetPassageRequest(turn=stream.turn, evidence=name)))
        assert (error.reason, error.metadata) == ("EVIDENCE_NOT_FOUND", {"evidence": name})
    assert len(gateway.retriever.passages.requests) == 2


async def test_a_passage_that_is_gone_is_said_to_be(gateway: GatewayUnderTest, anna: Visitor) -> None:
    stream = await anna.asked()
    version = {"document_version": "collections/default/documents/d/versions/v"}
    gateway.retriever.failure = MeshError("PASSAGE_GONE", "the document has changed since", metadata=version)
    error = await failure(anna.call("GetPassage", g.GetPassageRequest(turn=stream.turn, evidence="ev_1")))
    assert (error.reason, error.metadata, error.message) == ("PASSAGE_GONE", version, "the document has changed since")
    await gateway.services.stop("retriever")
    error = await failure(anna.call("GetPassage", g.GetPassageRequest(turn=stream.turn, evidence="ev_1")))
    assert error.reason == "SERVICE_UNAVAILABLE" and error.retry_after


async def test_a_conversation_is_deleted_with_its_live_turn(gateway: GatewayUnderTest, anna: Visitor) -> None:
    secret = "Where does Zebulon keep the oil?"
    first = await anna.asked(secret)
    conversation = first.seen[0].started.conversation
    reached = asyncio.Event()

    async def stand_still(_: object) -> Any:
        reached.set()
        await fake.hang(None)

    gateway.retriever.search = stand_still
    live = anna.ask("And where Quixote?", conversation=conversation)
    await live.until("started")
    await reached.wait()
    following = asyncio.create_task(live.rest())
    deleted = await anna.call("DeleteConversation", g.DeleteConversationRequest(name=conversation))
    assert deleted.turn_count == 2
    # A reader sees the end of the turn, or that it is not there any more; it is not left waiting.
    await asyncio.wait([following], timeout=5)
    error = following.exception()
    assert error is None or (isinstance(error, MeshError) and error.reason == "TURN_NOT_FOUND")
    await until(lambda: gateway.retriever.searches.cancelled == 1, "the search is cancelled")
    for method in ("GetConversation", "ListTurns", "GetTurn", "DeleteConversation", "ResumeAnswer"):
        assert await _outcome(anna, method, _naming(method, first.turn, conversation)) in NOT_FOUND
    left = b"".join(path.read_bytes() for path in gateway.settings.data_dir.glob("turns.db*"))
    assert b"Zebulon" not in left and b"Quixote" not in left


async def test_who_asks_too_often_is_told_when_to_come_back(start_gateway: Start) -> None:
    gateway = await start_gateway(questions_per_minute=2)
    anna, bert = gateway.visitor(ev.visitor("anna")), gateway.visitor(ev.visitor("bert"))
    for _ in range(2):
        await anna.asked()
    error = await failure(anna.asked())
    assert (error.reason, error.metadata) == ("RATE_LIMITED", {"limit_per_minute": "2"})
    assert error.retry_after is not None and 50 < error.retry_after <= 60
    assert error.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await failure(anna.answer())).reason == "RATE_LIMITED"
    await bert.asked()
    owner = gateway.visitor(local_principal())
    for _ in range(4):
        await owner.asked()
    assert len((await anna.call("ListConversations", g.ListConversationsRequest())).conversations) == 2


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"question": ""}, "question"),
        ({"question": "x" * 8193}, "question"),
        ({"question": "ü" * 4097}, "question"),
        ({"question": "?", "conversation": "turns/x"}, "conversation"),
        ({"question": "?", "conversation": "conversations/a/b"}, "conversation"),
        ({"question": "?", "request_id": "not-a-uuid"}, "request_id"),
        ({"question": "?", "assistant": "default"}, "assistant"),
    ],
)
async def test_a_broken_request_names_its_field(
    gateway: GatewayUnderTest, anna: Visitor, fields: dict[str, str], path: str
) -> None:
    for call in (anna.asked(**fields), anna.answer(**fields)):
        error = await failure(call)
        assert error.reason == "INVALID_REQUEST"
        assert [violation[0] for violation in error.violations] == [path]
    assert gateway.guard.input.requests == []


async def test_the_longest_question_is_taken(anna: Visitor) -> None:
    assert (await anna.asked("ü" * 4096)).finished.outcome == t.OUTCOME_ANSWERED


async def test_ten_megabytes_are_refused_and_do_no_harm(anna: Visitor) -> None:
    error = await failure(anna.asked("x" * 10_000_000))
    assert (error.reason, error.retry_after) == ("REQUEST_TOO_LARGE", None)
    assert (await anna.asked()).finished.outcome == t.OUTCOME_ANSWERED


@pytest.mark.parametrize("raw", [b"\x0a\x02\xff\xfe", b"\x0a\x05abc", b"\xff\xff\xff\xff", b"\x0a\x03a\xed\xa0"])
@pytest.mark.parametrize("method", ["StreamAnswer", "Answer"])
async def test_bytes_that_are_no_text_are_refused(anna: Visitor, raw: bytes, method: str) -> None:
    make: Any = anna._channel.unary_stream if method == "StreamAnswer" else anna._channel.unary_unary
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        call = make(f"/{SERVICE}/{method}")(raw, metadata=anna.metadata, timeout=SECONDS)
        if method == "StreamAnswer":
            await call.read()
        else:
            await call
    error = from_rpc_error(caught.value, service="gateway")
    assert (error.reason, error.metadata) == ("MALFORMED_REQUEST", {"method": f"/{SERVICE}/{method}"})
    assert error.code == caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_full_conversation(start_gateway: Start) -> None:
    gateway = await start_gateway(max_turns=2)
    anna = gateway.visitor(ev.visitor("anna"))
    conversation = (await anna.asked()).seen[0].started.conversation
    await anna.asked(conversation=conversation)
    error = await failure(anna.asked(conversation=conversation))
    assert (error.reason, error.metadata) == ("CONVERSATION_FULL", {"limit_turns": "2"})
