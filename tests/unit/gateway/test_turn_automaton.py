"""The order of a turn's events: every rule, by what it accepts and by what it refuses."""

from __future__ import annotations

import random
import secrets

import pytest
from ragmesh.evidence.v1 import evidence_pb2 as e
from ragmesh.gateway.v1 import turn_pb2 as t

from services.gateway.automaton import MAX_EVENTS, MAX_TEXT_BYTES, OutOfOrderError, TurnAutomaton
from services.gateway.fold import fold
from services.mesh.errors import MeshError
from tests.unit.gateway import turn_events as ev


def _after(*events: t.TurnEvent) -> TurnAutomaton:
    automaton = TurnAutomaton()
    for event in ev.numbered(events):
        automaton.accept(event)
    return automaton


def _next(automaton: TurnAutomaton, event: t.TurnEvent) -> t.TurnEvent:
    event.seq = automaton.last_seq + 1
    return event


def _accept(automaton: TurnAutomaton, event: t.TurnEvent) -> None:
    automaton.accept(_next(automaton, event))


def test_takes_a_whole_turn() -> None:
    automaton = _after(
        ev.started(),
        ev.stage(t.STAGE_CHECKING),
        ev.understood(),
        ev.found(ev.evidence("ev_1")),
        ev.found(ev.evidence("ev_2")),
        ev.degraded(),
        ev.delta(0, ev.SENTENCE),
        ev.claimed(ev.claim(0, 13, highlight=ev.span(0, 5))),
        ev.delta(len(ev.SENTENCE.encode()), "Dark."),
        ev.claimed(ev.claim(14, 19, "ev_2")),
        ev.retracted(0, 14),
        ev.finished(),
    )
    assert automaton.finished
    assert automaton.last_seq == 12
    assert automaton.released_bytes == len(ev.SENTENCE.encode()) + 5


_EACH_KIND = [
    ev.understood(),
    ev.stage(),
    ev.found(ev.evidence("ev_9")),
    ev.delta(0, "x"),
    ev.claimed(ev.claim(0, 0, None)),
    ev.retracted(0, 0),
    ev.degraded(),
    t.TurnEvent(heartbeat=t.Heartbeat()),
    ev.finished(),
    t.TurnEvent(),
]


@pytest.mark.parametrize("event", _EACH_KIND, ids=lambda event: str(event.WhichOneof("event")))
def test_nothing_comes_before_started(event: t.TurnEvent) -> None:
    automaton = TurnAutomaton()
    with pytest.raises(OutOfOrderError, match="as event 1"):
        _accept(automaton, event)
    assert not automaton.started


@pytest.mark.parametrize("event", [ev.started(), *_EACH_KIND], ids=lambda event: str(event.WhichOneof("event")))
def test_nothing_comes_after_finished(event: t.TurnEvent) -> None:
    with pytest.raises(OutOfOrderError, match="after finished"):
        _accept(_after(ev.started(), ev.finished()), event)


def test_started_comes_once() -> None:
    with pytest.raises(OutOfOrderError, match="started as event 2"):
        _accept(_after(ev.started()), ev.started())


def test_understood_comes_once() -> None:
    with pytest.raises(OutOfOrderError, match="understood twice"):
        _accept(_after(ev.started(), ev.understood()), ev.understood())


@pytest.mark.parametrize("seq", [0, 1, 3, 2**32 - 1])
def test_seq_has_no_gaps_and_no_repeats(seq: int) -> None:
    automaton = _after(ev.started())
    event = ev.stage()
    event.seq = seq
    with pytest.raises(OutOfOrderError, match=f"seq {seq} after 1"):
        automaton.accept(event)


def test_heartbeats_are_not_stored() -> None:
    with pytest.raises(OutOfOrderError, match="heartbeats"):
        _accept(_after(ev.started()), t.TurnEvent(heartbeat=t.Heartbeat()))


@pytest.mark.parametrize("start", [0, 12, 13, 15])
def test_a_delta_continues_where_the_last_one_ended(start: int) -> None:
    # 13 is the number of characters: offsets count bytes.
    with pytest.raises(OutOfOrderError, match="released 14"):
        _accept(_after(ev.started(), ev.delta(0, ev.SENTENCE)), ev.delta(start, "x"))


def test_evidence_is_named_once() -> None:
    automaton = _after(ev.started(), ev.found(ev.evidence()))
    with pytest.raises(OutOfOrderError, match="ev_1 twice"):
        _accept(automaton, ev.found(ev.evidence("ev_2"), ev.evidence("ev_1")))


@pytest.mark.parametrize(
    ("claim", "why"),
    [
        (ev.claim(0, 15), "released 14"),
        (ev.claim(14, 20), "released 14"),
        (ev.claim(9, 8), "range 9-8"),
        (ev.claim(0, 8, "ev_2"), "ev_2, which the turn does not hold"),
        (ev.claim(0, 8, quote=(99, 110)), "quote outside"),
        (ev.claim(0, 8, quote=(110, 137)), "quote outside"),
        (ev.claim(0, 8, quote=(110, 109)), "quote outside"),
        (ev.claim(0, 8, quote=(0, 4)), "quote outside"),
        (ev.claim(2, 8, highlight=ev.span(1, 8)), "highlight"),
        (ev.claim(2, 8, highlight=ev.span(2, 9)), "highlight"),
        (ev.claim(0, 8, verdict=e.CLAIM_VERDICT_UNSPECIFIED), "nobody judged"),
    ],
)
def test_a_claim_that_does_not_hold_is_refused(claim: e.Claim, why: str) -> None:
    with pytest.raises(OutOfOrderError, match=why):
        _accept(_after(ev.started(), ev.found(ev.evidence()), ev.delta(0, ev.SENTENCE)), ev.claimed(claim))


def test_a_quote_may_not_reach_from_one_span_into_another() -> None:
    passage = ev.evidence()
    del passage.spans[:]
    passage.spans.extend([ev.span(100, 110), ev.span(120, 130)])
    automaton = _after(ev.started(), ev.found(passage), ev.delta(0, ev.SENTENCE))
    _accept(automaton, ev.claimed(ev.claim(0, 8, quote=(122, 130))))
    with pytest.raises(OutOfOrderError, match="quote outside"):
        _accept(automaton, ev.claimed(ev.claim(0, 8, quote=(105, 125))))


def test_evidence_comes_before_its_claim() -> None:
    automaton = _after(ev.started(), ev.delta(0, ev.SENTENCE))
    with pytest.raises(OutOfOrderError, match="does not hold"):
        _accept(automaton, ev.claimed(ev.claim(0, 8)))
    _accept(automaton, ev.found(ev.evidence()))
    _accept(automaton, ev.claimed(ev.claim(0, 8)))


@pytest.mark.parametrize(("start", "end"), [(0, 15), (15, 16), (5, 4)])
def test_only_released_text_is_retracted(start: int, end: int) -> None:
    with pytest.raises(OutOfOrderError, match="released 14"):
        _accept(_after(ev.started(), ev.delta(0, ev.SENTENCE)), ev.retracted(start, end))


def test_text_is_bounded_in_bytes_and_finished_still_fits() -> None:
    automaton = _after(ev.started(), ev.delta(0, "ü" * (MAX_TEXT_BYTES // 2)))
    with pytest.raises(MeshError) as caught:
        _accept(automaton, ev.delta(MAX_TEXT_BYTES, "x"))
    assert caught.value.reason == "TURN_TOO_LARGE"
    assert caught.value.metadata == {"limit_bytes": "65536"}
    _accept(automaton, ev.finished(t.OUTCOME_FAILED))


def test_events_are_bounded_and_finished_still_fits() -> None:
    automaton = _after(ev.started(), *(ev.stage() for _ in range(MAX_EVENTS - 2)))
    assert automaton.last_seq == MAX_EVENTS - 1
    with pytest.raises(MeshError) as caught:
        _accept(automaton, ev.stage())
    assert caught.value.reason == "TURN_TOO_LARGE"
    assert caught.value.metadata == {"limit_events": "2000"}
    _accept(automaton, ev.finished(t.OUTCOME_FAILED))
    assert automaton.last_seq == MAX_EVENTS


def test_a_fork_leaves_the_original_as_it_was() -> None:
    automaton = _after(ev.started())
    ahead = automaton.fork()
    for event in (ev.understood(), ev.found(ev.evidence()), ev.delta(0, "x"), ev.finished()):
        _accept(ahead, event)
    for event in (ev.understood(), ev.found(ev.evidence()), ev.delta(0, "x")):
        _accept(automaton, event)
    assert not automaton.finished


def _random_event(rng: random.Random) -> t.TurnEvent:
    a, b = rng.randint(0, 30), rng.randint(0, 30)
    name = rng.choice(["ev_1", "ev_2"])
    choices = [
        ev.started(),
        ev.understood(),
        ev.stage(),
        ev.found(ev.evidence(name)),
        ev.delta(rng.choice([0, 3, 6, 9, a]), rng.choice(["abc", "äb", "€"])),
        ev.claimed(ev.claim(a, b, rng.choice([name, None]))),
        ev.retracted(a, b),
        ev.degraded(),
        t.TurnEvent(heartbeat=t.Heartbeat()),
    ]
    if rng.random() < 0.03:
        return ev.finished()
    return rng.choice(choices)


def test_whatever_comes_the_accepted_events_make_a_turn_that_holds_together() -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    claims = retractions = 0
    for _ in range(300):
        automaton, log = TurnAutomaton(), []
        for _ in range(60):
            event = _random_event(rng)
            event.seq = automaton.last_seq + 1
            before = (automaton.last_seq, automaton.released_bytes, automaton.finished)
            try:
                automaton.accept(event)
            except OutOfOrderError:
                assert (automaton.last_seq, automaton.released_bytes, automaton.finished) == before
            else:
                log.append(event)
        kinds = [event.WhichOneof("event") for event in log]
        assert [event.seq for event in log] == list(range(1, len(log) + 1))
        assert kinds.count("started") == bool(log) and kinds[:1] in ([], ["started"])
        assert kinds.count("understood") <= 1 and "heartbeat" not in kinds
        assert "finished" not in kinds[:-1]
        turn = fold(log)
        assert len(turn.text.encode()) == automaton.released_bytes
        assert len({item.name for item in turn.evidence}) == len(turn.evidence)
        for item in turn.claims:
            assert item.range.start <= item.range.end <= automaton.released_bytes
            assert {ref.evidence for ref in item.refs} <= {item.name for item in turn.evidence}
        claims += len(turn.claims)
        retractions += len(turn.retractions)
    assert claims and retractions, "the sequences must reach what they are to test"
