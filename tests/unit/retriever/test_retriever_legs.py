"""Whoever may read little gets all of it that was asked for; whose rights changed sees at once what they are now."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import cast

import orjson
import pytest

from services.mesh.deadline import Budget
from services.retriever.index import INDEX_FORMAT, IndexMeta
from services.retriever.index_keeper import IndexKeeper
from services.retriever.legs import MAX_FETCH, Legs, Scope
from services.retriever.models import Models
from services.retriever.query import Query
from services.retriever.records import Reader
from services.retriever.results import Found
from services.retriever.rewriting.lexicon import Lexicon
from services.retriever.rewriting.plan import Plan
from services.retriever.truth import Truth
from tests.unit.retriever.truth_fixture import EMBEDDER, keeper, key, publish, version

WORD = Query("word", (("word", 1.0),))


@pytest.fixture(params=["edge", "exact"])
async def index(request: pytest.FixtureRequest, truth: Truth, tmp_path: Path) -> AsyncIterator[IndexKeeper]:
    made = keeper(truth, tmp_path, request.param)
    await made.open()
    yield made
    await made.close()


async def found(truth: Truth, index: IndexKeeper, labels: Sequence[str]) -> list[str]:
    """The ten best texts that the leg of words brings to a reader."""
    scope = Scope(Reader("default", tuple(labels)), 1, EMBEDDER, Budget(60.0))
    legs = Legs(truth, index, cast(Models, None), dense_seconds=1.0)  # words need no model
    joined = await legs.find(scope, WORD, Found(Plan("word", (WORD,)), Lexicon()), dense_weight=0.0, limit=10, wanted=10)
    return [joined.chunks[chunk].text for chunk in joined.sparse]


async def test_a_reader_with_one_label_among_many_others_gets_a_full_page(truth: Truth, index: IndexKeeper) -> None:
    """More chunks of others are better hits than a leg is ever asked for."""
    for number in range(3):
        texts = [f"Word {at}." for at in range(MAX_FETCH // 2)]
        await publish(truth, index, version(key(f"theirs{number}"), *texts, labels=["theirs"]))
    await publish(
        truth, index, version(key("mine"), *(f"A word of mine that says more, {at}." for at in range(12)), labels=["mine"])
    )
    mine = await found(truth, index, ["mine"])
    assert len(mine) == 10
    assert all("of mine" in text for text in mine)
    assert await found(truth, index, []) == []


async def test_labels_that_change_count_at_once(truth: Truth, index: IndexKeeper) -> None:
    await publish(truth, index, version(key("pay"), "Word of pay.", labels=["hr", "board"]))
    assert await found(truth, index, ["hr"]) == await found(truth, index, ["board"]) == ["Word of pay."]
    await publish(truth, index, version(key("pay"), "Word of pay.", labels=["board"]))
    assert await found(truth, index, ["hr"]) == []
    assert await found(truth, index, ["board"]) == ["Word of pay."]
    await publish(truth, index, version(key("pay"), "Word of pay."))
    assert await found(truth, index, []) == await found(truth, index, ["hr"]) == ["Word of pay."]


async def test_an_index_that_has_not_heard_of_new_labels_shows_nothing(truth: Truth, index: IndexKeeper) -> None:
    await publish(truth, index, version(key("pay"), "Word of pay.", labels=["hr"]))
    await publish(truth, index, version(key("open"), "Word for all."))
    await truth.write(lambda connection: connection.execute("UPDATE label SET label = 'board'"))
    await truth.write(
        lambda connection: connection.execute("INSERT INTO label SELECT id, 'board' FROM document WHERE name = 'open'")
    )
    assert (await index.sparse([("word", 1.0)], 1, 9, labels=["hr"])).hits, "the index still has the labels of before"
    assert await found(truth, index, ["hr"]) == []


async def test_an_index_of_an_older_release_is_built_anew(truth: Truth, tmp_path: Path) -> None:
    index = keeper(truth, tmp_path)
    await index.open()
    await publish(truth, index, version(key("pay"), "Word of pay.", labels=["hr"]))
    await index.close()
    meta = tmp_path / "index" / "meta.json"
    older = orjson.loads(meta.read_bytes()) | {"format": INDEX_FORMAT - 1}
    del older["labelled"]
    meta.write_bytes(orjson.dumps(older))
    index = keeper(truth, tmp_path)
    await index.open()
    assert IndexMeta.read(tmp_path / "index").format == INDEX_FORMAT
    assert (await index.sparse([("word", 1.0)], 1, 9, labels=[])).hits == []
    assert await found(truth, index, ["hr"]) == ["Word of pay."]
    await index.close()
