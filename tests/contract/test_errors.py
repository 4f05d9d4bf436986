"""Every ErrorReason: the code in the chassis, the code in its comment, an example of its metadata."""

from __future__ import annotations

import re

import orjson
import pytest
from ragmesh.errors.v1.reason_pb2 import ErrorReason

from services.mesh.errors import CODES, MeshError
from tests.contract import contract

_PREFIX = "ERROR_REASON_"
_ENTRY = re.compile(r"((?:^ *//.*\n)+)^ *ERROR_REASON_(\w+) = (\d+);", re.MULTILINE)
_CODE_NAMES = "|".join(sorted({code.name for code in CODES.values()}, key=len, reverse=True))


def _comments() -> dict[str, str]:
    text = (contract.PROTO / "ragmesh/errors/v1/reason.proto").read_text(encoding="utf-8")
    return {name: " ".join(line.strip(" /") for line in block.splitlines()) for block, name, _ in _ENTRY.findall(text)}


COMMENTS = _comments()
REASONS = [name.removeprefix(_PREFIX) for name in ErrorReason.keys() if name != f"{_PREFIX}UNSPECIFIED"]  # noqa: SIM118


def test_the_chassis_knows_every_reason_and_no_other() -> None:
    assert sorted(CODES) == sorted(REASONS)
    assert set(REASONS) <= set(COMMENTS)


@pytest.mark.parametrize("reason", REASONS)
def test_the_comment_names_the_code_and_an_example(reason: str) -> None:
    text, separator, example = COMMENTS[reason].partition("Example: ")
    assert separator, "the comment has no example"
    named = re.findall(rf"\b({_CODE_NAMES})\b", text)
    assert named == [CODES[reason].name]
    metadata = orjson.loads(example)
    assert all(isinstance(value, str) for value in metadata.values()), "metadata of an ErrorInfo are strings"


@pytest.mark.parametrize("reason", REASONS)
def test_retry_info_comes_where_the_comment_says_so(reason: str) -> None:
    assert ("with RetryInfo" in COMMENTS[reason]) == MeshError(reason, "x").retryable
