"""The fold of a log, and what a retraction leaves of a text."""

from __future__ import annotations

import random
import secrets

import pytest
from ragmesh.gateway.v1 import turn_pb2 as t

from services.gateway.fold import blank, fold
from tests.unit.gateway import turn_events as ev


def test_folds_every_kind_of_event() -> None:
    events = ev.numbered(
        [
            ev.started("Wie lagern?"),
            ev.stage(t.STAGE_CHECKING),
            ev.understood(),
            ev.stage(t.STAGE_SEARCHING),
            ev.degraded(),
            ev.found(ev.evidence("ev_1")),
            ev.found(ev.evidence("ev_2")),
            ev.delta(0, "Kühl. "),
            ev.claimed(ev.claim(0, 6)),
            ev.delta(7, "Dunkel."),
            ev.finished(t.OUTCOME_PARTIAL),
        ]
    )
    events[0].create_time.FromSeconds(1_000)
    turn = fold(events)
    assert (turn.name, turn.question, turn.text, turn.last_seq) == (ev.TURN, "Wie lagern?", "Kühl. Dunkel.", 11)
    assert [item.name for item in turn.evidence] == ["ev_1", "ev_2"]
    assert list(turn.claims) == [ev.claim(0, 6)]
    assert turn.understood.language == "en"
    assert turn.stage.stage == t.STAGE_SEARCHING
    assert [item.skipped for item in turn.degradations] == ["dense search"]
    assert turn.finished.outcome == t.OUTCOME_PARTIAL
    assert turn.create_time.ToSeconds() == 1_000


def test_a_turn_that_runs_has_no_end() -> None:
    assert not fold(ev.numbered([ev.started(), ev.delta(0, "x")])).HasField("finished")


def test_an_unknown_event_is_passed_over_and_counts() -> None:
    events = ev.numbered([ev.started(), ev.delta(0, "a"), t.TurnEvent(), ev.delta(1, "b")])
    # Field 99 as a later version may send it: 1 byte of a length-delimited field.
    later = t.TurnEvent.FromString(events[2].SerializeToString() + b"\x9a\x06\x01x")
    assert later.WhichOneof("event") is None
    events[2] = later
    assert fold(events[:3]).last_seq == 3
    assert fold(events).text == "ab"


def test_a_retraction_blanks_bytes_and_moves_nothing() -> None:
    events = ev.numbered([ev.started(), ev.delta(0, "Öl kühl "), ev.delta(10, "und dunkel lagern €"), ev.retracted(4, 13)])
    turn = fold(events)
    assert turn.text == "Öl " + " " * 9 + " dunkel lagern €"
    assert len(turn.text.encode()) == len("Öl kühl und dunkel lagern €".encode())
    assert [(item.range.start, item.range.end) for item in turn.retractions] == [(4, 13)]


@pytest.mark.parametrize(
    ("start", "end", "offset", "left"),
    [
        (0, 0, 0, "aü€😀z"),
        (0, 11, 0, " " * 11),
        (1, 3, 0, "a  €😀z"),
        (3, 6, 0, "aü   😀z"),
        (0, 99, 0, " " * 11),
        (100, 101, 100, " ü€😀z"),
        (90, 101, 100, " ü€😀z"),
        (110, 999, 100, "aü€😀 "),
        (0, 100, 100, "aü€😀z"),
        (111, 120, 100, "aü€😀z"),
        # Ends inside a character take all of it.
        (2, 3, 0, "a  €😀z"),
        (1, 2, 0, "a  €😀z"),
        (4, 8, 0, "aü" + " " * 7 + "z"),
    ],
)
def test_blank(start: int, end: int, offset: int, left: str) -> None:
    assert blank("aü€😀z".encode(), ev.span(start, end), offset).decode() == left


def test_whatever_is_blanked_stays_text_of_the_same_length() -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(2000):
        text = "".join(rng.choices("aü€😀 ", k=rng.randint(0, 12))).encode()
        offset = rng.randint(0, 10)
        start = rng.randint(0, 60)
        part = ev.span(start, start + rng.randint(0, 60))
        blanked = blank(text, part, offset)
        assert len(blanked) == len(text)
        blanked.decode()
        for index, byte in enumerate(blanked):
            if part.start <= index + offset < part.end:
                assert byte == ord(" ")
            else:
                assert byte in (text[index], ord(" "))
