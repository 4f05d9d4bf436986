"""The state file of telemetry: what is read from it, and what never breaks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.mesh import telemetry
from services.mesh.telemetry import Telemetry


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the state stands; nothing is there yet."""
    return tmp_path / "telemetry.json"


@pytest.fixture
def state(file: Path) -> Iterator[Telemetry]:
    """Telemetry of a process that found no file."""
    made = Telemetry("guard", file)
    made.refresh()
    yield made
    made.close()


def _sampled(state: Telemetry, spans: int = 200) -> int:
    tracer = state.provider.get_tracer("test")
    return sum(tracer.start_span("x").get_span_context().trace_flags.sampled for _ in range(spans))


def _write(file: Path, text: str, second: int) -> None:
    file.write_text(text)
    os.utime(file, (second, second))  # a clock too coarse to tell two writes apart is not what is tested


def test_without_a_file_nothing_is_sampled(state: Telemetry) -> None:
    assert _sampled(state) == 0


def test_without_an_endpoint_nothing_is_sampled(state: Telemetry, file: Path) -> None:
    _write(file, '{"endpoint": null, "ratio": 1}', 1)
    state.refresh()
    assert _sampled(state) == 0


def test_sampling_follows_the_file(state: Telemetry, file: Path) -> None:
    _write(file, '{"endpoint": "127.0.0.1:1", "ratio": 1}', 1)
    state.refresh()
    assert _sampled(state) == 200
    _write(file, '{"endpoint": "127.0.0.1:1", "ratio": 0}', 2)
    state.refresh()
    assert _sampled(state) == 0
    _write(file, '{"endpoint": "127.0.0.1:1"}', 3)
    state.refresh()
    assert 0 <= _sampled(state) < 60, "5 % where the file names no ratio"
    file.unlink()
    state.refresh()
    assert _sampled(state) == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"ratio": 2}', '{"ratio": "much"}', '{"endpoint": 7}'])
def test_a_file_that_cannot_be_read_changes_nothing(state: Telemetry, file: Path, text: str) -> None:
    _write(file, '{"endpoint": "127.0.0.1:1", "ratio": 1}', 1)
    state.refresh()
    _write(file, text, 2)
    state.refresh()
    assert _sampled(state) == 200


def test_a_parent_is_followed_whatever_the_ratio(state: Telemetry, file: Path) -> None:
    _write(file, '{"endpoint": "127.0.0.1:1", "ratio": 1}', 1)
    state.refresh()
    tracer = state.provider.get_tracer("test")
    for flag, wanted in (("00", False), ("01", True)):
        parent = telemetry.extract({"traceparent": f"00-{'4' * 32}-{'1' * 16}-{flag}"})
        assert tracer.start_span("x", context=parent).get_span_context().trace_flags.sampled is wanted


@pytest.mark.parametrize("header", ["", "nonsense", f"00-{'0' * 32}-{'1' * 16}-01", "00-xyz-1-01"])
def test_a_broken_context_is_none(header: str) -> None:
    from opentelemetry import trace

    found = trace.get_current_span(telemetry.extract({"traceparent": header})).get_span_context()
    assert not found.is_valid


def test_before_it_is_set_up_a_span_costs_and_records_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "_active", None)
    with telemetry.span("x", ragmesh__stage="y") as opened:
        assert not opened.is_recording()
        assert telemetry.inject() == {}
        assert telemetry.current_trace_id() == ""
