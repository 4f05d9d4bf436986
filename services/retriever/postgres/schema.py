"""Brings the tables of a PostgreSQL to this release, by Alembic; of several retrievers that start at once, one does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.pool import NullPool

from services.retriever.truth_schema import TruthUnusable

_MIGRATING = 0x7261676D657369
_OTHER_RELEASE = "the tables in PostgreSQL are those of another release: run the release that made them"
_SECONDS = 600
"""How long a step may take, and another retriever may wait for it."""


def migrate(target: dict[str, Any]) -> None:
    """Takes the steps that are missing, in one transaction. Blocks.

    Raises:
        TruthUnusable: the tables are those of a later release, or the user may not make any.
        psycopg.Error: the connection was lost.
    """
    config = _config()
    engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(**target), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{_SECONDS}s'")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError:
        raise TruthUnusable(_OTHER_RELEASE) from None
    except sqlalchemy.exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise TruthUnusable(
                "the user of PostgreSQL may not make tables: let it own the database (ALTER DATABASE ... OWNER TO ...)"
            ) from None
        if isinstance(error.orig, psycopg.errors.DuplicateTable):
            raise TruthUnusable("the database has tables of something else: give the documents a database of their own") from None
        if isinstance(error.orig, psycopg.Error):
            raise error.orig from None
        raise
    finally:
        engine.dispose()


def missing(connection: psycopg.Connection[Any]) -> list[str]:
    """Names of the steps that `migrate` would take, the first one first.

    Raises:
        TruthUnusable: the tables are those of a later release.
    """
    steps = [step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]
    if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
        return steps
    taken = [str(row[0]) for row in connection.execute("SELECT version_num FROM alembic_version").fetchall()]
    if any(step not in steps for step in taken):
        raise TruthUnusable(_OTHER_RELEASE)
    return steps[1 + max((steps.index(step) for step in taken), default=-1) :]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
