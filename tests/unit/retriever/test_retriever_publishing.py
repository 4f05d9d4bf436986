"""Versions that are ready together become current together, in their order; one that cannot takes no other with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.mesh.errors import MeshError
from services.retriever import truth_reads
from services.retriever.finishing import Finishing
from services.retriever.giving_way import GivingWay
from services.retriever.index_keeper import IndexKeeper
from services.retriever.publishing import Publishing
from services.retriever.truth import Connection
from services.retriever.truth_sqlite import SqliteTruth
from tests.unit.retriever.truth_fixture import READER, keeper, key, version


@pytest.fixture
async def truth(tmp_path: Path) -> AsyncIterator[SqliteTruth]:
    made = SqliteTruth(tmp_path / "truth")
    yield made
    await made.close()


@pytest.fixture
async def index(truth: SqliteTruth, tmp_path: Path) -> AsyncIterator[IndexKeeper]:
    made = keeper(truth, tmp_path, "exact")
    await made.open()
    yield made
    await made.close()


def names(connection: Connection) -> list[str]:
    rows = connection.execute("SELECT document.name FROM document JOIN version ON version.id = current_version ORDER BY version.id")
    return [row[0] for row in rows]


async def test_what_waits_becomes_current_in_one_step_and_in_order(truth: SqliteTruth, index: IndexKeeper) -> None:
    finishing = Finishing()
    publishing = Publishing(truth, index, finishing, GivingWay(0), keep=2)
    wanted = [f"d{number}" for number in range(20)]
    await asyncio.gather(*(publishing.publish(version(key(name), f"text of {name}"), READER) for name in wanted))
    assert await truth.read(names) == wanted
    assert await truth.read(truth_reads.count_indexed) == 20
    assert index.epoch == 20
    await finishing.close()


async def test_the_same_document_twice_ends_with_the_later_one(truth: SqliteTruth, index: IndexKeeper) -> None:
    finishing = Finishing()
    publishing = Publishing(truth, index, finishing, GivingWay(0), keep=0)
    await asyncio.gather(
        *(publishing.publish(version(key("d"), text), READER) for text in ("the first", "the second, zebra", "the third, giraffe"))
    )
    found = await truth.read(lambda connection: truth_reads.find_document(connection, READER, key("d")))
    assert found is not None
    assert found.version_uid == version(key("d"), "the third, giraffe").uid
    assert (await index.sparse([("zebra", 1.0)], 1, 5)).hits == []
    assert len((await index.sparse([("giraff", 1.0)], 1, 5)).hits) == 1
    await finishing.close()


async def test_one_that_cannot_be_stored_fails_alone(truth: SqliteTruth, index: IndexKeeper) -> None:
    finishing = Finishing()
    publishing = Publishing(truth, index, finishing, GivingWay(0), keep=2)
    first = publishing.publish(version(key("a"), "one"), READER)
    await first
    futures = [
        publishing.publish(version(key(name), f"text of {name}", embedder=embedder * 64), READER)
        for name, embedder in (("b", "e"), ("c", "f"), ("d", "e"))
    ]
    outcomes = await asyncio.gather(*futures, return_exceptions=True)
    assert [isinstance(outcome, MeshError) and outcome.reason for outcome in outcomes] == [False, "EMBEDDER_CHANGED", False]
    assert await truth.read(names) == ["a", "b", "d"]
    assert await truth.read(truth_reads.count_indexed) == 3
    await finishing.close()
