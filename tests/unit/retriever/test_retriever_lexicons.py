"""Who waits for a lexicon, and who does without."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from services.retriever.giving_way import GivingWay
from services.retriever.records import Reader
from services.retriever.rewriting.keeper import LexiconKeeper
from services.retriever.truth import Truth

READER = Reader("default")


class Slow:
    """A store of truth that cannot be read until it is told so."""

    def __init__(self) -> None:
        self.readable = threading.Event()

    @contextmanager
    def beside(self) -> Iterator[Any]:
        self.readable.wait(30)
        raise AssertionError("nobody waits for this any more")
        yield


async def test_one_that_is_long_in_coming_is_not_waited_for_by_every_search() -> None:
    truth = Slow()
    # The first search waits for five times that, the length of this test and more.
    keeper = LexiconKeeper(cast(Truth, truth), GivingWay(0), wait_seconds=60)
    first = asyncio.create_task(keeper.of(READER, 1, epoch=1))
    while not keeper._kept or not (kept := next(iter(keeper._kept.values()))).begun:
        await asyncio.sleep(0)
    kept.begun -= 301
    found = await asyncio.wait_for(keeper.of(READER, 1, epoch=1), 30)
    assert not found.acronyms
    assert not first.done()
    first.cancel()
    truth.readable.set()
    await keeper.close()
