"""The contract as the tests see it: descriptors of all files of ours, the services, and the text of a proto.

Knows nothing of any rule; each test file holds its own.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, MethodDescriptor, ServiceDescriptor

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto"


def files() -> list[FileDescriptor]:
    """Every file of `proto/ragmesh`, from the generated Python, in the order of names."""
    names = sorted(path.relative_to(PROTO) for path in (PROTO / "ragmesh").rglob("*.proto"))
    assert names, "no proto of ours was found"
    return [importlib.import_module(f"{str(name.with_suffix('')).replace('/', '.')}_pb2").DESCRIPTOR for name in names]


def services() -> list[ServiceDescriptor]:
    """Every service of ours."""
    return [service for file in files() for service in file.services_by_name.values()]


def methods() -> list[MethodDescriptor]:
    """Every method of ours."""
    return [method for service in services() for method in service.methods]


def messages() -> list[Descriptor]:
    """Every message of ours, nested ones too."""

    def nested(message: Descriptor) -> Iterator[Descriptor]:
        yield message
        for inner in message.nested_types:
            yield from nested(inner)

    return [found for file in files() for message in file.message_types_by_name.values() for found in nested(message)]


def reachable(roots: list[Descriptor]) -> dict[str, Descriptor]:
    """Messages of ours inside `roots`, and the roots, by full name."""
    found: dict[str, Descriptor] = {}
    waiting = list(roots)
    while waiting:
        message = waiting.pop()
        if message.full_name in found or not message.full_name.startswith("ragmesh."):
            continue
        found[message.full_name] = message
        waiting += [field.message_type for field in message.fields if field.type == FieldDescriptor.TYPE_MESSAGE]
    return found
