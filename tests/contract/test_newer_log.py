"""A log written by a newer release, replayed to today's reader: unknown events and values are passed over, `seq` goes on."""

from __future__ import annotations

import protovalidate
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from ragmesh.gateway.v1 import turn_pb2

TURN = "conversations/c/turns/t"
FILE = turn_pb2.DESCRIPTOR.name


def _newer() -> type[Message]:
    """TurnEvent of a release that has an event, an outcome and a stage more."""
    pool = descriptor_pool.DescriptorPool()

    def add(name: str) -> None:
        file = descriptor_pb2.FileDescriptorProto()
        descriptor_pool.Default().FindFileByName(name).CopyToProto(file)
        for dependency in file.dependency:
            add(dependency)
        if name == FILE:
            _extend(file)
        pool.Add(file)

    def _extend(file: descriptor_pb2.FileDescriptorProto) -> None:
        event = next(message for message in file.message_type if message.name == "TurnEvent")
        event.field.add(name="summarised", number=40, type=11, type_name=".ragmesh.gateway.v1.Delta", label=1, oneof_index=0)
        event.field.add(name="region", number=41, type=9, label=1)
        for enum in file.enum_type:
            if enum.name in ("Stage", "Outcome"):
                enum.value.add(name=f"{enum.name.upper()}_OF_TOMORROW", number=77)

    add(FILE)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("ragmesh.gateway.v1.TurnEvent"))


@pytest.fixture(scope="module")
def log() -> list[bytes]:
    """Five events of a newer release, as bytes."""
    event = _newer()
    written = [
        {"started": {"conversation": "conversations/c", "question": "Why?"}},
        {"stage": {"stage": 77, "count": 3}},
        {"summarised": {"text": "In short."}, "region": "eu"},
        {"delta": {"text": "Because."}},
        {"finished": {"outcome": 77}},
    ]
    return [event(turn=TURN, seq=seq, **fields).SerializeToString() for seq, fields in enumerate(written, start=1)]


def test_every_event_is_read_and_seq_goes_on(log: list[bytes]) -> None:
    read = [turn_pb2.TurnEvent.FromString(raw) for raw in log]
    assert [event.seq for event in read] == [1, 2, 3, 4, 5]
    assert {event.turn for event in read} == {TURN}
    assert [event.WhichOneof("event") for event in read] == ["started", "stage", None, "delta", "finished"]


def test_an_unknown_value_is_kept_as_a_number(log: list[bytes]) -> None:
    stage = turn_pb2.TurnEvent.FromString(log[1]).stage
    assert stage.stage not in turn_pb2.Stage.values()
    assert stage.count == 3
    finished = turn_pb2.TurnEvent.FromString(log[4]).finished
    assert finished.outcome not in turn_pb2.Outcome.values()


def test_what_is_not_known_survives_a_reader_that_passes_it_on(log: list[bytes]) -> None:
    newer = _newer()
    passed_on = turn_pb2.TurnEvent.FromString(log[2]).SerializeToString()
    assert newer.FromString(passed_on) == newer.FromString(log[2])


def test_a_reader_that_validates_would_break(log: list[bytes]) -> None:
    """Why responses are validated by who sends them and never by who reads them."""
    with pytest.raises(protovalidate.ValidationError, match="exactly one field is required in oneof"):
        protovalidate.validate(turn_pb2.TurnEvent.FromString(log[2]))
