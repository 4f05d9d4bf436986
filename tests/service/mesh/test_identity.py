"""On whose behalf: the principal travels with the call, and only from who may carry it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import orjson
import pytest
from ragmesh.generator.v1 import generator_service_pb2 as generator_pb2
from ragmesh.identity.v1.principal_pb2 import Principal

from services.mesh import context
from services.mesh.identity import CLAIMS_KEY, LISTENER_KEY, PRINCIPAL_KEY, principal_metadata
from tests.service.mesh.chassis import COUNT, COUNT_REQUEST, SECONDS, VISITOR, Served, failure, serving

EDITOR = Principal(tenant="acme", subject="users/ada", roles=["editor"], labels=["legal"])


@pytest.fixture
def seen(served: Served) -> list[Principal | None]:
    """The principal of each call that reaches the servicer."""
    found: list[Principal | None] = []

    async def count(_: Any, __: Any) -> Any:
        found.append(context.principal_or_none())
        return generator_pb2.CountTokensResponse(counts=[0])

    served.servicer.on_count = count
    return found


def _claims(**claims: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(claims)).decode().rstrip("=")


async def test_the_principal_goes_along(served: Served, seen: list[Principal | None]) -> None:
    with context.as_principal(EDITOR):
        await served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)
    with context.as_principal(VISITOR):
        await served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)
    assert seen == [EDITOR, VISITOR]


async def test_the_principal_goes_along_to_the_next_service(tmp_path: Path, served: Served, seen: list[Principal | None]) -> None:
    async with serving(tmp_path / "hub") as hub:

        async def ask(request: Any, _: Any) -> Any:
            return await served.stub.CountTokens(request, timeout=context.budget().share(0.5))

        hub.servicer.on_count = ask
        with context.as_principal(EDITOR):
            await hub.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)
    assert seen == [EDITOR]


async def test_a_call_on_nobodys_behalf_is_refused(served: Served, seen: list[Principal | None]) -> None:
    error = await failure(served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS))
    assert error.reason == "UNAUTHENTICATED"
    assert seen == []


async def test_a_method_may_need_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path, spec={"anonymous": frozenset({COUNT})}) as served:
        assert list((await served.stub.CountTokens(COUNT_REQUEST, timeout=SECONDS)).counts) == [2]


@pytest.mark.parametrize(
    "carried",
    [
        b"\xff\xff",
        b"",
        Principal(subject="users/ada").SerializeToString(),
        Principal(tenant="acme").SerializeToString(),
        Principal(tenant="acme", subject="users/ada", roles=["r"] * 17).SerializeToString(),
        Principal(tenant="acme", subject="u" * 257).SerializeToString(),
    ],
    ids=["no message", "empty", "no tenant", "no subject", "too many roles", "a subject without end"],
)
async def test_a_principal_that_cannot_be_one(served: Served, seen: list[Principal | None], carried: bytes) -> None:
    error = await failure(served.raw_stub.CountTokens(COUNT_REQUEST, timeout=SECONDS, metadata=[(PRINCIPAL_KEY, carried)]))
    assert error.reason == "UNAUTHENTICATED"
    assert seen == []


async def test_the_edge_says_who_stands_behind_a_session(served: Served, seen: list[Principal | None]) -> None:
    metadata = [(CLAIMS_KEY, _claims(sub="sessions/9", roles=["operator"], tenant="acme"))]
    await served.raw_stub.CountTokens(COUNT_REQUEST, timeout=SECONDS, metadata=metadata)
    assert seen == [Principal(tenant="default", subject="sessions/9", roles=["visitor"])], "a session never says more than who"


async def test_the_local_listener_is_the_owner_of_the_machine(served: Served, seen: list[Principal | None]) -> None:
    await served.raw_stub.CountTokens(COUNT_REQUEST, timeout=SECONDS, metadata=[(LISTENER_KEY, "local")])
    assert seen == [Principal(tenant="default", subject="users/local", roles=["visitor", "editor", "operator"])]


async def test_a_listener_that_is_not_the_local_one_says_nothing(served: Served, seen: list[Principal | None]) -> None:
    call = served.raw_stub.CountTokens(COUNT_REQUEST, timeout=SECONDS, metadata=[(LISTENER_KEY, "public")])
    assert (await failure(call)).reason == "UNAUTHENTICATED"
    assert seen == []


@pytest.mark.parametrize(
    "claims",
    ["!!!", _claims(name="ada"), base64.urlsafe_b64encode(b"[1]").decode(), "e30", _claims(sub=""), _claims(sub="s" * 257)],
    ids=["no base64", "no subject", "a list", "nothing", "an empty subject", "a subject without end"],
)
async def test_claims_that_cannot_be_read(served: Served, seen: list[Principal | None], claims: str) -> None:
    call = served.raw_stub.CountTokens(COUNT_REQUEST, timeout=SECONDS, metadata=[(CLAIMS_KEY, claims)])
    assert (await failure(call)).reason == "UNAUTHENTICATED"
    assert seen == []


async def test_a_role_is_asked_for(served: Served) -> None:
    async def count(_: Any, __: Any) -> Any:
        context.require_role("editor")
        return generator_pb2.CountTokensResponse(counts=[1])

    served.servicer.on_count = count
    call = served.raw_stub.CountTokens(COUNT_REQUEST, timeout=SECONDS, metadata=[principal_metadata(VISITOR)])
    error = await failure(call)
    assert (error.reason, error.metadata) == ("PERMISSION_DENIED", {"role": "editor"})
    call = served.raw_stub.CountTokens(COUNT_REQUEST, timeout=SECONDS, metadata=[principal_metadata(EDITOR)])
    assert list((await call).counts) == [1]


async def test_each_call_has_its_own_id_and_principal(served: Served) -> None:
    ids: list[str] = []

    async def count(_: Any, __: Any) -> Any:
        ids.append(context.request_id())
        return generator_pb2.CountTokensResponse(counts=[1])

    served.servicer.on_count = count
    for _ in range(2):
        await served.raw_stub.CountTokens(COUNT_REQUEST, timeout=SECONDS, metadata=[principal_metadata(VISITOR)])
    assert len(set(ids)) == 2
    assert all(len(identifier) == 16 for identifier in ids)
    assert context.principal_or_none() is None
