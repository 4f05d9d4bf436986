"""Imports over gRPC with real models: whole or nothing, one answer a document, rejected for a reason that a person understands."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import grpc
import pytest
from ragmesh.guard.v1.guard_service_pb2 import Action
from ragmesh.retriever.v1 import document_service_pb2 as pb

from services.mesh import context
from services.mesh.errors import from_rpc_error
from services.retriever import truth_reads
from services.retriever.records import DocumentKey, DocumentRecord, Reader
from services.retriever.truth import Connection
from tests.service.retriever.retriever_fixture import EDITOR, VISITOR, RetrieverClient, import_of

NOTES = """---
title: Notes on hemp
topic: plants
---

# Notes on hemp

Hemp is a plant of the family Cannabaceae. Größere Pflanzen erreichen vier Meter.

## Fibre

The fibre of hemp is used for ropes, sails and paper.

## Seeds

- Hemp seeds hold about 30 percent oil.
- They hold no cannabinoids.
"""


async def get(client: RetrieverClient, name: str) -> pb.Document:
    found = await client.call(client.documents.GetDocument, pb.GetDocumentRequest(name=f"collections/default/documents/{name}"))
    document: pb.Document = found.document
    return document


async def failure(coroutine: object) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await coroutine  # type: ignore[misc]
    return from_rpc_error(caught.value, service="retriever").reason


async def test_an_acked_document_is_found_and_described(client: RetrieverClient) -> None:
    acked = await client.put("notes", NOTES, source_uri="plants/notes.md", labels=[])
    assert (acked.document, acked.chunk_count, acked.unchanged) == ("collections/default/documents/notes", 3, False)
    document = await get(client, "notes")
    assert document.version == acked.version
    assert (document.title, document.media_type, document.source_uri) == ("Notes on hemp", "text/markdown", "plants/notes.md")
    assert (document.size_bytes, document.sha256) == (len(NOTES.encode()), hashlib.sha256(NOTES.encode()).hexdigest())
    assert (document.chunk_count, document.quarantined_chunk_count) == (3, 0)
    assert document.create_time == document.update_time
    evidence = (await client.search("What is hemp fibre used for?")).evidence[0]
    assert evidence.text == "The fibre of hemp is used for ropes, sails and paper."
    assert list(evidence.title_path) == ["Notes on hemp", "Fibre"]


async def test_many_documents_on_one_stream_are_answered_in_order(client: RetrieverClient) -> None:
    requests = []
    for number in range(12):
        requests += import_of(f"d{number}", "" if number == 5 else f"# Title {number}\n\nBody number {number}.\n")
    responses = await client.send(requests)
    assert [response.WhichOneof("result") for response in responses] == ["acked"] * 5 + ["rejected"] + ["acked"] * 6
    assert responses[5].rejected.reason == "DOCUMENT_EMPTY"
    assert (await client.search("body number 7")).documents_searched == 11


async def test_the_same_bytes_are_acked_at_once(client: RetrieverClient) -> None:
    first = await client.put("notes", NOTES)
    asked = len(client.guard.requests)
    responses = await client.send([import_of("notes", NOTES)[0]])
    assert responses[0].acked.unchanged
    assert responses[0].acked.version == first.version
    assert responses[0].acked.chunk_count == first.chunk_count
    again = await client.put("notes", NOTES)
    assert again.unchanged
    assert len(client.guard.requests) == asked


async def test_an_unchanged_document_is_looked_up_once(client: RetrieverClient, monkeypatch: pytest.MonkeyPatch) -> None:
    await client.put("notes", NOTES)
    looked: list[str] = []
    look = truth_reads.find_document

    def counted(connection: Connection, reader: Reader, key: DocumentKey) -> DocumentRecord | None:
        looked.append(key.document)
        return look(connection, reader, key)

    monkeypatch.setattr(truth_reads, "find_document", counted)
    assert (await client.put("notes", NOTES)).unchanged
    assert looked == ["notes"]


@pytest.mark.parametrize(
    "changed", [{"labels": ["hr"]}, {"source_uri": "elsewhere"}, {"title": "Other"}, {"media_type": "text/plain"}]
)
async def test_the_same_bytes_announced_otherwise_are_another_version(client: RetrieverClient, changed: dict[str, Any]) -> None:
    first = await client.put("notes", NOTES)
    again = await client.put("notes", NOTES, **changed)
    assert not again.unchanged
    assert again.version != first.version


async def test_a_new_version_replaces_the_old_one_at_once(client: RetrieverClient) -> None:
    await client.put("a", "# A\n\nThe old zebra text.\n")
    assert len((await client.search("zebra")).evidence) == 1
    await client.put("a", "# A\n\nThe new giraffe text.\n")
    assert [e.text for e in (await client.search("zebra", dense_weight=0.0)).evidence] == []
    assert [e.text for e in (await client.search("giraffe")).evidence] == ["The new giraffe text."]
    document = await get(client, "a")
    assert document.update_time.ToNanoseconds() > document.create_time.ToNanoseconds()


async def test_searches_beside_replacements_always_see_one_whole_version(client: RetrieverClient) -> None:
    def text(number: int) -> str:
        return f"# A\n\nAlpha zebra version{number}.\n\n## Second\n\nBeta zebra version{number}.\n"

    await client.put("a", text(0))
    stop = asyncio.Event()
    seen: list[set[str]] = []

    async def look() -> None:
        while not stop.is_set():
            found = await client.search("zebra", dense_weight=0.0)
            seen.append({evidence.document_version for evidence in found.evidence})
            assert len(found.evidence) == 2

    watching = asyncio.create_task(look())
    for number in range(1, 15):
        await client.put("a", text(number))
    stop.set()
    await watching
    assert len(seen) > 5
    assert all(len(versions) == 1 for versions in seen)


async def test_a_large_document_comes_through_the_spool(client: RetrieverClient) -> None:
    section = "Rope is made of hemp, and number {0} is its mark. " * 8
    text = "\n\n".join(f"## Section {number}\n\n{section.format(number)}" for number in range(400))
    assert len(text) > 128 * 1024
    acked = await client.put("large", "# Large\n\n" + text)
    assert acked.chunk_count >= 400
    found = await client.search("Section 317", dense_weight=0.0)
    assert found.evidence[0].title_path[-1] == "Section 317"
    assert list((client.settings.folder / "spool").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "begin", "reason"),
    [
        (b"%PDF-1.7 not text", {"media_type": "text/plain"}, "MEDIA_TYPE_UNSUPPORTED"),
        (b"\x00\x01\x02\x03" * 100, {"media_type": "text/markdown"}, "MEDIA_TYPE_UNSUPPORTED"),
        (b"PK", {"media_type": "application/zip"}, "MEDIA_TYPE_UNSUPPORTED"),
        (b" \n \n", {}, "DOCUMENT_EMPTY"),
        (b"<html><script>1</script></html>", {"media_type": "text/html"}, "DOCUMENT_EMPTY"),
        ("Grüße".encode("cp1252"), {"media_type": "text/plain; charset=utf-32"}, "DOCUMENT_UNREADABLE"),
        (b"text", {"sha256": "0" * 64}, "CHECKSUM_MISMATCH"),
        (b"text", {"size_bytes": 3}, "CHECKSUM_MISMATCH"),
        (b"text", {"size_bytes": 5}, "CHECKSUM_MISMATCH"),
        (b"text", {"size_bytes": 200 * 1024 * 1024}, "DOCUMENT_TOO_LARGE"),
    ],
)
async def test_what_cannot_be_stored_is_refused_and_the_stream_goes_on(
    client: RetrieverClient, text: bytes, begin: dict[str, Any], reason: str
) -> None:
    responses = await client.send([*import_of("bad", text, **begin), *import_of("good", "# Good\n\nGood text.\n")])
    assert responses[0].rejected.reason == reason
    assert responses[0].rejected.document == "collections/default/documents/bad"
    assert responses[0].rejected.message
    assert responses[1].acked.document == "collections/default/documents/good"
    assert await failure(get(client, "bad")) == "DOCUMENT_NOT_FOUND"


async def test_a_refused_import_keeps_the_former_version(client: RetrieverClient) -> None:
    first = await client.put("a", "# A\n\nThe zebra stays.\n")
    assert (await client.put("a", "", sha256="1" * 64)).reason == "DOCUMENT_EMPTY"
    assert (await get(client, "a")).version == first.version
    assert len((await client.search("zebra")).evidence) == 1


async def test_order_that_means_nothing_ends_the_stream(client: RetrieverClient) -> None:
    begin, data, commit = import_of("a", "# A\n\nText.\n")
    assert await failure(client.send([data])) == "IMPORT_OUT_OF_ORDER"
    assert await failure(client.send([commit])) == "IMPORT_OUT_OF_ORDER"
    assert await failure(client.send([begin, begin])) == "IMPORT_OUT_OF_ORDER"
    assert await failure(client.send([begin, data])) == "IMPORT_OUT_OF_ORDER"
    assert await failure(client.send([begin, data, commit, commit])) == "IMPORT_OUT_OF_ORDER"


async def test_names_and_sizes_are_validated(client: RetrieverClient) -> None:
    for name in ("collections/UPPER/documents/a", "collections/c/documents/../x", "documents/a", "collections/c/documents/"):
        assert await failure(client.send(import_of(name, "text"))) == "INVALID_REQUEST"


async def test_the_guard_sees_every_passage_with_its_headings(client: RetrieverClient) -> None:
    await client.put("notes", NOTES)
    (request,) = client.guard.requests
    assert request.document == "collections/default/documents/notes"
    assert len(request.passages) == 3
    assert all(passage.startswith("Notes on hemp\n") for passage in request.passages)
    assert "Fibre" in request.passages[1]


@pytest.mark.parametrize("action", [Action.ACTION_BLOCK, Action.ACTION_SANITISE])
async def test_blocked_passages_are_counted_and_never_found(client: RetrieverClient, action: Action.ValueType) -> None:
    client.guard.blocked, client.guard.action = ["ropes"], action
    acked = await client.put("notes", NOTES)
    assert (acked.chunk_count, acked.quarantined_chunk_count) == (3, 1)
    assert (await get(client, "notes")).quarantined_chunk_count == 1
    found = await client.search("What is hemp fibre used for? ropes sails paper")
    assert found.evidence
    assert all("ropes" not in evidence.text for evidence in found.evidence)


async def test_flagged_passages_pass(client: RetrieverClient) -> None:
    client.guard.blocked, client.guard.action = ["ropes"], Action.ACTION_FLAG
    assert (await client.put("notes", NOTES)).quarantined_chunk_count == 0


async def test_a_document_that_is_blocked_altogether_is_refused(client: RetrieverClient) -> None:
    first = await client.put("notes", NOTES)
    client.guard.blocked = ["Notes"]
    assert (await client.put("notes", NOTES + "\nMore.\n")).reason == "DOCUMENT_QUARANTINED"
    assert (await get(client, "notes")).version == first.version


async def test_a_guard_that_does_not_judge_everything_stores_nothing(client: RetrieverClient) -> None:
    client.guard.verdicts = 1
    assert (await client.put("notes", NOTES)).reason == "SERVICE_UNAVAILABLE"
    assert await failure(get(client, "notes")) == "DOCUMENT_NOT_FOUND"


async def test_many_passages_are_checked_in_batches(client: RetrieverClient) -> None:
    text = "\n".join(f"## H{number}\n\nText number {number}.\n" for number in range(300))
    assert (await client.put("many", text)).chunk_count == 300
    assert [len(request.passages) for request in client.guard.requests] == [16] * 18 + [12]


async def test_a_client_that_goes_away_leaves_no_half_document(client: RetrieverClient) -> None:
    reached, released = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        reached.set()
        await released.wait()

    client.guard.before = hold
    task = asyncio.create_task(client.put("notes", NOTES))
    await asyncio.wait_for(reached.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    client.guard.before = None
    released.set()
    assert await failure(get(client, "notes")) == "DOCUMENT_NOT_FOUND"
    assert (await client.put("notes", NOTES)).chunk_count == 3


async def test_a_silent_stream_is_ended(client: RetrieverClient) -> None:
    object.__setattr__(client.settings, "retriever_import_idle_seconds", 0.1)
    with context.as_principal(EDITOR):
        call = client.documents.ImportDocuments()
        await call.write(import_of("a", "text")[0])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(call.read(), 20)
    assert from_rpc_error(caught.value, service="retriever").reason == "DEADLINE_EXCEEDED"


async def test_only_editors_touch_documents(client: RetrieverClient) -> None:
    await client.put("notes", NOTES)
    name = "collections/default/documents/notes"
    documents = client.documents
    assert await failure(client.send(import_of("x", "text"), VISITOR)) == "PERMISSION_DENIED"
    for method, request in (
        (documents.GetDocument, pb.GetDocumentRequest(name=name)),
        (documents.ListDocuments, pb.ListDocumentsRequest(parent="collections/default")),
        (documents.DeleteDocument, pb.DeleteDocumentRequest(name=name)),
    ):
        assert await failure(client.call(method, request, VISITOR)) == "PERMISSION_DENIED"
