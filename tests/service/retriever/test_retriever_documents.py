"""Reading, listing and deleting documents over gRPC: rights, pages, tokens."""

from __future__ import annotations

import grpc
import pytest
from ragmesh.identity.v1.principal_pb2 import Principal
from ragmesh.retriever.v1 import document_service_pb2 as pb
from ragmesh.retriever.v1 import retriever_service_pb2 as retriever_pb

from services.mesh.errors import MeshError, from_rpc_error
from tests.service.retriever.retriever_fixture import EDITOR, STRANGER, VISITOR, RetrieverClient, import_of

HOLDER = Principal(tenant="default", subject="users/holder", roles=["editor"], labels=["hr"])
NAME = "collections/default/documents/{}"


async def error(coroutine: object) -> MeshError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await coroutine  # type: ignore[misc]
    return from_rpc_error(caught.value, service="retriever")


async def listing(client: RetrieverClient, principal: Principal = EDITOR, **fields: object) -> pb.ListDocumentsResponse:
    request = pb.ListDocumentsRequest(parent="collections/default", **fields)  # type: ignore[arg-type]
    found: pb.ListDocumentsResponse = await client.call(client.documents.ListDocuments, request, principal)
    return found


async def fill(client: RetrieverClient, count: int) -> None:
    requests = []
    for number in range(count):
        requests += import_of(f"d{number:02}", f"# Title {number}\n\nText number {number}.\n")
    assert len(await client.send(requests)) == count


async def test_pages_follow_the_names_and_end(client: RetrieverClient) -> None:
    await fill(client, 7)
    names, token = [], ""
    while True:
        page = await listing(client, page_size=3, page_token=token)
        assert page.total_size == 7
        names.append([document.name.rpartition("/")[2] for document in page.documents])
        token = page.next_page_token
        if not token:
            break
    assert names == [["d00", "d01", "d02"], ["d03", "d04", "d05"], ["d06"]]


async def test_a_page_that_ends_with_the_last_document_has_no_token(client: RetrieverClient) -> None:
    await fill(client, 4)
    page = await listing(client, page_size=4)
    assert (len(page.documents), page.next_page_token) == (4, "")
    assert len((await listing(client, page_size=0)).documents) == 4
    assert len((await listing(client, page_size=4_000_000_000)).documents) == 4


async def test_tokens_are_bound_to_listing_and_principal(client: RetrieverClient) -> None:
    await fill(client, 3)
    await client.put("collections/second/documents/x", "# X\n\nText.\n")
    token = (await listing(client, page_size=1)).next_page_token
    assert (await listing(client, page_size=2, page_token=token)).documents[0].name == NAME.format("d01")
    second = pb.ListDocumentsRequest(parent="collections/second", page_token=token)
    assert (await error(client.call(client.documents.ListDocuments, second))).reason == "PAGE_TOKEN_INVALID"
    other = Principal(tenant="default", subject="users/other", roles=["editor"])
    more = Principal(tenant="default", subject="users/editor", roles=["editor"], labels=["hr"])
    for principal in (other, more, STRANGER):
        assert (await error(listing(client, principal, page_token=token))).reason in ("PAGE_TOKEN_INVALID", "COLLECTION_NOT_FOUND")
    altered = ("B" if token.startswith("A") else "A") + token[1:]
    for broken in ("x", token[:-4], altered, "é", "=" * 20):
        assert (await error(listing(client, page_token=broken))).reason == "PAGE_TOKEN_INVALID"


async def test_deleting_takes_a_document_out_of_everything(client: RetrieverClient) -> None:
    await fill(client, 2)
    evidence = (await client.search("Text number 1", limit=1)).evidence[0]
    deleted = await client.call(client.documents.DeleteDocument, pb.DeleteDocumentRequest(name=evidence.document))
    assert deleted.chunk_count == 1
    found = await client.search("Text number 1")
    assert all(one.document != evidence.document for one in found.evidence)
    assert found.documents_searched == 1
    assert found.index_epoch > evidence.index_epoch
    assert (
        await error(client.call(client.documents.GetDocument, pb.GetDocumentRequest(name=evidence.document)))
    ).code.name == "NOT_FOUND"
    again = client.call(client.documents.DeleteDocument, pb.DeleteDocumentRequest(name=evidence.document))
    assert (await error(again)).reason == "DOCUMENT_NOT_FOUND"
    passage = client.call(client.stub.GetPassage, retriever_pb.GetPassageRequest(chunk=evidence.chunk))
    assert (await error(passage)).reason == "PASSAGE_GONE"


async def test_an_emptied_collection_is_still_there(client: RetrieverClient) -> None:
    await fill(client, 1)
    await client.call(client.documents.DeleteDocument, pb.DeleteDocumentRequest(name=NAME.format("d00")))
    assert (await listing(client)).total_size == 0
    found = await client.search("Text number 0")
    assert (list(found.evidence), found.documents_searched) == ([], 0)


async def test_another_tenants_document_is_one_that_is_not_there(client: RetrieverClient) -> None:
    await client.put("secret", "# Secret\n\nThe zebra password.\n")
    get = pb.GetDocumentRequest(name=NAME.format("secret"))
    theirs = await error(client.call(client.documents.GetDocument, get, STRANGER))
    nobodys = await error(client.call(client.documents.GetDocument, pb.GetDocumentRequest(name=NAME.format("nothing")), STRANGER))
    assert (theirs.reason, theirs.message) == (nobodys.reason, nobodys.message)
    assert (await error(listing(client, STRANGER))).reason == "COLLECTION_NOT_FOUND"
    delete = pb.DeleteDocumentRequest(name=NAME.format("secret"))
    assert (await error(client.call(client.documents.DeleteDocument, delete, STRANGER))).reason == "DOCUMENT_NOT_FOUND"
    # The same name in their tenant is theirs, and changes nothing here.
    assert (await client.put("secret", "# Theirs\n\nA giraffe.\n", STRANGER)).chunk_count == 1
    assert (await client.search("zebra giraffe")).evidence[0].text == "The zebra password."
    assert [one.text for one in (await client.search("zebra giraffe", STRANGER)).evidence] == ["A giraffe."]


async def test_labels_decide_who_reads(client: RetrieverClient) -> None:
    await client.put("open", "# Open\n\nThe zebra is open.\n")
    await client.put("pay", "# Pay\n\nThe zebra is paid.\n", HOLDER, labels=["hr", "board"])
    assert [one.text for one in (await client.search("zebra paid")).evidence] == ["The zebra is open."]
    held = await client.search("zebra paid", HOLDER)
    assert {one.text for one in held.evidence} == {"The zebra is open.", "The zebra is paid."}
    assert (await client.search("zebra")).documents_searched == 1
    assert held.documents_searched == 2
    assert (await listing(client)).total_size == 1
    assert (await listing(client, HOLDER)).total_size == 2
    assert list((await listing(client, HOLDER)).documents[1].labels) == ["board", "hr"]
    assert (
        await error(client.call(client.documents.GetDocument, pb.GetDocumentRequest(name=NAME.format("pay"))))
    ).code.name == "NOT_FOUND"
    chunk = next(one.chunk for one in held.evidence if "paid" in one.text)
    read = retriever_pb.GetPassageRequest(chunk=chunk)
    assert (await client.call(client.stub.GetPassage, read, HOLDER)).passage.text == "The zebra is paid."
    assert (await error(client.call(client.stub.GetPassage, read, VISITOR))).reason == "PASSAGE_GONE"
    assert (await client.put("pay", "# Pay\n\nTaken over.\n")).reason == "PERMISSION_DENIED"
    # Not even with the same bytes and labels: who gives a label need not hold it.
    assert (await client.put("pay", "# Pay\n\nThe zebra is paid.\n", labels=["hr", "board"])).reason == "PERMISSION_DENIED"


async def test_collections_are_counted_under_the_readers_rights(client: RetrieverClient) -> None:
    await client.put("open", "# Open\n\nOne.\n\n## More\n\nTwo.\n")
    await client.put("pay", "# Pay\n\nThree.\n", HOLDER, labels=["hr"])

    async def count(principal: Principal) -> tuple[int, int, int]:
        request = retriever_pb.GetCollectionRequest(name="collections/default")
        found = (await client.call(client.stub.GetCollection, request, principal)).collection
        return found.document_count, found.chunk_count, found.index_epoch

    assert await count(VISITOR) == (1, 2, 2)
    assert await count(HOLDER) == (2, 3, 2)
    assert (await error(count(STRANGER))).reason == "COLLECTION_NOT_FOUND"


async def test_a_call_without_identity_is_refused(client: RetrieverClient) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.stub.Search(retriever_pb.SearchRequest(collection="collections/default", query="x"), timeout=5)
    assert from_rpc_error(caught.value, service="retriever").reason == "UNAUTHENTICATED"
