"""Documents of every kind through the whole import: what they say is found, with its page, its source and its near-duplicates."""

from __future__ import annotations

import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from ragmesh.identity.v1.principal_pb2 import Principal
from ragmesh.retriever.v1 import document_service_pb2 as pb

from tests.service.retriever.retriever_fixture import EDITOR, STRANGER, RetrieverClient
from tests.unit.retriever import document_samples as samples

OFFICE = "application/vnd.openxmlformats-officedocument"
SOURCE = "collections/default/sources/handbook"
NURSE = Principal(tenant="default", subject="users/nurse", roles=["visitor", "editor"], labels=["nurses"])


async def document(client: RetrieverClient, name: str, principal: Principal | None = None) -> pb.Document:
    request = pb.GetDocumentRequest(name=f"collections/default/documents/{name}")
    found: pb.Document = (await client.call(client.documents.GetDocument, request, principal)).document
    return found


async def listed(client: RetrieverClient, **fields: Any) -> list[str]:
    request = pb.ListDocumentsRequest(parent="collections/default", **fields)
    return [one.name.rpartition("/")[2] for one in (await client.call(client.documents.ListDocuments, request)).documents]


async def test_a_pdf_is_found_with_its_page(client: RetrieverClient) -> None:
    pages = [[(11.0, 700.0, f"The {word} is kept in the garden behind the house.")] for word in ("donkey", "zebra", "camel")]
    acked = await client.put("zoo", samples.pdf(pages), media_type="application/pdf", source_uri="files/zoo.pdf")
    assert acked.chunk_count >= 1
    found = await client.search("zebra")
    assert found.evidence[0].source_uri.startswith("files/zoo.pdf#page=")
    assert found.evidence[0].title_path[0] == "zoo"


async def test_pages_that_are_images_are_told(client: RetrieverClient) -> None:
    words = [(11.0, 700.0, "Words that are long enough to be a page of text.")]
    acked = await client.put("half", samples.pdf([words, []], image_pages=[1]), media_type="application/pdf")
    assert list(acked.warnings) == ["1 of 2 pages are images without text: 2"]
    rejected = await client.put("scan", samples.pdf([[]], image_pages=[0]), media_type="application/pdf")
    assert rejected.reason == "DOCUMENT_WITHOUT_TEXT"


async def test_each_row_of_a_sheet_is_found_by_itself(client: RetrieverClient) -> None:
    rows = [("Product", "Price"), ("Apple", 3), ("Quince", 7)]
    book = samples.workbook({"Fruit": rows})
    await client.put("prices", book, media_type=f"{OFFICE}.spreadsheetml.sheet", source_uri="a/prices.xlsx")
    (evidence,) = (await client.search("price of a quince")).evidence
    assert "Product: Quince; Price: 7" in evidence.text
    assert list(evidence.title_path) == ["prices", "Fruit"]


async def test_a_document_knows_source_language_and_date(client: RetrieverClient) -> None:
    published = Timestamp()
    published.FromDatetime(datetime.datetime(2024, 5, 6, tzinfo=datetime.UTC))
    await client.put("a", "# A\n\nFrom the handbook.", source=SOURCE, language="de", source_time=published)
    await client.put("b", "# B\n\nFrom nowhere in particular.")
    mail = samples.mail("The rota.", Date="Mon, 05 Feb 2024 10:00:00 +0000")
    await client.put("c", mail, media_type="message/rfc822", source=SOURCE)
    found = await document(client, "a")
    assert (found.source, found.language, found.source_time, found.outdated) == (SOURCE, "de", published, False)
    assert (await document(client, "c")).source_time.ToDatetime() == datetime.datetime(2024, 2, 5, 10)
    assert not (await document(client, "b")).HasField("source_time")
    assert await listed(client, source=SOURCE) == ["a", "c"]
    assert await listed(client) == ["a", "b", "c"]
    rejected = await client.put("d", "# D\n\nText.", source="collections/other/sources/handbook")
    assert rejected.reason == "INVALID_REQUEST"


PARAGRAPHS = [
    f"Rule {number}: whoever leaves room {number} turns off the lamp, closes window {number * 7} and puts key {number} on its hook."
    for number in range(30)
]


def rules(**changed: str) -> str:
    return "# House rules\n\n" + "\n\n".join(changed.get(f"r{number}", text) for number, text in enumerate(PARAGRAPHS))


async def test_near_duplicates_are_linked_and_found_once(client: RetrieverClient) -> None:
    await client.put("first", rules())
    acked = await client.put("second", rules(r29="A flamingo lives in room 29."))
    assert acked.near_duplicate_of == "collections/default/documents/first"
    assert (await document(client, "first")).near_duplicate_of == "collections/default/documents/second"
    found = await client.search("who closes window 70 in room 10", limit=16, rerank_depth=0)
    by_text = [one.text for one in found.evidence]
    assert len(by_text) == len(set(by_text))
    flamingo = (await client.search("flamingo")).evidence[0]
    assert flamingo.document.endswith("/second")
    # What becomes another document stands alone again.
    await client.put("second", "# Birds\n\nNothing of the house rules is left in this document.")
    assert not (await document(client, "second")).near_duplicate_of
    assert not (await document(client, "first")).near_duplicate_of


async def test_a_near_duplicate_that_a_reader_may_not_read_hides_nothing_and_is_not_named(client: RetrieverClient) -> None:
    await client.put("ward", rules(), NURSE, labels=["nurses"])
    acked = await client.put("open", rules(), EDITOR)
    assert not acked.near_duplicate_of
    assert not (await document(client, "open", EDITOR)).near_duplicate_of
    assert (await document(client, "open", NURSE)).near_duplicate_of.endswith("/ward")
    found = await client.search("who closes window 70 in room 10", EDITOR)
    assert {one.document.rpartition("/")[2] for one in found.evidence} == {"open"}
    acked = await client.put("open", rules(), STRANGER)
    assert not acked.near_duplicate_of
