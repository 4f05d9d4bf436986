"""What of PostgreSQL needs no server: which addresses and passwords are refused, and how statements are called there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.retriever.postgres.settings import PostgresSettings
from services.retriever.postgres.statements import row_maker, translated, widened
from services.retriever.postgres.target import conninfo
from services.retriever.truth_schema import TruthUnusable

FAR = "postgresql://ragmesh@db.example.org/ragmesh"
NEAR = "postgresql://ragmesh@127.0.0.1/ragmesh"
GOOD = "kW3-vT9.pQ"


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{GOOD}\n")
    path.chmod(0o600)
    return path


def target(dsn: str, password_file: Path | None = None) -> dict[str, Any]:
    return conninfo(PostgresSettings(dsn=dsn, password_file=password_file), "test")


@pytest.mark.parametrize(
    "dsn",
    [
        NEAR,
        "postgresql://ragmesh@localhost:5433/ragmesh",
        "postgresql://ragmesh@[::1]/ragmesh",
        "host=/run/postgresql user=ragmesh dbname=ragmesh",
        "postgresql:///ragmesh?host=/run/postgresql&user=ragmesh",
    ],
)
def test_on_this_machine_neither_tls_nor_a_password_is_asked_for(dsn: str) -> None:
    found = target(dsn)
    assert (found["sslmode"], found["password"]) == ("prefer", "")


def test_beyond_it_both_are(password_file: Path) -> None:
    found = target(f"{FAR}?sslmode=verify-full&sslrootcert=/etc/ca.pem", password_file)
    assert (found["sslmode"], found["password"], found["sslrootcert"]) == ("verify-full", GOOD, "/etc/ca.pem")


def test_a_certificate_of_ones_own_stands_for_a_password() -> None:
    assert target(f"{FAR}?sslmode=verify-full&sslcert=/c.pem&sslkey=/k.pem")["sslcert"] == "/c.pem"


@pytest.mark.parametrize("mode", ["", "?sslmode=disable", "?sslmode=prefer", "?sslmode=require", "?sslmode=verify-ca"])
@pytest.mark.parametrize("host", ["db.example.org", "10.0.0.7", "127.0.0.1,10.0.0.7", "localhost.example.org", "0.0.0.0"])
def test_a_network_without_a_checked_certificate_is_refused(host: str, mode: str, password_file: Path) -> None:
    with pytest.raises(TruthUnusable, match="add sslmode=verify-full"):
        target(f"postgresql://ragmesh@{host}/ragmesh{mode}", password_file)


def test_the_address_behind_a_name_counts_too(password_file: Path) -> None:
    with pytest.raises(TruthUnusable, match="verify-full"):
        target("host=localhost hostaddr=10.0.0.7 user=ragmesh dbname=ragmesh", password_file)


@pytest.mark.parametrize("password", ["postgres", "password", "Admin", "CHANGEME", "123456", "ragmesh", "owner"])
def test_well_known_passwords_are_refused_beyond_this_machine(password: str, password_file: Path) -> None:
    password_file.write_text(password)
    with pytest.raises(TruthUnusable, match="everybody knows"):
        target("postgresql://owner@db.example.org/ragmesh?sslmode=verify-full", password_file)
    assert target(NEAR, password_file)["password"] == password


def test_no_password_is_refused_beyond_this_machine() -> None:
    with pytest.raises(TruthUnusable, match="needs a password: set RAGMESH_RETRIEVER_POSTGRES__PASSWORD_FILE"):
        target(f"{FAR}?sslmode=verify-full")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_password_file_that_others_may_read_is_refused(mode: int, password_file: Path) -> None:
    password_file.chmod(mode)
    if mode == 0o640 and password_file.stat().st_uid == 0:
        assert target(NEAR, password_file)["password"] == GOOD, "root's, for a group: as libpq takes keys"
        return
    with pytest.raises(TruthUnusable, match="chmod 600"):
        target(NEAR, password_file)


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"x" * 2000, b"nul\x00"])
def test_a_password_file_holds_a_password_and_nothing_else(content: bytes, password_file: Path) -> None:
    password_file.write_bytes(content)
    with pytest.raises(TruthUnusable, match="on one line"):
        target(NEAR, password_file)


def test_a_password_file_that_is_not_there() -> None:
    with pytest.raises(TruthUnusable, match="No such file"):
        target(NEAR, Path("/nowhere/password"))


@pytest.mark.parametrize(
    ("dsn", "says"),
    [
        ("", "set RAGMESH_RETRIEVER_POSTGRES__DSN"),
        ("postgresql://ragmesh:hunter2@127.0.0.1/ragmesh", "must not have 'password'; put the password into a file"),
        ("host=127.0.0.1 user=r dbname=r password=hunter2", "must not have 'password'"),
        ("host=127.0.0.1 user=r dbname=r passfile=/x", "must not have 'passfile'"),
        ("service=mine", "must not have 'service'"),
        ("host=127.0.0.1 user=r dbname=r options=-cfsync=off", "must not have 'options'"),
        ("postgresql://ragmesh@/ragmesh", "names no host"),
        ("postgresql://127.0.0.1/ragmesh", "names no user"),
        ("postgresql://ragmesh@127.0.0.1/", "no database"),
        ("hunter2 is not an address", "cannot be read"),
    ],
)
def test_an_address_that_says_too_much_or_too_little(dsn: str, says: str) -> None:
    with pytest.raises(TruthUnusable) as caught:
        target(dsn)
    assert says in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_environment_adds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "from-outside")
    monkeypatch.setenv("PGSSLMODE", "disable")
    monkeypatch.setenv("PGHOSTADDR", "203.0.113.9")
    found = target(NEAR)
    assert (found["password"], found["sslmode"], found["passfile"]) == ("", "prefer", "/dev/null")
    assert found["hostaddr"] == ""


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT ? WHERE name = :name", "SELECT %s WHERE name = %(name)s"),
        ("SELECT '? :a %' || ? || x::text, 7 % 2", "SELECT '? :a %%' || %s || x::text, 7 %% 2"),
        (
            "x IN (SELECT value FROM json_each(:labels))",
            "x IN (SELECT value FROM (SELECT value FROM json_array_elements_text(%(labels)s::json)) AS listed)",
        ),
        (
            "FROM json_each(?) AS wanted",
            "FROM (SELECT value::bigint FROM json_array_elements_text(%s::json)) AS wanted",
        ),
        ("(SELECT json_group_array(label) FROM label)", "(SELECT coalesce(json_agg(label)::text, '[]') FROM label)"),
    ],
)
def test_statements_are_called_as_postgresql_calls_them(sql: str, expected: str) -> None:
    assert translated(sql).decode() == expected


def test_rows_are_read_by_name_and_by_place() -> None:
    class Column:
        def __init__(self, name: str) -> None:
            self.name = name

    class Cursor:
        description = (Column("id"), Column("name"))

    row = row_maker(Cursor())((7, "seven"))
    assert (row[0], row["id"], row["name"], list(row)) == (7, 7, "seven", [7, "seven"])
    with pytest.raises(KeyError):
        row["other"]


def test_rows_of_an_insert_go_together() -> None:
    assert widened("INSERT INTO label VALUES (?, ?)", 3) == b"INSERT INTO label VALUES (%s, %s), (%s, %s), (%s, %s)"
    assert widened("DELETE FROM label WHERE label = ?", 3) is None
    assert widened("INSERT INTO label VALUES (?, ?) ON CONFLICT DO NOTHING", 2) is None
