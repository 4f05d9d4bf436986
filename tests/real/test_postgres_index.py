"""An index beside a real PostgreSQL: the suite of the index's keeper, and two that follow one store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.retriever import truth_writes
from services.retriever.index_building import IndexBuilder
from services.retriever.index_keeper import IndexKeeper
from services.retriever.postgres.truth import PostgresTruth
from services.retriever.truth import Truth
from tests.real.postgres_fixture import Server, postgres
from tests.unit.retriever.test_retriever_index_keeper import (
    test_a_broken_index_answers_from_memory_and_comes_back,
    test_a_closed_index_is_opened_without_being_rebuilt,
    test_a_commit_that_fails_leaves_nothing_in_the_index,
    test_an_import_while_the_index_breaks_is_found,
    test_an_index_that_does_not_fit_is_rebuilt,
    test_deleting_forgets_on_disk,
    test_published_versions_are_found_and_replaced,
    test_rebuilding_beside_imports_loses_none,
    test_what_a_killed_process_left_is_replayed,
    texts,
)
from tests.unit.retriever.truth_fixture import commit, indexed, keeper, key, publish, reserve, version

__all__ = [
    "postgres",
    "test_a_broken_index_answers_from_memory_and_comes_back",
    "test_a_closed_index_is_opened_without_being_rebuilt",
    "test_a_commit_that_fails_leaves_nothing_in_the_index",
    "test_an_import_while_the_index_breaks_is_found",
    "test_an_index_that_does_not_fit_is_rebuilt",
    "test_deleting_forgets_on_disk",
    "test_published_versions_are_found_and_replaced",
    "test_rebuilding_beside_imports_loses_none",
    "test_what_a_killed_process_left_is_replayed",
]

WITHIN_S = 60.0


@pytest.fixture
async def truth(tmp_path: Path, postgres: Server) -> AsyncIterator[Truth]:
    opened = PostgresTruth(tmp_path, postgres.settings(postgres.new_database(), follow_seconds=0.05))
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def kind() -> str:
    return "edge"


@pytest.fixture
async def pair(tmp_path: Path, postgres: Server) -> AsyncIterator[list[tuple[Truth, IndexKeeper]]]:
    """Two processes, as far as the store can tell."""
    settings = postgres.settings(postgres.new_database(), follow_seconds=0.05)
    made: list[tuple[Truth, IndexKeeper]] = []
    for name in "ab":
        truth = PostgresTruth(tmp_path / name, settings)
        await truth.open()
        index = keeper(truth, tmp_path / name)
        await index.open()
        made.append((truth, index))
    yield made
    for truth, index in made:
        await index.close()
        await truth.close()


async def until_texts(truth: Truth, index: IndexKeeper, expected: list[str]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while (found := await _texts(truth, index)) != expected:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.02)


async def _texts(truth: Truth, index: IndexKeeper) -> list[str] | None:
    """As `texts`; None while the index holds what another process has deleted, which no search shows."""
    try:
        return await texts(truth, index)
    except KeyError:
        return None


async def test_both_take_over_what_the_other_does(pair: list[tuple[Truth, IndexKeeper]]) -> None:
    (a, of_a), (b, of_b) = pair
    await publish(a, of_a, version(key("one"), "One text."))
    await publish(b, of_b, version(key("two"), "Two text."))
    await until_texts(a, of_a, ["One text.", "Two text."])
    await until_texts(b, of_b, ["One text.", "Two text."])
    await publish(b, of_b, version(key("one"), "One text, newer."))
    await of_a.withdraw(lambda: a.write(lambda connection: truth_writes.delete(connection, key("two"))))
    await until_texts(a, of_a, ["One text, newer."])
    await until_texts(b, of_b, ["One text, newer."])
    assert of_a.epoch == of_b.epoch == 4


async def test_what_a_process_did_itself_it_does_not_do_again(
    pair: list[tuple[Truth, IndexKeeper]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (a, of_a), (b, of_b) = pair
    put: dict[str, set[int]] = {"a": set(), "b": set()}
    taken: set[int] = set()
    take_over = IndexBuilder.take_over

    def noted(self: IndexBuilder, store: object, versions: dict[int, bool]) -> None:
        # A version that is only reserved yet is in the outbox too: whoever looks just then forgets chunks that nobody has put.
        put["a" if self is of_a._builder else "b"].update(version for version, current in versions.items() if current)
        taken.update(versions if self is of_b._builder else ())
        take_over(self, store, versions)  # type: ignore[arg-type]

    monkeypatch.setattr(IndexBuilder, "take_over", noted)
    await publish(a, of_a, version(key("one"), "One text."))
    await publish(a, of_a, version(key("one"), "One text, newer."))
    await until_texts(b, of_b, ["One text, newer."])
    await of_a.settle()
    assert put["a"] == set()
    assert 2 in put["b"]
    assert taken == {1, 2}


async def test_a_change_whose_end_is_not_known_is_taken_from_the_store(pair: list[tuple[Truth, IndexKeeper]]) -> None:
    """The change was committed and its answer lost: the process throws it out of its index, and finds it in the outbox."""
    (a, of_a), (b, of_b) = pair
    new = version(key("one"), "One text.")
    reserved = await reserve(a, new)

    async def lost() -> None:
        await commit(a, new, reserved)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await of_a.publish(reserved.version, indexed(new, reserved), lost)  # type: ignore[arg-type]
    await until_texts(a, of_a, ["One text."])
    await until_texts(b, of_b, ["One text."])


async def test_an_index_that_misses_too_much_is_built_anew(
    pair: list[tuple[Truth, IndexKeeper]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(truth_writes, "MAX_OUTBOX", 4)
    (a, of_a), (b, of_b) = pair
    await of_b.close()
    for number in range(8):
        await publish(a, of_a, version(key("one"), f"Text {number}."))
        await of_a.settle()
    again = keeper(b, tmp_path / "b")
    await again.open()
    assert await texts(b, again) == ["Text 7."]
    await again.close()
