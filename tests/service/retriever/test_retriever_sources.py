"""Sources through the whole service: a site is registered, refreshed, changed, refreshed again; signed calls; no accidents."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from ragmesh.identity.v1.principal_pb2 import Principal
from ragmesh.retriever.v1 import document_service_pb2 as pb

from services.mesh import context
from services.mesh.errors import MeshError, from_rpc_error
from services.retriever.sources.signing import WINDOW_SECONDS, sign
from tests.service.retriever.retriever_fixture import EDITOR, STRANGER, VISITOR, RetrieverClient
from tests.unit.retriever.local_site import Answer, Site, local_site

NAME = "collections/default/sources/site"


@pytest.fixture
def site() -> Iterator[Site]:
    with local_site() as running:
        running.page("/", "Home", links={"/zebra": "Z", "/donkey": "D"})
        running.page("/zebra", "Zebra", "The zebra sleeps in the long barn that stands behind the mill and the pond.")
        running.page("/donkey", "Donkey", "The donkey sleeps in the short barn that stands before the mill and the pond.")
        yield running


async def register(client: RetrieverClient, site: Site, **fields: Any) -> pb.RegisterSourceResponse:
    secret = fields.pop("make_secret", False)
    limits = pb.SourceLimits(delay=Duration())
    given: dict[str, Any] = {
        "name": NAME,
        "kind": pb.SOURCE_KIND_SITE,
        "uri": site.url,
        "allow_private": True,
        "limits": limits,
        **fields,
    }
    request = pb.RegisterSourceRequest(source=pb.Source(**given), make_secret=secret)
    made: pb.RegisterSourceResponse = await client.call(client.documents.RegisterSource, request)
    return made


async def refresh(client: RetrieverClient, principal: Principal | None = EDITOR, **fields: Any) -> list[pb.RefreshResponse]:
    with context.as_principal(principal) if principal is not None else nullcontext():
        call = client.documents.Refresh(pb.RefreshRequest(**{"name": NAME, **fields}), timeout=60)
        async with asyncio.timeout(60):
            return [response async for response in call]


async def refusal(client: RetrieverClient, principal: Principal | None = EDITOR, **fields: Any) -> MeshError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await refresh(client, principal, **fields)
    return from_rpc_error(caught.value, service="retriever")


def counts(responses: list[pb.RefreshResponse]) -> dict[str, int]:
    finished = responses[-1].finished
    progress = finished.progress
    return {
        "stored": progress.stored_count,
        "unchanged": progress.unchanged_count,
        "failed": progress.failed_count,
        "removed": finished.removed_count,
        "documents": finished.document_count,
    }


async def test_a_site_is_read_found_changed_and_pruned(client: RetrieverClient, site: Site) -> None:
    await register(client, site)
    first = await refresh(client)
    assert [one.WhichOneof("event") for one in first].count("finished") == 1
    assert counts(first) == {"stored": 3, "unchanged": 0, "failed": 0, "removed": 0, "documents": 3}
    assert first[-1].finished.complete
    assert first[-1].finished.chunk_count >= 3
    found = (await client.search("where does the zebra sleep")).evidence[0]
    assert (found.source_uri, found.title_path[0]) == (f"{site.url}/zebra", "Zebra")

    again = await refresh(client)
    assert counts(again) == {"stored": 0, "unchanged": 3, "failed": 0, "removed": 0, "documents": 3}
    assert again[-1].finished.index_epoch == first[-1].finished.index_epoch

    # Other bytes that say the same are not stored again.
    site.pages["/donkey"] = Answer(site.pages["/donkey"].body.replace(b"<head>", b"<head><!-- built 12:01 -->"))
    site.page("/zebra", "Zebra", "The zebra has moved to the round tower that stands on the hill above the village.")
    site.page("/", "Home", links={"/zebra": "Z", "/donkey": "D", "/camel": "C"})
    site.page("/camel", "Camel", "The camel sleeps under the open sky, as camels do where the nights are warm.")
    changed = await refresh(client)
    assert counts(changed) == {"stored": 2, "unchanged": 2, "failed": 0, "removed": 0, "documents": 4}

    del site.pages["/camel"]
    site.pages["/donkey"] = Answer(b"", status=500)
    pruned = await refresh(client)
    assert counts(pruned) == {"stored": 0, "unchanged": 2, "failed": 1, "removed": 1, "documents": 3}
    assert [one.failure.uri for one in pruned if one.HasField("failure")] == [f"{site.url}/donkey"]
    (listed,) = (await client.call(client.documents.ListSources, pb.ListSourcesRequest(parent="collections/default"))).sources
    assert (listed.document_count, listed.uri) == (3, site.url)
    assert listed.HasField("refresh_time")


async def test_only_the_documents_of_the_source_are_removed(client: RetrieverClient, site: Site) -> None:
    await register(client, site)
    await client.put("kept", "# Kept\n\nOf a folder.", source="collections/default/sources/folder")
    await refresh(client)
    site.page("/", "Home")
    assert counts(await refresh(client))["removed"] == 2
    deleted = await client.call(client.documents.DeleteSource, pb.DeleteSourceRequest(name=NAME))
    assert deleted.document_count == 1
    names = (await client.call(client.documents.ListDocuments, pb.ListDocumentsRequest(parent="collections/default"))).documents
    assert [one.name.rpartition("/")[2] for one in names] == ["kept"]
    assert (await refusal(client)).reason == "SOURCE_NOT_FOUND"


async def test_a_source_that_suddenly_has_nothing_needs_force(client: RetrieverClient, site: Site) -> None:
    await register(client, site)
    await refresh(client)
    site.pages = {"/": Answer(b"<html><body></body></html>")}
    refused = await refusal(client)
    assert (refused.reason, refused.metadata["documents"]) == ("SOURCE_EMPTY", "3")
    assert (await client.search("zebra")).evidence
    assert counts(await refresh(client, force=True)) == {"stored": 0, "unchanged": 0, "failed": 0, "removed": 3, "documents": 0}


async def test_a_site_that_is_away_or_inside_changes_nothing(client: RetrieverClient, site: Site) -> None:
    await register(client, site)
    await refresh(client)
    site.pages["/"] = Answer(b"", status=500)
    assert (await refusal(client)).reason == "SOURCE_UNREACHABLE"
    await register(client, site, allow_private=False)
    assert (await refusal(client)).reason == "ADDRESS_NOT_ALLOWED"
    assert len((await client.search("barn")).evidence) >= 2


async def test_a_limit_removes_nothing(client: RetrieverClient, site: Site) -> None:
    await register(client, site)
    await refresh(client)
    await register(client, site, limits=pb.SourceLimits(delay=Duration(), max_pages=1))
    finished = (await refresh(client))[-1].finished
    assert (finished.complete, finished.limit, finished.removed_count, finished.document_count) == (False, "max_pages", 0, 3)


def signature(secret: str, seconds: int | None = None, nonce: str = "", name: str = NAME) -> pb.RefreshSignature:
    at = int(time.time()) if seconds is None else seconds
    text = nonce or secrets.token_hex(8)
    return pb.RefreshSignature(time=Timestamp(seconds=at), nonce=text, hmac_sha256=sign(secret, name, at, text))


async def test_a_signed_call_refreshes_once_and_may_do_nothing_else(client: RetrieverClient, site: Site) -> None:
    secret = (await register(client, site, make_secret=True)).secret
    assert len(secret) == 64
    assert not (await register(client, site)).secret, "it is shown once, and stays"
    assert (await refusal(client, VISITOR)).reason == "PERMISSION_DENIED"
    signed = signature(secret)
    assert counts(await refresh(client, VISITOR, signature=signed))["stored"] == 3
    now = int(time.time())
    for bad in (
        signed,
        signature(secret, now - WINDOW_SECONDS - 5),
        signature(secret, now + WINDOW_SECONDS + 5),
        signature("0" * 64),
        signature(secret, name="collections/default/sources/other"),
    ):
        assert (await refusal(client, VISITOR, signature=bad)).reason == "SIGNATURE_INVALID"
    assert (await refusal(client, VISITOR, signature=signature(secret), force=True)).reason == "PERMISSION_DENIED"
    assert (await refusal(client, STRANGER, signature=signature(secret))).reason == "SIGNATURE_INVALID"
    unknown = await refusal(client, STRANGER)
    assert (unknown.reason, "ragmesh watch" in str(unknown)) == ("SOURCE_NOT_FOUND", True)
    other = (await register(client, site, make_secret=True)).secret
    assert (await refusal(client, VISITOR, signature=signature(secret))).reason == "SIGNATURE_INVALID"
    assert counts(await refresh(client, VISITOR, signature=signature(other)))["unchanged"] == 3


async def test_a_build_without_a_session_signs_and_may_do_nothing_else(client: RetrieverClient, site: Site) -> None:
    secret = (await register(client, site, make_secret=True)).secret
    assert (await refusal(client, None)).reason == "PERMISSION_DENIED"
    assert (await refusal(client, None, signature=signature("0" * 64))).reason == "SIGNATURE_INVALID"
    signed = signature(secret)
    assert counts(await refresh(client, None, signature=signed))["stored"] == 3
    assert (await refusal(client, None, signature=signed)).reason == "SIGNATURE_INVALID"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.documents.ListSources(pb.ListSourcesRequest(parent="collections/default"), timeout=10)
    assert from_rpc_error(caught.value, service="retriever").reason == "UNAUTHENTICATED"


async def test_a_source_is_refreshed_once_at_a_time(client: RetrieverClient, site: Site) -> None:
    await register(client, site, limits=pb.SourceLimits(delay=Duration(seconds=30)))
    with context.as_principal(EDITOR):
        running = client.documents.Refresh(pb.RefreshRequest(name=NAME), timeout=60)
        first = asyncio.create_task(anext(aiter(running)))
        while not site.asked:
            await asyncio.sleep(0.01)
        assert (await refusal(client)).reason == "REFRESH_IN_PROGRESS"
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
