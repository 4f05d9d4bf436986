"""Imports wait while somebody waits for a search, but not for ever."""

from __future__ import annotations

import asyncio

import pytest

from services.retriever import giving_way
from services.retriever.giving_way import GivingWay


class Clock:
    """The time that the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(giving_way.time, "monotonic", lambda: self.now)


async def passes(way: GivingWay) -> bool:
    """Whether a step may begin without waiting."""
    step = asyncio.ensure_future(way.turn())
    for _ in range(3):
        await asyncio.sleep(0)
    begun = step.done()
    step.cancel()
    await asyncio.gather(step, return_exceptions=True)
    return begun


async def test_a_step_begins_where_nobody_searches() -> None:
    assert await passes(GivingWay(60))


async def test_steps_wait_until_the_last_search_is_answered() -> None:
    way = GivingWay(60)
    with way.searching():
        with way.searching():
            assert way.asked
            steps = [asyncio.create_task(way.turn()) for _ in range(3)]
            assert not await passes(way)
        assert not await passes(way)
    assert not way.asked
    await asyncio.gather(*steps)


async def test_a_search_that_fails_holds_nothing_up() -> None:
    way = GivingWay(60)
    with pytest.raises(ValueError, match="broken"), way.searching():
        raise ValueError("broken")
    assert await passes(way)


async def test_where_searches_never_end_imports_go_on_for_a_part_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    way, clock = GivingWay(8), Clock(monkeypatch)
    with way.searching():
        begun = []
        for _ in range(40):
            begun.append(await passes(way))
            clock.now += 1
    # Eight seconds without, two with, and so on.
    assert begun == ([False] * 8 + [True] * 2) * 4


async def test_a_step_that_waited_its_time_begins() -> None:
    way = GivingWay(0.01)
    with way.searching():
        await way.turn()
        assert way.asked


async def test_it_can_be_turned_off() -> None:
    way = GivingWay(0)
    with way.searching():
        assert await passes(way)


async def test_steps_are_small_while_searches_come(monkeypatch: pytest.MonkeyPatch) -> None:
    way, clock = GivingWay(1), Clock(monkeypatch)
    assert way.portion(128) == 128
    with way.searching():
        assert (way.portion(128), way.portion(2)) == (32, 1)
        clock.now += 60
        assert way.portion(128) == 32, "as long as it takes"
    clock.now += 1
    assert way.portion(128) == 32, "the next one is expected"
    clock.now += 10
    assert way.portion(128) == 128
    never = GivingWay(0)
    with never.searching():
        assert never.portion(128) == 128
