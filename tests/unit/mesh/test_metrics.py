"""Instruments: what they cost without a receiver, how many attribute sets they keep, what arrives."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import orjson
import pytest

from bench.otlp_receiver import OtlpReceiver, ReceivedPoint
from services.mesh import metrics
from services.mesh.metrics import MAX_ATTRIBUTE_SETS, OVERFLOW, Instrument
from services.mesh.telemetry import Telemetry


@pytest.fixture(autouse=True)
def nothing_declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Instruments of a test are its own, and nothing is exported after it."""
    monkeypatch.setattr(metrics, "_declared", {})
    yield
    metrics.close()


@pytest.fixture
async def receiver() -> AsyncIterator[OtlpReceiver]:
    """Takes metrics."""
    async with OtlpReceiver() as found:
        yield found


async def _told(receiver: OtlpReceiver) -> list[ReceivedPoint]:
    assert await asyncio.to_thread(metrics.flush, 5_000)
    return sorted(receiver.points.values(), key=lambda point: (point.name, repr(point.attributes)))


def _counter() -> Instrument:
    return metrics.counter("test.answers", "{answer}", "Answers.")


async def test_what_is_counted_arrives_by_its_attributes(receiver: OtlpReceiver) -> None:
    answers = _counter()
    metrics.export("guard", receiver.endpoint)
    for word in ("yes", "no", "yes"):
        answers.tell(1, test__said=word)
    no, yes = await _told(receiver)
    assert (no.service, no.name, no.unit) == ("guard", "test.answers", "{answer}")
    assert (no.attributes, no.count) == ({"test.said": "no"}, 1)
    assert (yes.attributes, yes.count) == ({"test.said": "yes"}, 2)


async def test_a_histogram_has_the_boundaries_that_were_declared(receiver: OtlpReceiver) -> None:
    took = metrics.histogram("test.duration", "s", "How long.", (0.001, 0.01))
    metrics.export("guard", receiver.endpoint)
    took.tell(0.5)
    took.tell(0.25)
    (point,) = await _told(receiver)
    assert (point.count, point.total, point.bounds) == (2, 0.75, (0.001, 0.01))


async def test_what_is_new_beyond_the_limit_is_counted_together(receiver: OtlpReceiver) -> None:
    answers = _counter()
    metrics.export("guard", receiver.endpoint)
    for number in range(MAX_ATTRIBUTE_SETS + 7):
        answers.tell(1, test__said=str(number))
    answers.tell(1, test__said="0")
    found = await _told(receiver)
    assert len(found) == MAX_ATTRIBUTE_SETS + 1
    counts = {repr(point.attributes): point.count for point in found}
    assert counts[repr(OVERFLOW)] == 7
    assert counts[repr({"test.said": "0"})] == 2


async def test_metrics_follow_the_state_file(receiver: OtlpReceiver, tmp_path: Path) -> None:
    answers, file = _counter(), tmp_path / "telemetry.json"
    state = Telemetry("guard", file)
    file.write_bytes(orjson.dumps({"endpoint": receiver.endpoint, "metrics": False}))
    state.refresh()
    answers.tell(1)
    assert await _told(receiver) == [], "a viewer of traces takes no metrics"
    file.write_bytes(orjson.dumps({"endpoint": receiver.endpoint}))
    state.refresh()
    answers.tell(1)
    await asyncio.to_thread(state.close)
    (point,) = receiver.points.values()
    assert point.count == 1, "what is left is exported at the end"
    answers.tell(1)
    assert not metrics.flush() or len(receiver.points) == 1


async def test_a_receiver_that_is_gone_holds_nothing_up(receiver: OtlpReceiver) -> None:
    answers = _counter()
    metrics.export("guard", "127.0.0.1:1")
    answers.tell(1)
    metrics.export("guard", receiver.endpoint)
    answers.tell(1)
    (point,) = await _told(receiver)
    assert point.count == 1


def test_a_name_is_declared_once() -> None:
    _counter()
    with pytest.raises(ValueError, match="declared twice"):
        _counter()


def test_nothing_is_loaded_before_there_is_a_receiver() -> None:
    program = (
        "import sys; from services.mesh import metrics, telemetry\n"
        "metrics.counter('a', '1', 'b').tell(1)\n"
        "sys.exit('opentelemetry.sdk.metrics' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
