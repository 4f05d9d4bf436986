"""The parser process: survives nothing that a document can do, and the service survives it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from services.retriever.canonical import DocumentRejected
from services.retriever.parser_client import ParserClient
from services.retriever.parsing import parse

GIB = 1024**3
MARKDOWN = "---\ntitle: Titel\ntopic: thema\n---\n# Überschrift\n\nText, größer.\n\n- Punkt\n".encode()


@pytest.fixture
async def client() -> AsyncIterator[ParserClient]:
    made = ParserClient(seconds=20, memory_bytes=2 * GIB)
    yield made
    await made.close()


async def reason(client: ParserClient, data: bytes, media_type: str = "text/plain") -> str:
    with pytest.raises(DocumentRejected) as caught:
        await client.parse(data, media_type)
    return caught.value.reason


async def test_it_answers_what_the_parser_answers(client: ParserClient) -> None:
    assert await client.parse(MARKDOWN, "text/markdown") == parse(MARKDOWN, "text/markdown")
    assert await reason(client, b"") == "DOCUMENT_EMPTY"
    assert await reason(client, b"%PDF-1.4") == "MEDIA_TYPE_UNSUPPORTED"
    process = client._process
    await client.parse(MARKDOWN, "text/markdown")
    assert client._process is process


async def test_documents_at_once_do_not_mix(client: ParserClient) -> None:
    texts = [f"Document number {number}. " * (number + 1) for number in range(20)]
    found = await asyncio.gather(*(client.parse(text.encode(), "text/plain") for text in texts))
    assert [document.text.decode() for document in found] == [text.strip() for text in texts]


async def test_a_killed_process_is_replaced(client: ParserClient) -> None:
    await client.parse(MARKDOWN, "text/markdown")
    assert client._process is not None
    client._process.kill()
    client._process.wait()
    assert (await client.parse(MARKDOWN, "text/markdown")).title == "Titel"


async def test_a_document_that_kills_the_parser_is_unreadable(client: ParserClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies_reading(self: ParserClient) -> subprocess.Popen[bytes]:
        self._reap()
        command = [sys.executable, "-c", "import sys; sys.stdin.buffer.read(8); sys.exit(1)"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self._process

    with monkeypatch.context() as patch:
        patch.setattr(ParserClient, "_running", dies_reading)
        assert await reason(client, MARKDOWN) == "DOCUMENT_UNREADABLE"
    assert (await client.parse(MARKDOWN, "text/markdown")).title == "Titel"


async def test_a_document_that_takes_too_long_is_unreadable() -> None:
    client = ParserClient(seconds=20, memory_bytes=2 * GIB)
    await client.parse(MARKDOWN, "text/markdown")
    client._seconds = 0.05
    assert await reason(client, b"# Heading\n\nText with *some* marks.\n\n" * 60_000, "text/markdown") == "DOCUMENT_UNREADABLE"
    client._seconds = 20
    assert (await client.parse(MARKDOWN, "text/markdown")).title == "Titel"
    await client.close()


async def test_a_caller_that_goes_away_leaves_no_half_answer(client: ParserClient) -> None:
    await client.parse(MARKDOWN, "text/markdown")
    task = asyncio.create_task(client.parse(b"# Heading\n\nOther.\n\n" * 60_000, "text/markdown"))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await client.parse(MARKDOWN, "text/markdown")).title == "Titel"


async def test_memory_is_bounded() -> None:
    client = ParserClient(seconds=60, memory_bytes=300 * 1024 * 1024)
    found = await reason(client, b"<p>a</p>" * 4_000_000, "text/html")
    assert found in ("DOCUMENT_TOO_LARGE", "DOCUMENT_UNREADABLE")
    assert (await client.parse(MARKDOWN, "text/markdown")).title == "Titel"
    await client.close()
