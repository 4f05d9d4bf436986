"""What the guard holds back and why, and what owners released: a small SQLite file beside the store of truth, or two tables in it
where several retrievers share it.

A passage is known by the digest of its text, so that a release outlives the next import of its document. The truth decides what is
found; this file is about reasons and releases alone. Knows neither the guard nor an index.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from services.mesh.sqlite import Database
from services.retriever.truth import Connection, Truth

MAX_NOTES = 20_000
"""Notes that are kept; beyond that the oldest go, and the passages they were about stay held back without a reason."""
MAX_TEXT_BYTES = 32 * 1024
_TABLES = """
    CREATE TABLE IF NOT EXISTS held (
        tenant TEXT NOT NULL,
        document TEXT NOT NULL,
        digest BLOB NOT NULL,
        category TEXT NOT NULL,
        rules TEXT NOT NULL,
        text TEXT NOT NULL,
        time INTEGER NOT NULL,
        PRIMARY KEY (tenant, document, digest)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS held_time ON held (time);
    CREATE TABLE IF NOT EXISTS released (
        tenant TEXT NOT NULL,
        digest BLOB NOT NULL,
        subject TEXT NOT NULL,
        time INTEGER NOT NULL,
        PRIMARY KEY (tenant, digest)
    ) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Held:
    """A passage that is held back."""

    digest: bytes
    document: str
    """`collections/{c}/documents/{d}`."""
    category: str
    rules: tuple[str, ...]
    text: str
    """Empty where the store of truth has it."""
    time: int = 0
    """Nanoseconds since 1970."""


def passage_text(title_path: Sequence[str], text: str) -> str:
    """A passage as the guard judges it: headings reach the generator too."""
    return "\n".join((*title_path, "", text))


def digest_of(title_path: Sequence[str], text: str) -> bytes:
    """By what a passage is known."""
    return hashlib.sha256(passage_text(title_path, text).encode()).digest()


class QuarantineBook:
    """Opens the file in `folder`; or uses the tables of `truth`, where other retrievers share that."""

    def __init__(self, folder: Path, truth: Truth | None = None) -> None:
        self._own: Database | None = None
        if truth is None or not truth.shared:
            self._own = Database(folder / "quarantine.db", "quarantine", synchronous="FULL")
            self._own.setup(lambda connection: connection.executescript(_TABLES))
            self._database: Database | Truth = self._own
        else:
            self._database = truth

    async def note(self, tenant: str, held: Sequence[Held]) -> None:
        """Keep why passages are held back."""
        if not held:
            return
        now = time.time_ns()
        rows = [
            (tenant, item.document, item.digest, item.category, orjson.dumps(item.rules).decode(), _cut(item.text), now)
            for item in held
        ]

        def write(connection: Connection) -> None:
            connection.executemany(
                "INSERT INTO held VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, document, digest) DO UPDATE SET"
                " category = excluded.category, rules = excluded.rules, text = excluded.text",
                rows,
            )
            connection.execute(
                "DELETE FROM held WHERE time < (SELECT time FROM held ORDER BY time DESC LIMIT 1 OFFSET ?)", (MAX_NOTES,)
            )

        await self._database.write(write)

    async def released(self, tenant: str, digests: Sequence[bytes]) -> frozenset[bytes]:
        """Those of `digests` that their owner released."""

        def read(connection: Connection) -> frozenset[bytes]:
            if connection.execute("SELECT 1 FROM released WHERE tenant = ? LIMIT 1", (tenant,)).fetchone() is None:
                return frozenset()
            one = "SELECT 1 FROM released WHERE tenant = ? AND digest = ?"
            return frozenset(digest for digest in digests if connection.execute(one, (tenant, digest)).fetchone() is not None)

        return await self._database.read(read)

    async def release(self, tenant: str, document: str, digest: bytes, subject: str) -> bool:
        """From now on a passage passes; False where it is not held back."""

        def write(connection: Connection) -> bool:
            gone = connection.execute(
                "DELETE FROM held WHERE tenant = ? AND document = ? AND digest = ?", (tenant, document, digest)
            ).rowcount
            connection.execute(
                "INSERT INTO released VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", (tenant, digest, subject, time.time_ns())
            )
            return gone > 0

        return await self._database.write(write)

    async def notes(self, tenant: str, collection: str, after: tuple[str, bytes], limit: int) -> list[Held]:
        """Notes on the passages of `collections/{c}` in the order of documents and digests, behind `after`."""

        def read(connection: Connection) -> list[Held]:
            rows = connection.execute(
                "SELECT * FROM held WHERE tenant = ? AND document >= ? AND document < ? AND (document, digest) > (?, ?)"
                " ORDER BY document, digest LIMIT ?",
                # "0" comes right after "/".
                (tenant, f"{collection}/", f"{collection}0", *after, limit),
            ).fetchall()
            return [
                Held(row["digest"], row["document"], row["category"], tuple(orjson.loads(row["rules"])), row["text"], row["time"])
                for row in rows
            ]

        return await self._database.read(read)

    async def forget(self, tenant: str, held: Sequence[Held]) -> None:
        """Notes about what is not held back any more."""

        def write(connection: Connection) -> None:
            connection.executemany(
                "DELETE FROM held WHERE tenant = ? AND document = ? AND digest = ?",
                [(tenant, item.document, item.digest) for item in held],
            )

        await self._database.write(write)

    async def close(self) -> None:
        """Closes the file."""
        if self._own is not None:
            await self._own.close()


def _cut(text: str) -> str:
    return text.encode()[:MAX_TEXT_BYTES].decode("utf-8", "ignore")
