"""Passages that the guard holds back: at ingest and at use, what their owner sees of them, their release; with real models."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from ragmesh.guard.v1.guard_service_pb2 import Action
from ragmesh.identity.v1.principal_pb2 import Principal
from ragmesh.retriever.v1 import document_service_pb2
from ragmesh.retriever.v1 import quarantine_service_pb2 as pb
from ragmesh.retriever.v1.quarantine_service_pb2_grpc import QuarantineServiceStub

from services.mesh.errors import from_rpc_error
from services.retriever import screening
from tests.service.retriever.retriever_fixture import EDITOR, STRANGER, VISITOR, RetrieverClient, running_retriever
from tests.service.triton_fixture import RunningTriton

NOTES = "# Notes\n\nHemp is a plant.\n\n## Use\n\nIts fibre makes ropes and sails.\n\n## More\n\nPaper was made of hemp too.\n"
QUESTION = "What is hemp fibre used for? ropes sails paper"


async def held(client: RetrieverClient, principal: Principal | None = None, **fields: Any) -> list[pb.QuarantinedPassage]:
    stub: Any = QuarantineServiceStub(client.channel)
    request = pb.ListQuarantinedPassagesRequest(parent="collections/default", **fields)
    return list((await client.call(stub.ListQuarantinedPassages, request, principal)).passages)


async def release(client: RetrieverClient, name: str, principal: Principal | None = None) -> bool:
    stub: Any = QuarantineServiceStub(client.channel)
    answer = await client.call(stub.ReleasePassage, pb.ReleasePassageRequest(name=name), principal)
    return bool(answer.found)


async def texts(client: RetrieverClient) -> str:
    return "\n".join(evidence.text for evidence in (await client.search(QUESTION)).evidence)


async def reason(coroutine: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await coroutine
    return from_rpc_error(caught.value, service="retriever").reason


async def test_what_is_held_back_at_ingest_is_listed_and_released(client: RetrieverClient) -> None:
    client.guard.blocked = ["ropes"]
    await client.put("notes", NOTES)
    assert "ropes" not in await texts(client)
    (passage,) = await held(client)
    assert passage.name.startswith("collections/default/documents/notes/quarantine/")
    assert (passage.stored, list(passage.title_path)) == (True, ["Notes", "Use"])
    assert "ropes" in passage.text
    assert await release(client, passage.name)
    assert "ropes" in await texts(client)
    assert await held(client) == []
    documents = await client.call(client.documents.ListDocuments, _list_documents())
    assert documents.documents[0].quarantined_chunk_count == 0


async def test_a_release_outlives_the_next_import_and_a_restart(client: RetrieverClient) -> None:
    client.guard.blocked = ["ropes"]
    await client.put("notes", NOTES)
    (passage,) = await held(client)
    await release(client, passage.name)
    again = await client.put("notes", NOTES + "\n## Last\n\nOne more thing.\n")
    assert again.quarantined_chunk_count == 0
    assert "ropes" in await texts(client)


async def test_a_restart_finds_the_index_in_step(folder: Any, triton_server: RunningTriton) -> None:
    async with running_retriever(folder, triton_server.grpc) as client:
        client.guard.blocked = ["ropes"]
        await client.put("notes", NOTES)
        await client.put("others", NOTES.replace("hemp", "flax").replace("ropes", "shirts"))
        (passage,) = await held(client)
        await release(client, passage.name)
        client.guard.blocked, client.guard.rules = ["ropes", "shirts"], "new"
        _forget_when_rules_were_heard(client)
        assert "shirts" not in await texts(client)
    async with running_retriever(folder, triton_server.grpc) as client:
        found = await texts(client)
        assert client.retriever.index.healthy
    assert "ropes" in found and "shirts" not in found


async def test_what_was_stored_before_a_rule_existed_is_held_back_at_use(client: RetrieverClient) -> None:
    await client.put("notes", NOTES)
    assert "ropes" in await texts(client)
    client.guard.blocked, client.guard.rules = ["ropes"], "new"
    _forget_when_rules_were_heard(client)
    assert "ropes" not in await texts(client)
    (passage,) = await held(client)
    assert (passage.stored, "ropes" in passage.text) == (True, True)
    # It is gone from the index and the counts as well, and comes back.
    documents = await client.call(client.documents.ListDocuments, _list_documents())
    assert documents.documents[0].quarantined_chunk_count == 1
    assert await release(client, passage.name)
    assert "ropes" in await texts(client)


async def test_a_passage_is_asked_about_once_by_the_same_rules(client: RetrieverClient) -> None:
    client.guard.rules = "same"
    await client.put("notes", NOTES)
    asked = len(client.guard.requests)
    for _ in range(3):
        await client.search(QUESTION)
    assert len(client.guard.requests) == asked, "the import has told all there is to know"
    _forget_when_rules_were_heard(client)
    await client.search(QUESTION)
    (last,) = client.guard.requests[asked:]
    assert len(last.passages) == 1, "one passage, to hear by which rules the guard judges"
    assert last.document == "collections/default/documents/-"
    assert last.names[0].startswith("collections/default/documents/notes/versions/")


async def test_a_guard_that_does_not_answer_lets_nothing_unjudged_pass(client: RetrieverClient) -> None:
    await client.put("notes", NOTES)
    client.guard.verdicts = 0
    _forget_when_rules_were_heard(client)
    assert await reason(client.search(QUESTION)) == "SERVICE_UNAVAILABLE"


async def test_a_passage_that_is_quoted_passes(client: RetrieverClient) -> None:
    client.guard.blocked, client.guard.action, client.guard.sanitised = ["ropes"], Action.ACTION_SANITISE, "quoted"
    assert (await client.put("notes", NOTES)).quarantined_chunk_count == 0
    assert "ropes" in await texts(client)


@pytest.mark.parametrize(
    ("words", "told"),
    [(["Its fibre makes ropes and sails."], ["Its fibre makes ropes and sails."]), (["Use"], None), ([], None)],
    ids=["a sentence", "a heading", "not said which"],
)
async def test_what_is_quoted_of_a_passage_is_told_in_the_coordinates_of_its_document(
    client: RetrieverClient, words: list[str], told: list[str] | None
) -> None:
    client.guard.blocked, client.guard.action, client.guard.sanitised = ["ropes"], Action.ACTION_SANITISE, "quoted"
    client.guard.quoted = words
    await client.put("notes", NOTES)
    for _ in range(2):  # as it is told, and as it is remembered
        found = (await client.search(QUESTION)).evidence
        marked = [evidence for evidence in found if evidence.quoted]
        assert [evidence for evidence in found if "ropes" in evidence.text] == marked
        (evidence,) = marked
        begin, text = evidence.spans[0].start, evidence.text.encode()
        cut = [text[part.start - begin : part.end - begin].decode() for part in evidence.quoted]
        assert cut == (told if told is not None else [evidence.text])


async def test_a_released_passage_is_quoted_no_longer(client: RetrieverClient) -> None:
    client.guard.blocked = ["ropes"]
    await client.put("notes", NOTES)
    (passage,) = await held(client)
    await release(client, passage.name)
    client.guard.action, client.guard.sanitised, client.guard.rules = Action.ACTION_SANITISE, "quoted", "new"
    _forget_when_rules_were_heard(client)
    found = (await client.search(QUESTION)).evidence
    assert "ropes" in "".join(evidence.text for evidence in found)
    assert not any(evidence.quoted for evidence in found)


async def test_a_document_that_is_held_back_whole_can_be_released_and_imported(client: RetrieverClient) -> None:
    client.guard.blocked = ["poison"]
    assert (await client.put("bad", "Only poison here.\n")).reason == "DOCUMENT_QUARANTINED"
    (passage,) = await held(client)
    assert (passage.stored, passage.text) == (False, "Only poison here.")
    assert not await release(client, passage.name)
    assert (await client.put("bad", "Only poison here.\n")).quarantined_chunk_count == 0
    assert await held(client) == []


async def test_what_is_deleted_leaves_no_note(client: RetrieverClient) -> None:
    client.guard.blocked = ["ropes"]
    await client.put("notes", NOTES)
    assert len(await held(client)) == 1
    await client.call(client.documents.DeleteDocument, _delete("notes"))
    assert await held(client) == []
    assert await client.retriever.book.notes("default", "collections/default", ("", b""), 10) == []


async def test_the_listing_is_paged(client: RetrieverClient) -> None:
    client.guard.blocked = ["bad"]
    text = "".join(f"## H{number}\n\nText {number} is {'bad' if number % 2 else 'good'}.\n\n" for number in range(10))
    await client.put("many", text)
    stub: Any = QuarantineServiceStub(client.channel)
    found, token = [], ""
    while True:
        request = pb.ListQuarantinedPassagesRequest(parent="collections/default", page_size=2, page_token=token)
        page = await client.call(stub.ListQuarantinedPassages, request)
        assert len(page.passages) <= 2
        found += [passage.text for passage in page.passages]
        token = page.next_page_token
        if not token:
            break
    assert sorted(found) == [f"Text {number} is bad." for number in (1, 3, 5, 7, 9)]


async def test_only_the_owner_sees_and_releases(client: RetrieverClient) -> None:
    client.guard.blocked = ["ropes"]
    await client.put("notes", NOTES, labels=["staff"], principal=_labelled("staff"))
    (passage,) = await held(client, _labelled("staff"))
    assert await held(client, STRANGER) == []
    assert await held(client, EDITOR) == []
    assert await reason(held(client, VISITOR)) == "PERMISSION_DENIED"
    assert await reason(release(client, passage.name, VISITOR)) == "PERMISSION_DENIED"
    assert await reason(release(client, passage.name, STRANGER)) == "DOCUMENT_NOT_FOUND"
    assert await reason(release(client, passage.name, EDITOR)) == "DOCUMENT_NOT_FOUND"
    assert await reason(release(client, f"{passage.name[:-64]}{'0' * 64}", _labelled("staff"))) == "DOCUMENT_NOT_FOUND"
    assert await release(client, passage.name, _labelled("staff"))


def _labelled(label: str) -> Principal:
    return Principal(tenant="default", subject="users/owner", roles=["visitor", "editor"], labels=[label])


def _forget_when_rules_were_heard(client: RetrieverClient) -> None:
    rules = client.retriever.screening._rules
    for collection, (digest, heard) in list(rules.items()):
        rules[collection] = (digest, heard - 2 * screening._SAME_RULES_SECONDS)


def _list_documents() -> Any:
    return document_service_pb2.ListDocumentsRequest(parent="collections/default")


def _delete(name: str) -> Any:
    return document_service_pb2.DeleteDocumentRequest(name=f"collections/default/documents/{name}")
