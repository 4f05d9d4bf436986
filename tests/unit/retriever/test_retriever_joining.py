"""Calls of many become one: order, limits, whose failure it is; places, and who may leave before whom."""

from __future__ import annotations

import asyncio

import pytest

from services.mesh.errors import MeshError
from services.retriever.joining import Joined
from services.retriever.places import Place, Places


class Model:
    """Answers with the text in capitals, once it is let."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, texts: list[str]) -> list[str]:
        self.asked.append(texts)
        await self.open.wait()
        if "bad" in texts:
            raise MeshError("MODEL_UNAVAILABLE", "the model does not answer", metadata={"model": "m"})
        return [text.upper() for text in texts]


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def model() -> Model:
    return Model()


def joined(model: Model, most: int = 4, most_chars: int = 100) -> Joined[str]:
    return Joined(model, most=most, most_chars=most_chars)


async def test_one_caller_is_served_at_once_and_in_order(model: Model) -> None:
    assert await joined(model)(list("abcdefghi")) == list("ABCDEFGHI")
    assert [len(texts) for texts in model.asked] == [4, 4, 1]
    assert await joined(model)([]) == []


async def test_a_call_is_as_large_as_it_may_be_now(model: Model) -> None:
    small = [False]
    ask = Joined(model, most=4, most_chars=100, portion=lambda most: most // 2 if small[0] else most)
    assert await ask(list("abcdef")) == list("ABCDEF")
    small[0] = True
    assert await ask(list("abcdef")) == list("ABCDEF")
    assert [len(texts) for texts in model.asked] == [4, 2, 2, 2, 2]


async def test_what_waits_goes_together_and_comes_back_to_each(model: Model) -> None:
    ask = joined(model, most=16)
    model.open.clear()
    tasks = [asyncio.create_task(ask([f"{name}{number}" for number in range(3)])) for name in "abcd"]
    await settled()
    assert len(model.asked) == 1
    model.open.set()
    assert await asyncio.gather(*tasks) == [[f"{name}{number}" for number in range(3)] for name in "ABCD"]
    assert [len(texts) for texts in model.asked] == [3, 9]


async def test_a_long_document_lets_short_ones_pass(model: Model) -> None:
    ask = joined(model)
    long = asyncio.create_task(ask(["x"] * 40))
    await asyncio.sleep(0)
    assert await ask(["y"]) == ["Y"]
    assert not long.done()
    assert await long == ["X"] * 40


async def test_texts_of_a_call_are_bounded_and_one_that_is_too_long_goes_alone(model: Model) -> None:
    assert await joined(model, most_chars=10)(["a" * 6, "b" * 6, "c" * 50, "d"]) == ["A" * 6, "B" * 6, "C" * 50, "D"]
    assert [len(texts) for texts in model.asked] == [1, 1, 1, 1]


async def test_a_failure_is_the_failure_of_whose_text_it_is(model: Model) -> None:
    ask = joined(model, most=16)
    model.open.clear()
    tasks = [asyncio.create_task(ask([text])) for text in ("first", "bad", "good")]
    await settled()
    model.open.set()
    first, bad, good = await asyncio.gather(*tasks, return_exceptions=True)
    assert (first, good) == (["FIRST"], ["GOOD"])
    assert isinstance(bad, MeshError)
    assert bad.reason == "MODEL_UNAVAILABLE"


async def test_who_went_away_is_not_asked_for(model: Model) -> None:
    ask = joined(model)
    model.open.clear()
    tasks = [asyncio.create_task(ask([text])) for text in "abc"]
    await settled()
    tasks[1].cancel()
    await settled()
    model.open.set()
    assert await tasks[0] == ["A"]
    assert await tasks[2] == ["C"]
    assert model.asked == [["a"], ["c"]]


async def test_places_are_given_in_order_within_count_and_bytes() -> None:
    places = Places(2, 100)
    inside: list[int] = []
    leave = [asyncio.Event() for _ in range(4)]

    async def work(number: int, size: int) -> None:
        async with places.taken(size):
            inside.append(number)
            await leave[number].wait()

    tasks = [asyncio.create_task(work(number, size)) for number, size in enumerate((60, 60, 10, 500))]
    await settled()
    assert inside == [0]  # the second is too large beside the first, and the third does not overtake it
    leave[0].set()
    await settled()
    assert inside == [0, 1, 2]
    leave[1].set()
    await settled()
    assert inside == [0, 1, 2]
    leave[2].set()
    await settled()
    assert inside == [0, 1, 2, 3]  # larger than all room together: alone
    leave[3].set()
    await asyncio.gather(*tasks)


async def test_who_gives_up_waiting_takes_no_place() -> None:
    places = Places(1, 100)
    async with places.taken(1):
        waiting = asyncio.create_task(places.taken(1).__aenter__())
        behind = asyncio.create_task(places.taken(1).__aenter__())
        await settled()
        waiting.cancel()
        await settled()
        assert not behind.done()
    await asyncio.wait_for(behind, 5)


async def test_nobody_comes_before_all_who_were_there_have_left() -> None:
    first = Place()
    second = Place(first)
    third = Place(second)
    coming = asyncio.create_task(third.come())
    second.leave()  # it failed before its turn
    await settled()
    assert not coming.done()
    first.leave()
    await asyncio.wait_for(coming, 5)
