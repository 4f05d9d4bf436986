"""The service configs beside the protos: they name what exists, cover it all, and retry only what may be repeated."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from google.protobuf.descriptor_pb2 import MethodOptions

from services.mesh.channel import service_config, service_config_path
from services.mesh.settings import SERVICES
from tests.contract import contract

_SECONDS = re.compile(r"^(\d+(?:\.\d+)?)s$")
# More attempts are cut down by gRPC without a word.
_MOST_ATTEMPTS = 5
# Envoy's wall is 120 s: whatever takes longer would be cut without a status.
_LONGEST = 110.0


def _entries(service: str) -> list[dict[str, Any]]:
    entries = orjson.loads(service_config(service))["methodConfig"]
    assert isinstance(entries, list)
    return entries


def _known(service: str) -> dict[str, dict[str, int]]:
    """Full name of a gRPC service -> its methods with their idempotency levels."""
    package = f"ragmesh.{service}.v1."
    return {
        found.full_name: {method.name: method.GetOptions().idempotency_level for method in found.methods}
        for found in contract.services()
        if found.full_name.startswith(package)
    }


def _covered(entry: dict[str, Any], known: dict[str, dict[str, int]]) -> list[tuple[str, str]]:
    pairs = []
    for name in entry["name"]:
        methods = [name["method"]] if "method" in name else list(known[name["service"]])
        pairs += [(name["service"], method) for method in methods]
    return pairs


def test_every_config_belongs_to_a_service() -> None:
    found = sorted(path for path in contract.PROTO.rglob("*_grpc_service_config.json"))
    assert found == sorted(service_config_path(service) for service in SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_every_method_is_covered_once_and_exists(service: str) -> None:
    known = _known(service)
    covered = [pair for entry in _entries(service) for pair in _covered(entry, known)]
    assert sorted(covered) == sorted((name, method) for name, methods in known.items() for method in methods)


@pytest.mark.parametrize("service", SERVICES)
def test_only_what_may_be_repeated_is_retried(service: str) -> None:
    known = _known(service)
    for entry in _entries(service):
        if "retryPolicy" not in entry:
            continue
        policy = entry["retryPolicy"]
        assert policy["retryableStatusCodes"] == ["UNAVAILABLE"]
        assert 2 <= policy["maxAttempts"] <= _MOST_ATTEMPTS
        for name, method in _covered(entry, known):
            assert known[name][method] in (MethodOptions.NO_SIDE_EFFECTS, MethodOptions.IDEMPOTENT), method


@pytest.mark.parametrize("service", SERVICES)
def test_every_call_is_bounded_in_time(service: str) -> None:
    """Imports and refreshes are the exception: they are bounded by idle time, and by the limits of the source."""
    known = _known(service)
    for entry in _entries(service):
        if "timeout" not in entry:
            documents = "ragmesh.retriever.v1.DocumentService"
            assert _covered(entry, known) == [(documents, "ImportDocuments"), (documents, "Refresh")]
            continue
        found = _SECONDS.match(entry["timeout"])
        assert found and 0 < float(found[1]) <= _LONGEST
