"""Decisions of docs/design.md that hold for every message and method, walked over the descriptors."""

from __future__ import annotations

from re import _parser as regex_parser  # the only way to ask how long a match may get

import pytest
from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodOptions
from google.protobuf.text_format import Parse

from tests.contract import contract

_WIDE = {
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_SINT64,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED64,
}
_READS = ("Get", "List", "Search", "Explain", "Count", "Resume", "CheckInput", "CheckDocument", "StreamGenerate")
_REPEATABLE = ("Delete", "Stop", "Rate")
_LONGEST_PATTERN = 2048


def _rules(field: FieldDescriptor) -> validate_pb2.FieldRules:
    return field.GetOptions().Extensions[validate_pb2.field]


def _bounded_string(rules: validate_pb2.StringRules) -> bool:
    if rules.HasField("pattern"):
        return regex_parser.parse(rules.pattern).getwidth()[1] <= _LONGEST_PATTERN
    return any(rules.HasField(name) for name in ("max_len", "max_bytes", "len", "len_bytes", "const"))


def _unbounded(field: FieldDescriptor) -> str | None:
    """What has no bound in `field`, or None."""
    rules = _rules(field)
    if field.is_repeated:
        if not rules.repeated.HasField("max_items"):
            return "items"
        rules = rules.repeated.items
    if field.type == FieldDescriptor.TYPE_STRING and not _bounded_string(rules.string):
        return "string"
    if field.type == FieldDescriptor.TYPE_BYTES and not rules.bytes.HasField("max_len"):
        return "bytes"
    return None


def test_every_field_of_a_request_is_bounded() -> None:
    requests: list[Descriptor] = [method.input_type for method in contract.methods()]
    inside = contract.reachable(requests)
    assert len(inside) > len({request.full_name for request in requests}), "nothing is walked below the requests"
    loose = [f"{field.full_name}: {lack}" for message in inside.values() for field in message.fields if (lack := _unbounded(field))]
    assert loose == []


def test_the_principal_is_bounded_and_no_field_of_a_request() -> None:
    principal = next(message for message in contract.messages() if message.full_name == "ragmesh.identity.v1.Principal")
    assert [field.name for field in principal.fields if _unbounded(field)] == []
    inside = contract.reachable([method.input_type for method in contract.methods()])
    assert principal.full_name not in inside
    assert [field.full_name for message in inside.values() for field in message.fields if field.name == "tenant"] == []


def test_no_number_is_wider_than_a_browser_counts() -> None:
    wide = [field.full_name for message in contract.messages() for field in message.fields if field.type in _WIDE]
    assert wide == []


def test_a_score_tells_zero_from_unset() -> None:
    floats = (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT)
    fields = [field for message in contract.messages() for field in message.fields if field.type in floats]
    assert fields
    assert [field.full_name for field in fields if not field.has_presence] == []


def test_every_enum_begins_with_unspecified() -> None:
    enums = [enum for file in contract.files() for enum in file.enum_types_by_name.values()]
    assert enums
    assert [enum.full_name for enum in enums if not enum.values_by_number[0].name.endswith("_UNSPECIFIED")] == []


@pytest.mark.parametrize("method", contract.methods(), ids=lambda method: method.name)
def test_reads_say_that_they_are_reads(method: MethodDescriptor) -> None:
    if method.name.startswith(_READS):
        wanted = MethodOptions.NO_SIDE_EFFECTS
    elif method.name.startswith(_REPEATABLE):
        wanted = MethodOptions.IDEMPOTENT
    else:
        wanted = MethodOptions.IDEMPOTENCY_UNKNOWN
    assert method.GetOptions().idempotency_level == wanted


def test_the_committed_text_is_the_generated_contract() -> None:
    text = (contract.PROTO / "ragmesh.descriptor.txtpb").read_text(encoding="utf-8")
    committed = {file.name: file for file in Parse(text, FileDescriptorSet()).file}
    generated = {}
    for file in contract.files():
        generated[file.name] = type(next(iter(committed.values())))()
        file.CopyToProto(generated[file.name])
    for file in (*committed.values(), *generated.values()):
        # Python's generator leaves JSON names out.
        for message in file.message_type:
            for field in message.field:
                field.ClearField("json_name")
    assert committed.keys() == generated.keys()
    assert [name for name in committed if committed[name] != generated[name]] == []
