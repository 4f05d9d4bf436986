"""The committed baseline: `buf breaking` compares with it, so it must be readable and hold what is stored."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tests.contract import contract


def test_the_baseline_holds_the_contract() -> None:
    baseline = FileDescriptorSet.FromString((contract.PROTO / "baseline/ragmesh.binpb").read_bytes())
    names = {file.name for file in baseline.file}
    assert "ragmesh/gateway/v1/turn.proto" in names
    assert "ragmesh/evidence/v1/evidence.proto" in names
    assert not any(file.HasField("source_code_info") for file in baseline.file), "comments are no part of the contract"
