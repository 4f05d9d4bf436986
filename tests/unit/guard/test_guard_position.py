"""An order in a document is found wherever it stands: drawn offsets up to 32 kB, in mails, tables and prose, in all languages.

The seed is in the message of a failure.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator

import pytest
from ragmesh.guard.v1 import guard_service_pb2 as pb

from tests.unit.guard.guard_parts import ROOT, judge

SEED = 20_261_121
LARGEST = 32 * 1024
ATTACKS_A_LANGUAGE = 3
OFFSETS = 2
KEPT = 0.95
"""Share of what is found at the beginning that is found at any offset. Not all: a line of three words behind an order is read as
part of it, and of two orders in 198 that was enough."""
_ROWS = ROOT / "tests" / "data" / "guard" / "attacks" / "attacks.jsonl"


def _mail(chance: random.Random) -> Iterator[str]:
    names = ("Anna", "Karel", "Zoë", "Mehmet", "Ольга")
    while True:
        yield f"From: {chance.choice(names)} <office{chance.randrange(99)}@mail.example>"
        yield f"Subject: Delivery {chance.randrange(10_000, 99_999)}"
        yield ""
        yield f"Hello {chance.choice(names)},"
        yield f"the {chance.randrange(2, 40)} boxes arrived on Tuesday and stand in the back room. Two of them are damp."
        yield "Could you call the carrier before noon? I am in the office until five."
        yield "Kind regards"
        yield ""


def _table(chance: random.Random) -> Iterator[str]:
    yield "| part | stock | price | remark |"
    yield "|---|---|---|---|"
    while True:
        part, stock, price = chance.randrange(10**6), chance.randrange(900), chance.randrange(1, 90_000) / 100
        yield f"| {part:06d} | {stock} | {price:.2f} | {chance.choice(('', 'new', 'on order', 'see shelf 4'))} |"


def _prose(chance: random.Random) -> Iterator[str]:
    while True:
        yield chance.choice(
            (
                "The harvest begins in late summer and takes about three weeks.",
                "Hemp was grown in the valley for sails and ropes until cotton replaced it in the nineteenth century.",
                "Two studies of 2018 and 2021 found no difference between the groups; a third one was never finished.",
                "Store the oil in a cool, dark place. Does it freeze? It becomes cloudy, and clears again at room temperature.",
                "Der Ertrag hängt vom Boden ab.",
            )
        )


KINDS: dict[str, Callable[[random.Random], Iterator[str]]] = {"mail": _mail, "table": _table, "prose": _prose}


def document(kind: str, chance: random.Random, size: int) -> list[str]:
    """Honest lines of at most `size` characters together."""
    lines: list[str] = []
    length = 0
    for line in KINDS[kind](chance):
        length += len(line) + 1
        if length > size:
            return lines
        lines.append(line)
    raise AssertionError("no document ends by itself")


def attacks() -> list[str]:
    """A few orders to an assistant in each language, as documents have them."""
    rows = [json.loads(line) for line in _ROWS.read_text(encoding="utf-8").splitlines()]
    chance = random.Random(SEED)
    languages = sorted({row["lang"] for row in rows})
    own = {lang: [row["text"] for row in rows if row["lang"] == lang and row["family"] == "indirect"] for lang in languages}
    return [text for lang in languages for text in chance.sample(own[lang], ATTACKS_A_LANGUAGE)]


def is_held_back(lines: list[str]) -> bool:
    text = "\n".join(lines)
    assert len(text) <= LARGEST
    return judge().passage(text)[0].action == pb.ACTION_BLOCK


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_found_at_the_beginning_is_found_at_any_offset(kind: str) -> None:
    chance = random.Random(f"{SEED} {kind}")
    honest = document(kind, chance, LARGEST - 1_000)
    assert not is_held_back(honest)
    found = tried = 0
    lost: list[tuple[int, str]] = []
    for attack in attacks():
        if not is_held_back([attack, *honest[:40]]):
            continue
        found += 1
        for _ in range(OFFSETS):
            # Anywhere, and half of the time at the very end.
            offset = chance.choice((chance.randrange(len(honest) + 1), len(honest)))
            tried += 1
            if not is_held_back([*honest[:offset], attack, *honest[offset:]]):
                lost.append((offset, attack))
    assert found > len(attacks()) / 2  # else nothing is shown
    assert len(lost) <= (1 - KEPT) * tried, (SEED, kind, found, tried, lost)
