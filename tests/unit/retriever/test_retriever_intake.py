"""The import stream as an automaton: every order of messages, sizes and sums that do not fit, what is passed over."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from ragmesh.retriever.v1.document_service_pb2 import ImportBegin, ImportCommit, ImportData, ImportDocumentsRequest

from services.mesh.errors import MeshError
from services.retriever.canonical import DocumentRejected
from services.retriever.ingest import Announced
from services.retriever.intake import Answer, Intake

TEXT = b"Some text."
COMMIT = ImportDocumentsRequest(commit=ImportCommit())


class Stored:
    """Says what is stored already, or fails."""

    unchanged = False
    failure: Exception | None = None

    async def __call__(self, announced: Announced) -> bool:
        if self.failure is not None:
            raise self.failure
        return self.unchanged


@pytest.fixture
def stored() -> Stored:
    return Stored()


@pytest.fixture
async def intake(tmp_path: Path, stored: Stored) -> AsyncIterator[Intake]:
    made = Intake("default", tmp_path, spool_bytes=64, max_bytes=1000, stored=stored)
    yield made
    made.release()


def begin(data: bytes = TEXT, **fields: Any) -> ImportDocumentsRequest:
    announced = ImportBegin(document="collections/c/documents/d", media_type="text/plain", size_bytes=len(data))
    announced.sha256 = hashlib.sha256(data).hexdigest()
    announced.MergeFrom(ImportBegin(**fields))
    return ImportDocumentsRequest(begin=announced)


def data(piece: bytes) -> ImportDocumentsRequest:
    return ImportDocumentsRequest(data=ImportData(data=piece))


async def rejection(intake: Intake, request: ImportDocumentsRequest) -> str:
    with pytest.raises(DocumentRejected) as caught:
        await intake.take(request)
    return caught.value.reason


async def test_documents_come_one_after_the_other(intake: Intake) -> None:
    for text in (TEXT, b"x" * 900):
        assert await intake.take(begin(text)) is Answer.MORE
        for at in range(0, len(text), 7):
            assert await intake.take(data(text[at : at + 7])) is Answer.MORE
        assert await intake.take(COMMIT) is Answer.COMPLETE
        assert intake.received().data() == text
    intake.end()


async def test_a_large_document_waits_in_a_file_that_goes_away(intake: Intake, tmp_path: Path) -> None:
    await intake.take(begin(b"x" * 900))
    await intake.take(data(b"x" * 900))
    assert intake._spool is not None
    assert intake._spool._rolled  # type: ignore[attr-defined]
    intake.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("before", "actual", "expected"),
    [
        ([], data(b"x"), "begin"),
        ([], COMMIT, "begin"),
        ([], ImportDocumentsRequest(), "begin"),
        ([begin()], begin(), "data or commit"),
        ([begin(), data(TEXT), COMMIT], COMMIT, "begin"),
    ],
)
async def test_orders_that_mean_nothing(
    intake: Intake, before: list[ImportDocumentsRequest], actual: ImportDocumentsRequest, expected: str
) -> None:
    for request in before:
        await intake.take(request)
    with pytest.raises(MeshError) as caught:
        await intake.take(actual)
    assert caught.value.reason == "IMPORT_OUT_OF_ORDER"
    assert caught.value.metadata["expected"] == expected


async def test_a_stream_that_ends_inside_a_document(intake: Intake) -> None:
    await intake.take(begin())
    with pytest.raises(MeshError, match="IMPORT_OUT_OF_ORDER"):
        intake.end()


async def test_what_is_stored_already_is_passed_over(intake: Intake, stored: Stored) -> None:
    stored.unchanged = True
    assert await intake.take(begin()) is Answer.UNCHANGED
    assert await intake.take(data(TEXT)) is Answer.MORE
    assert await intake.take(COMMIT) is Answer.MORE
    assert await intake.take(begin()) is Answer.UNCHANGED
    assert await intake.take(begin()) is Answer.UNCHANGED
    intake.end()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"size_bytes": 1001}, "DOCUMENT_TOO_LARGE"),
        ({"size_bytes": 4_000_000_000}, "DOCUMENT_TOO_LARGE"),
        ({"media_type": "application/zip"}, "MEDIA_TYPE_UNSUPPORTED"),
    ],
)
async def test_a_refused_announcement_passes_over_what_follows(intake: Intake, fields: dict[str, Any], reason: str) -> None:
    assert await rejection(intake, begin(**fields)) == reason
    assert await intake.take(data(TEXT)) is Answer.MORE
    assert await intake.take(COMMIT) is Answer.MORE
    assert await intake.take(begin()) is Answer.MORE


async def test_nothing_announced_is_empty(intake: Intake) -> None:
    assert await rejection(intake, begin(b"")) == "DOCUMENT_EMPTY"


@pytest.mark.parametrize("failure", [MeshError("STORE_UNAVAILABLE", "full"), DocumentRejected("PERMISSION_DENIED", "no")])
async def test_a_store_that_fails_refuses_the_document_not_the_stream(intake: Intake, stored: Stored, failure: Exception) -> None:
    stored.failure = failure
    with pytest.raises(type(failure)):
        await intake.take(begin())
    assert await intake.take(data(TEXT)) is Answer.MORE
    assert await intake.take(COMMIT) is Answer.MORE


async def test_bytes_that_were_not_announced(intake: Intake) -> None:
    await intake.take(begin())
    assert await rejection(intake, data(TEXT + b"!")) == "CHECKSUM_MISMATCH"
    assert await intake.take(COMMIT) is Answer.MORE
    await intake.take(begin())
    await intake.take(data(TEXT[:-1]))
    assert await rejection(intake, COMMIT) == "CHECKSUM_MISMATCH"
    await intake.take(begin())
    await intake.take(data(TEXT[::-1]))
    assert await rejection(intake, COMMIT) == "CHECKSUM_MISMATCH"
    assert await intake.take(begin()) is Answer.MORE
