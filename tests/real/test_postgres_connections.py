"""Connections to a real PostgreSQL: TLS, logins, lost connections, deadlines, locks, and what a caller gets to know of it all."""

from __future__ import annotations

import asyncio
import contextlib
import math
import select
import socket
import socketserver
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from services.mesh import context
from services.mesh.deadline import Budget
from services.mesh.errors import MeshError
from services.retriever import truth_reads
from services.retriever.postgres.settings import PostgresSettings
from services.retriever.postgres.truth import PostgresTruth
from services.retriever.records import Reader
from services.retriever.truth import Connection
from services.retriever.truth_schema import TruthUnusable
from tests.real.postgres_fixture import USER, Server, postgres
from tests.service.mesh.certificates import Authority
from tests.unit.retriever.truth_fixture import key, store, version

__all__ = ["postgres"]

_SSL_REQUEST = bytes.fromhex("0000000804d2162f")


class _TlsFront(socketserver.BaseRequestHandler):
    """Speaks TLS for a server whose build has none: answers PostgreSQL's request for it, then hands bytes on."""

    tls: ssl.SSLContext
    port: int

    def handle(self) -> None:
        if self.request.recv(8, socket.MSG_WAITALL) != _SSL_REQUEST:
            return
        self.request.sendall(b"S")
        with (
            contextlib.suppress(ssl.SSLError, ConnectionError),
            self.tls.wrap_socket(self.request, server_side=True) as near,
            socket.create_connection(("127.0.0.1", self.port)) as far,
        ):
            self._relay(near, far)

    def _relay(self, near: ssl.SSLSocket, far: socket.socket) -> None:
        while True:
            ready = [near] if near.pending() else select.select([near, far], [], [])[0]
            for one in ready:
                data = one.recv(65_536)
                if not data:
                    return
                (far if one is near else near).sendall(data)


@contextlib.contextmanager
def tls_front(server: Server, folder: Path, name: str) -> Iterator[int]:
    """The port of a TLS front whose certificate is for `name`."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    handler = type("Front", (_TlsFront,), {"tls": made, "port": server.port})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as front:
        front.daemon_threads = True
        thread = threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield front.server_address[1]
        finally:
            front.shutdown()
            thread.join()


@pytest.fixture
async def truth(tmp_path: Path, postgres: Server) -> AsyncIterator[PostgresTruth]:
    settings = postgres.settings(postgres.new_database(), statement_seconds=5, lock_seconds=60, connect_seconds=30, pool_size=2)
    made = PostgresTruth(tmp_path / "retriever", settings)
    await made.open()
    yield made
    await made.close()


async def test_tls_with_a_certificate_that_is_checked(tmp_path: Path, postgres: Server) -> None:
    folder = Authority().write(tmp_path / "tls", "localhost", "elsewhere")
    strangers = Authority().write(tmp_path / "strangers", "localhost")
    database = postgres.new_database()

    def settings(port: int, authority: Path) -> PostgresSettings:
        dsn = f"postgresql://{USER}@localhost:{port}/{database}?sslmode=verify-full&sslrootcert={authority / 'ca.pem'}"
        return postgres.settings(database, dsn=dsn)

    with tls_front(postgres, folder, "localhost") as port:
        truth = PostgresTruth(tmp_path / "a", settings(port, folder))
        await truth.open()
        await store(truth, version(key("a"), "Over TLS."))
        assert await truth.read(lambda connection: truth_reads.count_readable(connection, Reader("default"), 1)) == 1
        with truth.beside() as connection:
            assert truth_reads.count_indexed(connection) == 1
        await truth.close()
        with pytest.raises(TruthUnusable, match="certificate is not the right one"):
            PostgresTruth(tmp_path / "b", settings(port, strangers))
    with (
        tls_front(postgres, folder, "elsewhere") as port,
        pytest.raises(TruthUnusable, match="certificate is not the right one"),
    ):
        PostgresTruth(tmp_path / "c", settings(port, folder))


async def test_a_server_without_tls_is_not_taken_for_one_with(tmp_path: Path, postgres: Server) -> None:
    database = postgres.new_database()
    with pytest.raises(TruthUnusable, match="do not agree on TLS"):
        PostgresTruth(tmp_path, postgres.settings(database, dsn=f"{postgres.dsn(database)}?sslmode=require"))


def test_what_keeps_a_retriever_from_starting_is_said(tmp_path: Path, postgres: Server) -> None:
    database = postgres.new_database()
    wrong = tmp_path / "wrong"
    wrong.write_text("not the password")
    wrong.chmod(0o600)
    for settings, says in (
        (postgres.settings(database, password_file=wrong), f"does not let {USER} in"),
        (postgres.settings("nowhere"), "has no database nowhere: CREATE DATABASE nowhere OWNER ragmesh"),
        (postgres.settings(database, dsn=f"postgresql://{USER}@127.0.0.1:1/{database}"), "does not answer"),
    ):
        with pytest.raises(TruthUnusable) as caught:
            PostgresTruth(tmp_path / "retriever", settings)
        assert says in str(caught.value)
        assert "FATAL" not in str(caught.value)
    PostgresTruth(tmp_path / "retriever", postgres.settings(database))


def test_tables_of_a_later_release_are_refused_and_left_alone(tmp_path: Path, postgres: Server) -> None:
    database = postgres.new_database()
    with postgres.connect(database) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    with pytest.raises(TruthUnusable, match="another release"):
        PostgresTruth(tmp_path, postgres.settings(database))
    with postgres.connect(database) as connection:
        assert connection.execute("SELECT to_regclass('document')").fetchone() == (None,)


async def test_retrievers_that_start_together_make_the_tables_once(tmp_path: Path, postgres: Server) -> None:
    settings = postgres.settings(postgres.new_database())
    made = await asyncio.gather(*(asyncio.to_thread(PostgresTruth, tmp_path / name, settings) for name in "abc"))
    assert len({truth.follower for truth in made}) == 3
    assert len({truth.instance.removesuffix(truth.follower) for truth in made}) == 1
    for truth in made:
        await truth.close()


def _others(server: Server, database: str, what: str) -> list[Any]:
    with server.connect("postgres") as connection:
        return connection.execute(
            f"SELECT {what} FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'ragmesh%%'", (database,)
        ).fetchall()


async def test_lost_connections_are_tried_once_more(truth: PostgresTruth, postgres: Server) -> None:
    database = f"truth{postgres.databases}"
    assert _others(postgres, database, "pg_terminate_backend(pid)")
    await store(truth, version(key("a"), "Kept."))
    assert _others(postgres, database, "pg_terminate_backend(pid)")
    assert await truth.read(truth_reads.count_indexed) == 1
    runs: list[int] = []

    def lose(connection: Connection) -> int:
        """Ends the connection that it runs on, the first time."""
        pid = int(connection.execute("SELECT pg_backend_pid()").fetchone()[0])
        runs.append(pid)
        connection.execute("UPDATE meta SET value = value || 'x' WHERE key = 'embedder'")
        if len(runs) == 1:
            with postgres.connect("postgres") as other:
                other.execute("SELECT pg_terminate_backend(%s)", (pid,))
        return len(connection.execute("SELECT value FROM meta WHERE key = 'embedder'").fetchone()[0])

    before = len(await truth.read(lambda connection: truth_reads.meta(connection, "embedder")))
    assert await truth.write(lose) == before + 1, "what the lost connection wrote is gone"
    assert len(set(runs)) == 2


async def test_nobody_knows_what_became_of_a_commit_that_got_no_answer(
    truth: PostgresTruth, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    execute = psycopg.AsyncConnection.execute

    async def cut(self: Any, query: Any, *rest: Any, **more: Any) -> Any:
        if query == b"COMMIT":
            await self.close()
        return await execute(self, query, *rest, **more)

    monkeypatch.setattr(psycopg.AsyncConnection, "execute", cut)
    with pytest.raises(MeshError) as caught:
        await truth.write(lambda connection: runs.append(1))
    assert caught.value.reason == "STORE_UNAVAILABLE"
    assert len(runs) == 1


async def _raises(work: Callable[[Connection], object], truth: PostgresTruth) -> MeshError:
    with pytest.raises(MeshError) as caught:
        await truth.read(work)
    return caught.value


def _sleeping(server: Server, database: str) -> int:
    with server.connect("postgres") as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state = 'active' AND query LIKE '%%pg_sleep%%'",
            (database,),
        ).fetchone()
    assert found is not None
    return int(found[0])


async def test_time_that_is_up_ends_the_statement_on_the_server_too(truth: PostgresTruth, postgres: Server) -> None:
    database = f"truth{postgres.databases}"

    def slow(connection: Connection) -> object:
        return connection.execute("SELECT pg_sleep(60)").fetchone()

    try:
        context.set_budget(Budget(0.3))
        assert (await _raises(slow, truth)).reason == "DEADLINE_EXCEEDED"
        assert _sleeping(postgres, database) == 0
    finally:
        context.set_budget(Budget(math.inf))
    task = asyncio.create_task(truth.read(slow))
    while not _sleeping(postgres, database):
        assert not task.done()
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert _sleeping(postgres, database) == 0
    # Without a deadline the limit of a statement ends it.
    error = await _raises(slow, truth)
    assert (error.reason, "statement" in error.message) == ("STORE_UNAVAILABLE", False)
    assert await truth.read(truth_reads.count_indexed) == 0, "the connections can be used again"


async def test_a_change_waits_for_others_only_so_long(truth: PostgresTruth, tmp_path: Path, postgres: Server) -> None:
    await store(truth, version(key("a"), "Kept."))
    database = f"truth{postgres.databases}"
    hasty = PostgresTruth(tmp_path / "hasty", postgres.settings(database, lock_seconds=0.2))
    await hasty.open()
    with postgres.connect(database) as other:
        other.execute("BEGIN")
        other.execute("SELECT pg_advisory_xact_lock(%s)", (0x7261676D657368,))
        with pytest.raises(MeshError) as caught:
            await store(hasty, version(key("b"), "Waits."))
        assert caught.value.reason == "STORE_UNAVAILABLE"
        assert await hasty.read(truth_reads.count_indexed) == 1, "questions wait for nobody"
    await hasty.close()
    await store(truth, version(key("b"), "Comes later."))
    assert await truth.read(truth_reads.count_indexed) == 2


async def test_more_callers_than_connections_wait_for_their_turn(truth: PostgresTruth) -> None:
    counted = await asyncio.gather(*(truth.read(truth_reads.count_indexed) for _ in range(40)))
    assert counted == [0] * 40


async def test_changes_at_the_same_time_come_one_after_the_other(truth: PostgresTruth) -> None:
    committed = await asyncio.gather(*(store(truth, version(key(f"d{number}"), f"Text {number}.")) for number in range(12)))
    assert sorted(one.epoch for one in committed) == list(range(1, 13))
    by_epoch = sorted(committed, key=lambda one: one.epoch)
    rows = [one.announced[0] for one in by_epoch]
    assert rows == sorted(rows), "rows of the outbox come in the order of the commits"


_TWICE = "INSERT INTO collection (id, tenant, name, create_time) VALUES (7, 'default', 'twice', 0)"


@pytest.mark.parametrize(
    "then", ["", "SELECT 1", "INSERT INTO outbox (version_id) VALUES (1)", "UPDATE meta SET value = '9' WHERE key = 'epoch'"]
)
async def test_a_change_that_fails_undoes_all_of_its_transaction_whatever_comes_after_it(truth: PostgresTruth, then: str) -> None:
    """Answers to changes are waited for later: also the last one's is."""

    def work(connection: Connection) -> None:
        connection.execute("INSERT INTO outbox (version_id) VALUES (4711)")
        connection.execute(_TWICE)
        connection.execute(_TWICE)
        if then:
            connection.execute(then)

    with pytest.raises(MeshError) as failed:
        await truth.write(work)
    assert failed.value.reason == "STORE_UNAVAILABLE"
    left = await truth.read(
        lambda connection: [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("outbox", "collection")]
    )
    assert left == [0, 0]
    await store(truth, version(key("after"), "The connection is as it was."))


async def test_how_many_rows_a_change_changed(truth: PostgresTruth) -> None:
    def work(connection: Connection) -> list[int]:
        connection.executemany("INSERT INTO outbox (version_id) VALUES (?)", [(number,) for number in range(100)])
        gone = connection.execute("DELETE FROM outbox WHERE version_id < 30").rowcount
        none = connection.execute("DELETE FROM outbox WHERE version_id < 30").rowcount
        return [gone, none, connection.execute("SELECT count(*) FROM outbox").fetchone()[0]]

    assert await truth.write(work) == [30, 0, 70]


async def test_an_error_of_the_work_itself_is_raised_as_it_is(truth: PostgresTruth) -> None:
    def work(connection: Connection) -> None:
        connection.execute("INSERT INTO outbox (version_id) VALUES (4711)")
        raise MeshError("DOCUMENT_NOT_FOUND", "no")

    with pytest.raises(MeshError, match="no"):
        await truth.write(work)
    assert await truth.read(lambda connection: connection.execute("SELECT count(*) FROM outbox").fetchone()[0]) == 0
