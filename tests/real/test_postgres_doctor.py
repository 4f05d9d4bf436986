"""What `ragmesh doctor` finds out about a real PostgreSQL."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cli.health_checks import Verdict, all_findings
from cli.parts.run_state import layout
from cli.settings import read_settings
from services.retriever.postgres.checking import check
from services.retriever.postgres.truth import PostgresTruth
from services.retriever.truth import Checked
from tests.real.postgres_fixture import USER, Server, postgres
from tests.real.test_postgres_connections import tls_front
from tests.service.mesh.certificates import Authority
from tests.unit.retriever.truth_fixture import key, store, version

__all__ = ["postgres"]


def named(found: list[Checked]) -> dict[str, Checked]:
    return {one.name: one for one in found}


async def test_one_that_serves(tmp_path: Path, postgres: Server) -> None:
    settings = postgres.settings(postgres.new_database())
    before = named(list(check(settings)))
    assert before["its tables"].detail == "not there yet, the next start makes them (missing: 0001)"
    assert "its followers" not in before
    truth = PostgresTruth(tmp_path / "retriever", settings)
    await truth.open()
    found = named(list(check(settings)))
    assert all(one.good for one in found.values()), found
    assert found["postgresql"].detail.endswith(f"127.0.0.1:{postgres.port}, truth{postgres.databases}")
    assert found["its TLS"].detail == "not used: the connection does not leave this machine"
    assert found["its password"].detail == f"asked of {USER}, and not one that everybody knows"
    assert found["its tables"].detail == "as this release has them"
    assert found["its followers"].detail == "no index follows yet"
    truth.refuse_others()
    await truth.close()


async def test_tls_is_told(tmp_path: Path, postgres: Server) -> None:
    folder, database = Authority().write(tmp_path, "localhost"), postgres.new_database()
    with tls_front(postgres, folder, "localhost") as port:
        for mode, says in (
            ("verify-full", "used, its certificate is checked"),
            ("require", "used, its certificate is not checked"),
        ):
            dsn = f"postgresql://{USER}@localhost:{port}/{database}?sslmode={mode}&sslrootcert={folder / 'ca.pem'}"
            if mode == "require":
                dsn = dsn.partition("&")[0]
            assert named(list(check(postgres.settings(database, dsn=dsn))))["its TLS"].detail == says


async def test_indexes_that_follow(tmp_path: Path, postgres: Server) -> None:
    settings = postgres.settings(postgres.new_database())
    truth = PostgresTruth(tmp_path / "retriever", settings)
    await truth.open()
    await store(truth, version(key("a"), "One."))
    change = "INSERT INTO follower (name, position, flushed_epoch, seen) VALUES ('{}', {}, 0, extract(epoch from now()) - {})"
    for name, behind, silent, good, says in (
        ("a", 1, 5, True, "one index follows, the last one 1 changes behind, heard of "),
        ("b", 9_000, 3 * 3600, True, "2 indexes follow, the last one 9,000 changes behind, heard of 3 hours ago"),
        ("c", 20_000, 60, False, "3 indexes follow, the last one 20,000 changes behind, heard of 60 seconds ago"),
        ("d", 30_000, 4 * 86_400, False, "4 indexes follow, the last one 30,000 changes behind, heard of 4 days ago"),
    ):
        with postgres.connect(settings.dsn.rpartition("/")[2]) as connection:
            connection.execute("UPDATE meta SET value = '50000' WHERE key = 'trimmed'")
            connection.execute(change.format(name, 50_000 - behind, silent).encode())
        found = named(list(check(settings)))["its followers"]
        assert found.detail.startswith(says), found
        assert (found.good, bool(found.remedy)) == (good, not good)
    await truth.close()


def test_what_keeps_a_retriever_from_starting(tmp_path: Path, postgres: Server) -> None:
    database = postgres.new_database()
    later = postgres.new_database()
    with postgres.connect(later) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    far = f"postgresql://{USER}@db.example.org/{database}"
    for settings, says in (
        (postgres.settings(database, dsn=""), "PostgreSQL has no address"),
        (postgres.settings(database, dsn=far), "add sslmode=verify-full"),
        (postgres.settings("nowhere"), "has no database nowhere"),
        (postgres.settings(database, dsn=f"postgresql://{USER}@127.0.0.1:1/{database}"), "does not answer"),
        (postgres.settings(later), "those of another release"),
    ):
        last = list(check(settings))[-1]
        assert (last.name, last.good) == ("postgresql", False)
        assert says in last.detail


@pytest.mark.parametrize("listens", ["127.0.0.1", "127.0.0.1, 10.0.0.7"])
def test_a_password_that_everybody_knows(listens: str, postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = postgres.new_database()
    with postgres.connect(database) as connection:
        connection.execute("CREATE ROLE owner LOGIN PASSWORD 'ChangeMe'")
    path = tmp_path / "password"
    path.write_text("ChangeMe")
    path.chmod(0o600)
    monkeypatch.setattr("services.retriever.postgres.checking._LISTENS", f"SELECT '{listens}'")
    dsn = f"postgresql://owner@127.0.0.1:{postgres.port}/{database}"
    found = named(list(check(postgres.settings(database, dsn=dsn, password_file=path))))["its password"]
    with postgres.connect(database) as connection:
        connection.execute("DROP ROLE owner")
    if "," in listens:
        assert (found.good, found.detail) == (False, "everybody knows it, and it listens on 10.0.0.7")
        assert found.remedy.startswith("ALTER ROLE owner")
    else:
        assert (found.good, found.detail) == (True, "one that everybody knows; it listens on this machine alone")


def test_the_command_shows_it(tmp_path: Path, postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = postgres.settings(postgres.new_database())
    folders = layout(tmp_path / "var")
    folders.make()
    lines = [
        "RAGMESH_RETRIEVER_TRUTH=postgresql",
        f"RAGMESH_RETRIEVER_POSTGRES__DSN={settings.dsn}",
        f"RAGMESH_RETRIEVER_POSTGRES__PASSWORD_FILE={settings.password_file}",
    ]
    for name in [name for name in os.environ if name.startswith("RAGMESH_")]:
        monkeypatch.delenv(name)
    file = folders.root / "ragmesh.env"
    file.write_text("\n".join(lines))

    def shown() -> dict[str, tuple[Verdict, str]]:
        found = {one.name: one for one in all_findings(folders, read_settings(folders.root))}
        return {name: (one.verdict, one.detail) for name, one in found.items() if name == "postgresql" or name.startswith("its ")}

    assert list(shown()) == ["postgresql", "its TLS", "its password", "its tables"]
    assert {verdict for verdict, _ in shown().values()} == {Verdict.GOOD}
    file.write_text("\n".join([lines[0], f"RAGMESH_RETRIEVER_POSTGRES__DSN=postgresql://{USER}@127.0.0.1:1/x"]))
    ((verdict, detail),) = shown().values()
    assert (verdict, "does not answer" in detail) == (Verdict.BAD, True)
    file.write_text("")
    assert shown() == {}
