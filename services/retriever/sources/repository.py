"""Reads the documents of a git repository at the head of its default branch, from a shallow clone that is deleted afterwards.

`git` is asked to connect to the checked address and to follow no redirect; hooks, filters and submodules of the repository never
run. Knows no store.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import AsyncGenerator, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from services.retriever.canonical import DocumentRejected, one_line
from services.retriever.programs import running
from services.retriever.sources.addresses import Addresses
from services.retriever.sources.naming import document_id
from services.retriever.sources.news import Ended, Limits, News, Page, Parse, Passed, Unread
from services.retriever.truth_sources import Known

MAX_CLONE_BYTES = 1024 * 1024 * 1024
_LOOK_SECONDS = 0.2
_SHOWN = 200
_DEPTH = ("--depth", "1")
_MEDIA_TYPES = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".mdx": "text/markdown",
    ".txt": "text/plain",
    ".rst": "text/plain",
    ".adoc": "text/plain",
    ".html": "text/html",
    ".htm": "text/html",
    ".pdf": "application/pdf",
}


async def read_repository(
    url: str, parse: Parse, *, addresses: Addresses, prefix: str, known: Mapping[str, Known], pipeline: str, limits: Limits
) -> AsyncGenerator[News, None]:
    """The documents of a repository.

    Raises:
        DocumentRejected: SOURCE_UNREACHABLE, ADDRESS_NOT_ALLOWED, DOCUMENT_TOO_LARGE.
    """
    address = await addresses.of(url)
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="ragmesh-git-"))
    try:
        await _clone(url, address, folder / "clone", limits.seconds)
        for read, (path, relative) in enumerate(_files(folder / "clone")):
            if read >= limits.pages:
                yield Ended("max_pages")
                return
            yield await _document(path, relative, url, parse, prefix, known, pipeline, limits)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _clone(url: str, address: str, target: Path, seconds: float) -> None:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    place = f"[{address}]" if ":" in address else address
    settings = (
        *("-c", f"http.curloptResolve={parts.hostname}:{port}:{place}"),
        *("-c", "http.followRedirects=false", "-c", "http.proxy=", "-c", "core.hooksPath=/dev/null"),
        *("-c", "protocol.allow=never", "-c", "protocol.http.allow=always", "-c", "protocol.https.allow=always"),
        *("-c", "credential.helper=", "-c", "filter.lfs.smudge=", "-c", "filter.lfs.required=false", "-c", "filter.lfs.process="),
    )
    command = ("git", *settings, "clone", "--quiet", *_DEPTH, "--single-branch", "--no-tags", "--", url, str(target))
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(target.parent),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ASKPASS": "true",
    }
    try:
        with running(command, environment=environment, alone=True) as process:
            async with asyncio.timeout(seconds):
                while (status := process.ended()) is None:
                    if await asyncio.to_thread(_size, target) > MAX_CLONE_BYTES:
                        raise DocumentRejected("DOCUMENT_TOO_LARGE", f"the repository is larger than {MAX_CLONE_BYTES} bytes")
                    await asyncio.sleep(_LOOK_SECONDS)
            if status:
                raise DocumentRejected("SOURCE_UNREACHABLE", f"git could not clone the repository{_reason(process.said(), status)}")
    except FileNotFoundError:
        raise DocumentRejected("SOURCE_UNREACHABLE", "there is no program `git` on this machine") from None
    except TimeoutError:
        raise DocumentRejected("SOURCE_UNREACHABLE", "the repository did not come in time") from None


def _reason(said: str, status: int) -> str:
    """Why git failed, in its own words; those of the server (`remote: ...`) are left out."""
    lines = [line.removeprefix("fatal: ") for line in said.splitlines() if line.startswith("fatal: ")]
    return f": {one_line(lines[-1])[:_SHOWN]}" if lines else f" (exit status {status})"


def _size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(place) / name).lstat().st_size
    return total


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Documents in the order of names; nothing outside of the clone, whatever links in it say."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place) / name
            if path.suffix.lower() in _MEDIA_TYPES and stat.S_ISREG(path.lstat().st_mode):
                yield path, path.relative_to(folder).as_posix()


async def _document(
    path: Path, relative: str, url: str, parse: Parse, prefix: str, known: Mapping[str, Known], pipeline: str, limits: Limits
) -> News:
    uri = f"{url.removesuffix('.git').rstrip('/')}/blob/HEAD/{quote(relative, errors='surrogateescape')}"
    try:
        if path.stat().st_size > limits.page_bytes:
            raise DocumentRejected("DOCUMENT_TOO_LARGE", f"the file is larger than {limits.page_bytes} bytes")
        data = await asyncio.to_thread(path.read_bytes)
        digest = hashlib.sha256(data).hexdigest()
        name = document_id(os.fsencode(f"{prefix}/{relative}"))
        before = known.get(uri)
        now = Known(uri, name, "", "", digest, pipeline, ())
        if before is not None and (before.sha256, before.pipeline) == (digest, pipeline):
            return Page(before, uri, None)
        media_type = _MEDIA_TYPES[path.suffix.lower()]
        return Page(now, uri, await parse(data, media_type, uri), media_type, len(data))
    except OSError as error:
        return Unread(uri, "DOCUMENT_UNREADABLE", f"cannot be read: {error.strerror}")
    except DocumentRejected as rejected:
        if rejected.reason == "DOCUMENT_EMPTY":
            return Passed(None, uri)
        return Unread(uri, rejected.reason, rejected.message)
